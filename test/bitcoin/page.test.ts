import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readConfig } from '../../cli/config.ts'
import { Project, REPOSITORY } from '../cli/project.ts'
import { nodeOr } from './node-or-skip.ts'

const PAGE = readFileSync(join(REPOSITORY, 'docs/bitcoin.md'), 'utf8')
const blocks = [...PAGE.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, text]) => ({ language, text: text! }))
const configs = blocks.filter(({ text }) => text.includes('defineConfig({')).map(({ text }) => text)

/** Output with placeholders for what differs from run to run. */
function shape(output: string): string {
  return output
    .trim()
    .replace(/\b[0-9a-f]{64}\b/g, 'HASH')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/\bmined in \d+/g, 'mined in HEIGHT')
    .replace(/\bblocks \d+ to \d+/g, 'blocks HEIGHT to HEIGHT')
}

describe('docs/bitcoin.md', () => {
  const node = nodeOr()

  it('shows configs that are right', async () => {
    expect(configs.length).toBeGreaterThan(2)
    for (const text of configs) {
      await using project = new Project()
      project.write('handler.ts', 'export function onTx() {}')
      project.write('overpool.config.ts', text)
      await expect(readConfig(join(project.dir, 'overpool.config.ts')), text).resolves.toMatchObject({ pools: expect.any(Object) })
    }
  })

  it('shows what the first steps print', { timeout: 120_000 }, async () => {
    const { url, user, password } = node()
    const config = configs.find((text) => text.includes('regtest'))!
    expect(config).toContain(`user: '${user}'`)
    await using project = new Project()
    project.write('overpool.config.ts', config.replace('http://127.0.0.1:18443', url))
    await project.start([], { NODE_PASSWORD: password })
    process.env.NODE_PASSWORD = password

    const run = async (command: string): Promise<string> => {
      const [program, ...args] = command.split(' ')
      if (program === 'npx') {
        const { out, err } = await project.result(...args.slice(1))
        return out + err
      }
      const answer = await node().rpc(args[0]!, ...args.slice(1).map((arg) => (/^[\d.]+$/.test(arg) ? Number(arg) : arg)))
      return typeof answer === 'string' ? answer : JSON.stringify(answer, undefined, 2)
    }
    const steps = blocks.find(({ language, text }) => language === 'console' && text.includes('bitcoin-cli'))!.text
    for (const step of steps.split(/^\$ /m).slice(1)) {
      const [command, ...lines] = step.split('\n')
      const only = /overpool tail/.test(command!) // the machine hears of what the node did within a second
      const said = async () => shape(await run(command!))
      if (only) await expect.poll(said, { timeout: 20_000, message: command! }).toBe(shape(lines.join('\n')))
      else expect(await said(), command).toBe(shape(lines.join('\n')))
    }
  })
})
