import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as library from '../../index.ts'
import { Project, REPOSITORY } from '../cli/project.ts'
import { Agent } from './agent.ts'

const page = (path: string) => readFileSync(join(REPOSITORY, path), 'utf8')
const AGENTS = page('AGENTS.md')
const LLMS = page('llms.txt')
const DOCS = page('docs/agents.md')
const blocksOf = (text: string) => [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, code]) => ({ language, text: code! }))
const here = (code: string) => code.replaceAll("'overpool-cloud'", `'${join(REPOSITORY, 'index.ts')}'`)

describe('AGENTS.md', () => {
  it('has a program that runs', async () => {
    await using project = new Project()
    project.write('program.mjs', here(blocksOf(AGENTS).find(({ language }) => language === 'js')!.text))
    const program = project.run(process.execPath, ['program.mjs'])
    expect(await program.ended(), program.err).toBe(0)
    expect(program.out.trim().split('\n')).toEqual(['posted 0', 'handled the first'])
  })

  it('has a config and a handler that run, and commands that do what it says', async () => {
    await using project = new Project()
    const [config, handler] = blocksOf(AGENTS).filter(({ language }) => language === 'ts')
    project.write('overpool.config.ts', config!.text)
    project.write('handler.ts', handler!.text)
    const machine = await project.start()
    const commands = [...AGENTS.matchAll(/^npx overpool (.+?)(?: {3,}.*)?$/gm)].map(([, command]) => command!)
    expect(commands).toHaveLength(6)
    for (const command of commands) {
      const args = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!)
      const { code, err } = await project.result(...args)
      expect([command, code, err]).toEqual([command, 0, ''])
      if (command.startsWith('post')) await machine.says(/^0 [\da-f]{64} the first hello$/m)
    }
    const { out } = await project.result('tail', 'log', '--json')
    expect(JSON.parse(out)).toMatchObject({ source: 'handler', hops: 1 })
  })

  it('names calls, exports, settings and commands that exist', async () => {
    const pool = new library.Overpool({ dir: '/nowhere' })
    const calls = [...AGENTS.matchAll(/\bpool\.(\w+)(?:\.(\w+))?/g)]
    expect(calls.length).toBeGreaterThan(20)
    for (const [whole, method, part] of calls) {
      const called = pool[method as keyof typeof pool]
      expect(typeof (part ? called[part as keyof typeof called] : called), whole).toBe('function')
    }
    for (const [, name] of AGENTS.matchAll(/`(createPaywall|payingFetch|dataTransaction|defineConfig|OverpoolError|[A-Z]\w+Fetch)\b/g))
      expect(library).toHaveProperty(name!)
    await using project = new Project()
    const { out } = await project.result('--help')
    for (const text of [AGENTS, DOCS, LLMS])
      for (const [, command] of text.matchAll(/(?:`|^|npx )overpool ([a-z]+)/gm))
        expect(out, command).toMatch(new RegExp(`^ {2}${command}\\b`, 'm'))
    const scripts = JSON.parse(page('package.json')).scripts as Record<string, string>
    for (const [, script] of AGENTS.matchAll(/npm run (\w+)/g)) expect(scripts).toHaveProperty(script!)
  })
})

describe('llms.txt', () => {
  it('begins with a title and a summary, and lists every page', () => {
    expect(LLMS).toMatch(/^# .+\n\n> .+\n/)
    for (const name of readdirSync(join(REPOSITORY, 'docs'))) expect(LLMS).toContain(`(docs/${name})`)
  })

  it('and AGENTS.md are in the package, and link to what is there', () => {
    const { files } = JSON.parse(page('package.json')) as { files: string[] }
    expect(files).toEqual(expect.arrayContaining(['AGENTS.md', 'llms.txt', 'docs']))
    for (const [, target] of `${AGENTS}\n${LLMS}`.matchAll(/\]\(([^)#:]+)/g)) {
      expect(existsSync(join(REPOSITORY, target!)), target).toBe(true)
      expect(
        files.some((file) => target === file || target!.startsWith(`${file}/`)),
        `${target} is in the package`,
      ).toBe(true)
    }
  })
})

describe('docs/agents.md', () => {
  it('lists every tool and every flag, and the config that it shows starts', async () => {
    await using project = Project.of({ till: {} }, 'export async function onTx() {}')
    await project.start()
    const config = JSON.parse(blocksOf(DOCS).find(({ language }) => language === 'json')!.text)
    const { command, args } = config.mcpServers.overpool as { command: string; args: string[] }
    expect([command, args.slice(0, 2), args[3]]).toEqual(['npx', ['overpool', '--dir'], 'mcp'])
    const agent = await Agent.stdio(join(project.dir, '.overpool'), args.slice(4))
    for (const { name } of (await agent.client.listTools()).tools) expect(DOCS).toMatch(new RegExp(`^\\|.*\`${name}\``, 'm'))
    const { out } = await project.result('mcp', '--help')
    const flags = [...out.split('Global Options')[0]!.matchAll(/^ +(--[a-z-]+)/gm)].map(([, flag]) => flag!)
    expect(flags.length).toBeGreaterThan(9)
    for (const flag of flags) expect(DOCS, flag).toMatch(new RegExp(`^\\|.*\`${flag}`, 'm'))
    const { per_call, per_day } = (await agent.call('get_budget')).value
    expect([per_call, per_day]).toEqual([500, 5000])
  })

  it('shows what overpool budget prints', async () => {
    await using project = new Project()
    const [, command, output] = /^```console\n\$ overpool (budget .+)\n(.*?)^```$/ms.exec(DOCS)!
    expect((await project.result(...command!.split(' '))).out).toBe(output)
  })
})
