import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { Overpool } from '../../client/overpool.ts'
import { folderLayout } from '../../local/folder.ts'
import { EmbeddedMachine } from '../../local/machine.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'

const run = promisify(execFile)

function tempDir(): { dir: string } & Disposable {
  const dir = mkdtempSync(join(tmpdir(), 'overpool-machine-'))
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true }) }
}

/** Runs a program in a process of its own on the machine's folder until it ends by itself; resolves to the lines that it printed. */
async function program(dir: string, code: string): Promise<string[]> {
  const file = new URL('../../client/overpool.ts', import.meta.url).href
  const head = `const { Overpool } = await import(${JSON.stringify(file)}); const { sampleTransaction } = await import(${JSON.stringify(new URL('../../shared/transaction/sample.ts', import.meta.url).href)});`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', head + code], {
    env: { ...process.env, OVERPOOL_DIR: dir },
    timeout: 50_000,
  })
  return stdout.trim().split('\n')
}

it('a machine that cannot open leaves nothing running, so its program ends', async () => {
  using temp = tempDir()
  const machine = await EmbeddedMachine.open({ dir: temp.dir, report: () => {} })
  await machine.create('a')
  await machine.create('b')
  await machine.close()
  writeFileSync(folderLayout(temp.dir).seed, `${'00'.repeat(32)}\n`)
  const said = await program(temp.dir, `await new Overpool().tail({ path: 'a' }).catch(({ code }) => console.log(code))`)
  expect(said).toEqual(['BAD_CONFIG'])
})

it('an error listener that throws stops nothing in the machine', async () => {
  using temp = tempDir()
  const said = await program(
    temp.dir,
    `
    let thrown = 0, runs = 0
    process.on('uncaughtException', () => thrown++)
    const pool = new Overpool()
    pool.on('error', (error) => { throw error })
    const done = Promise.withResolvers()
    pool.on('tx', () => { if (++runs === 1) throw new Error('once'); done.resolve() })
    await pool.create({ path: 'a', port: false })
    await pool.post({ path: 'a', payment: sampleTransaction('payment') })
    await done.promise
    await pool.close()
    console.log(runs, thrown)
    `,
  )
  expect(said).toEqual(['2 1'])
})

it('a handler that is removed finishes its entry, and goes on from there when it is added again', async () => {
  using temp = tempDir()
  const pool = new Overpool({ dir: temp.dir })
  await pool.create({ path: 'a', port: false })
  const [begun, may, all] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const runs: string[] = []
  const onTx = async ({ seq }: TxEvent) => {
    runs.push(`begins ${seq}`)
    if (seq === 0) {
      begun.resolve()
      await may.promise
    }
    runs.push(`ends ${seq}`)
    if (seq === 4) all.resolve()
  }
  for (let i = 0; i < 5; i++) await pool.post({ path: 'a', payment: sampleTransaction(`payment ${i}`) })
  expect(await pool.tail({ path: 'a' })).toHaveLength(5)
  pool.on('tx', onTx)
  await begun.promise
  pool.off('tx', onTx)
  pool.on('tx', onTx)
  await pool.post({ path: 'a', payment: sampleTransaction('payment 5') })
  expect(await pool.tail({ path: 'a' })).toHaveLength(6) // enough time for the second handler to begin, if it did not wait
  may.resolve()
  await all.promise
  await pool.close()
  expect(runs.slice(0, 10)).toEqual([0, 1, 2, 3, 4].flatMap((seq) => [`begins ${seq}`, `ends ${seq}`]))
})
