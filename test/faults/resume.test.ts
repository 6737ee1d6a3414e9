import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DeleteItemCommand } from '@aws-sdk/client-dynamodb'
import { expect, it } from 'vitest'
import { openLedgerFile } from '../../local/ports.ts'
import { systemClock } from '../../shared/clock.ts'
import { MachineControl } from '../../shared/machine/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import { awsClients } from '../aws/clients.ts'
import { awsPorts } from '../machine/aws-ports.ts'
import { payment, TestMachine, until } from '../machine/machine.ts'

it('a changed mirror is not signed again when the cores are lost: the pool halts until an operator resumes it', async () => {
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
  db.prepare("UPDATE blocks SET bytes = ?, checksum = NULL WHERE pool = 'mypool' AND n = 1").run(changed)
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
  await controlOf(ledger.stores).resume('mypool')
  ledger.close()
  const again = await until(
    () => machine.call('control', 'mypool'),
    (pool) => pool.treeHash !== undefined && pool.treeHash !== treeHash,
  )
  expect(again, 'the control item has the new length without a new post').toMatchObject({ coreLength: 5, checkpoint: 5 })
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

/** Deletes the blocks of `mypool` from number `from` on, as somebody with access to the mirror can. */
async function cut(machine: TestMachine, side: 'sqlite' | 'aws', from: number, to: number): Promise<void> {
  if (side === 'sqlite') {
    const db = new DatabaseSync(join(machine.dir, 'ledger.sqlite'))
    db.prepare("DELETE FROM blocks WHERE pool = 'mypool' AND n >= ?").run(from)
    db.close()
    return
  }
  const { place } = machine.emulators
  const { dynamodb, close } = awsClients(place.endpoint)
  for (let n = from; n < to; n++) {
    const Key = { pk: { S: 'pool#mypool' }, sk: { S: `block#${String(n).padStart(12, '0')}` } }
    await dynamodb.send(new DeleteItemCommand({ TableName: place.table, Key }))
  }
  close()
}

/** The mirror of a machine, opened from outside. */
async function mirrorOf(machine: TestMachine, side: 'sqlite' | 'aws') {
  return side === 'sqlite' ? openLedgerFile(machine.dir) : awsPorts(machine.emulators.place)
}

it.each(['sqlite', 'aws'] as const)(
  'a shortened mirror goes on from its end when an operator resumes the pool: later entries are complete (%s)',
  async (side) => {
    await using machine = await TestMachine.start({ mypool: {} }, { side })
    const post = async (i: number) => {
      expect((await machine.post('mypool', payment(`number ${i}`))).status).toBe(200)
      return until(
        () => machine.ended('mypool'),
        (seqs) => seqs.length === i + 1,
      )
    }
    for (let i = 0; i < 5; i++) await post(i)
    await machine.stop()
    await cut(machine, side, 3, 5)
    rmSync(join(machine.dir, 'cores'), { recursive: true })

    await machine.start()
    const control = () => machine.call('control', 'mypool')
    await until(control, ({ halted }) => halted !== undefined)
    const { stores, close } = await mirrorOf(machine, side)
    await controlOf(stores).resume('mypool')
    await until(control, ({ halted, rebuild, treeHash }) => !halted && !rebuild && treeHash !== undefined)
    expect(await control(), 'the control item has the new length').toMatchObject({ coreLength: 3, checkpoint: 3 })
    expect(await machine.call('cursor', 'mypool')).toMatchObject({ seq: 2 })

    expect((await machine.post('mypool', payment('number 5'))).status).toBe(200)
    expect(
      await until(
        () => machine.ended('mypool'),
        (seqs) => seqs.length === 6,
      ),
      'the handler is called with the new entry in the place of a lost one',
    ).toEqual([0, 1, 2, 3, 4, 3])
    await until(control, ({ checkpoint }) => checkpoint === 4)
    await close()
    await machine.stop()
    expect(await machine.verify('mypool')).toMatchObject({ entries: 4, receipts: 4, coreLength: 4, signedBlocks: 4, problems: 0 })
  },
)

function controlOf(stores: Stores): MachineControl {
  return new MachineControl({ stores, clock: systemClock, secretOf: () => Promise.reject(new Error('nothing is published here')) })
}
