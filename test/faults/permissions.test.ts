import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, it } from 'vitest'

const run = promisify(execFile)

let project: string
let dir: string
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'overpool-permissions-'))
  dir = join(project, 'data')
  writeFileSync(join(project, 'overpool.config.ts'), "export default { handler: './handler.ts', pools: { a: {} } }")
  writeFileSync(join(project, 'handler.ts'), 'export function onTx() {}')
})
afterEach(() => rmSync(project, { recursive: true }))

/** Starts the machine in a process with this umask, posts, and prints the modes of its files while it runs and after its end. */
async function modesWith(umask: number): Promise<Record<string, string>> {
  const source = (path: string) => JSON.stringify(new URL(`../../${path}`, import.meta.url).href)
  const program = `
    process.umask(${umask})
    const { start } = await import(${source('local/start.ts')})
    const { sampleTransaction } = await import(${source('shared/transaction/sample.ts')})
    const dir = ${JSON.stringify(dir)}
    const config = ${JSON.stringify(join(project, 'overpool.config.ts'))}
    const started = await start({ config, dir, port: 0, host: '127.0.0.1', say() {}, report() {} })
    await started.machine.pools.post({ path: 'a', payment: sampleTransaction('x') })
    const { readdirSync, statSync } = await import('node:fs')
    const { join } = await import('node:path')
    const modes = { '.': statSync(dir).mode }
    for (const name of readdirSync(dir)) modes[name] = statSync(join(dir, name)).mode
    for (const name of readdirSync(join(dir, 'handlers'))) modes['handlers/' + name] = statSync(join(dir, 'handlers', name)).mode
    console.log(JSON.stringify(modes))
    await started.close()
  `
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program], { timeout: 50_000 })
  const modes: Record<string, number> = JSON.parse(stdout)
  return Object.fromEntries(Object.entries(modes).map(([name, mode]) => [name, (mode & 0o777).toString(8)]))
}

const FOLDERS = ['.', 'cores', 'handlers']

function expectPrivate(modes: Record<string, string>): void {
  for (const name of [...FOLDERS, 'ledger.sqlite', 'ledger.sqlite-wal', 'ledger.sqlite-shm', 'seed', 'lock.sqlite', 'running.json'])
    expect(Object.keys(modes)).toContain(name)
  const open = Object.entries(modes).filter(([name, mode]) => mode !== (FOLDERS.includes(name) ? '700' : '600'))
  expect(open).toEqual([])
}

it.skipIf(process.platform === 'win32')('only the user of the machine can read its files, whatever the umask', async () => {
  mkdirSync(dir, { mode: 0o755 })
  expectPrivate(await modesWith(0o000))
  rmSync(dir, { recursive: true })
  expectPrivate(await modesWith(0o022))
})

it.skipIf(process.platform === 'win32')('files that others could read are private after the next start', async () => {
  await modesWith(0o022)
  const opened = readdirSync(dir).map((name) => join(dir, name))
  for (const file of [dir, ...opened]) chmodSync(file, statSync(file).isDirectory() ? 0o755 : 0o644)
  writeFileSync(join(project, 'own.txt'), 'a file of the user beside the folder', { mode: 0o644 })
  writeFileSync(join(dir, 'own.txt'), 'a file of the user in the folder')
  chmodSync(join(dir, 'own.txt'), 0o644)
  const { 'own.txt': own, ...modes } = await modesWith(0o022)
  expectPrivate(modes)
  expect(own, 'it is none of the machine').toBe('644')
  expect(existsSync(join(dir, 'own.txt'))).toBe(true)
})
