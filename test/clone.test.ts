import { execFile } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { transform } from 'esbuild'
import { afterAll, describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const run = promisify(execFile)

describe('a clone on another Node than its own', () => {
  const folder = mkdtempSync(join(tmpdir(), 'overpool-clone-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  /** Runs a program of the clone on this Node, which pretends to be another one, so that the test runs everywhere. */
  async function saidOn(version: string, ...args: string[]): Promise<{ code: number; stderr: string }> {
    const pretend = join(folder, `${version}.cjs`)
    writeFileSync(pretend, `Object.defineProperty(process.versions, 'node', { value: '${version}' })`)
    const env = { ...process.env, NODE_OPTIONS: `--require ${pretend}` }
    return run(process.execPath, args, { cwd: ROOT, env }).then(
      ({ stderr }) => ({ code: 0, stderr }),
      (error: { code: number; stderr: string }) => error,
    )
  }

  it.each([
    ['the command', ['package/overpool.cjs', '--help']],
    ['its source', ['cli/main.ts', '--help']],
    ['the library', ['--eval', "import('./index.ts')"]],
    ['what npm runs first', ['cli/installed.cjs']],
  ])('%s says which Node it needs, and how to get it', async (_, args) => {
    for (const version of ['20.20.2', '22.20.0']) {
      const { code, stderr } = await saidOn(version, ...args)
      expect([code, stderr]).toEqual([
        1,
        expect.stringContaining(`a clone of overpool-cloud runs on Node 24 or newer, and this is Node ${version}. \`npm ci\` puts`),
      ])
    }
    expect(await saidOn('24.0.0', ...args)).toMatchObject({ code: 0, stderr: '' })
  })

  it('can read the source far enough to say so: it has no syntax that Node 22 does not know', { timeout: 60_000 }, async () => {
    const files = globSync(['index.ts', '{cli,client,local,shared,sidecar,functions}/**/*.ts'], { cwd: ROOT })
    expect(files.length).toBeGreaterThan(100)
    const compiled = (text: string, target: string) => transform(text, { loader: 'ts', target })
    const newer = await Promise.all(
      files.map(async (file) => {
        const text = readFileSync(join(ROOT, file), 'utf8')
        const [today, old] = await Promise.all([compiled(text, 'esnext'), compiled(text, 'node22')])
        return today.code === old.code ? [] : [file]
      }),
    )
    expect(newer.flat()).toEqual([])
  })
})
