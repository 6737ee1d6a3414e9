import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { openLedgerFile } from '../../local/parts.ts'
import { resume } from '../../sidecar/wanted.ts'
import { payment, TestMachine, until } from '../machine/machine.ts'

it('a mirror that was changed is not signed again when the cores are lost: the pool halts, and goes on when an operator says so', async () => {
  await using machine = await TestMachine.start({ mypool: {}, other: {} }, { side: 'sqlite' })
  for (let i = 0; i < 5; i++)
    await machine.call('post', { path: 'mypool', payment: payment(`number ${i}`) }).then(() => machine.call('tail', { path: 'mypool' }))
  await until(
    () => machine.ended('mypool'),
    (seqs) => seqs.length === 5,
  )
  await machine.stop()

  const db = new DatabaseSync(join(machine.dir, 'ledger.sqlite'))
  const { bytes } = db.prepare("SELECT bytes FROM blocks WHERE pool = 'mypool' AND n = 1").get() as { bytes: Uint8Array }
  const changed = Buffer.from(bytes)
  changed[changed.indexOf('number 1')] = 'N'.charCodeAt(0)
  db.prepare("UPDATE blocks SET bytes = ? WHERE pool = 'mypool' AND n = 1").run(changed)
  db.close()
  rmSync(join(machine.dir, 'cores'), { recursive: true })

  await machine.start()
  const { halted, treeHash } = await until(
    () => machine.call('control', 'mypool'),
    (pool) => pool.halted !== undefined,
  )
  expect(halted).toContain('is not the one whose first')
  expect((await machine.post('other', payment('the others go on'))).status).toBe(200)
  expect((await machine.post('mypool', payment('refused'))).status).toBe(503)

  const ledger = openLedgerFile(machine.dir)
  await resume((await ledger.mirror.readPool('mypool'))!, ledger.mirror)
  ledger.close()
  const again = await until(
    () => machine.call('control', 'mypool'),
    (pool) => pool.treeHash !== undefined && pool.treeHash !== treeHash,
  )
  expect(again, 'it is told what it is now, though nothing new has come').toMatchObject({ coreLength: 5, checkpoint: 5 })
  await until(
    () => machine.post('mypool', payment('number 5')),
    ({ status }) => status === 200,
  )
  await until(
    () => machine.ended('mypool'),
    (seqs) => seqs.includes(5),
  )
  await machine.stop()
  expect(await machine.verify('mypool')).toMatchObject({ entries: 6, coreLength: 6 })
})
