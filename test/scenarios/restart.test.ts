import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { payment, TestMachine, until } from '../machine/machine.ts'

describe('a machine', () => {
  it('goes on where it stopped, and repeats nothing', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    for (let i = 0; i < 10; i++) await machine.post('mypool', payment(`${i}`))
    await machine.stop()
    await machine.start()
    for (let i = 5; i < 15; i++) expect((await machine.post('mypool', payment(`${i}`))).status).toBe(200) // half of them are retries
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length >= 15,
    )
    await machine.stop()
    expect(machine.ended('mypool')).toEqual(Array.from({ length: 15 }, (_, i) => i))
  })

  it('answers a retry of a payment that an earlier process took with the same ACK, and writes no second entry', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    const payments = Array.from({ length: 60 }, (_, i) => payment(`number ${i}`))
    const postAll = () => Promise.all(payments.map((one) => machine.post('mypool', one)))
    const acks = await postAll()
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === payments.length,
    )
    await machine.stop()
    await machine.start()
    expect(await postAll()).toEqual(acks)
    await machine.post('mypool', payment('the next'))
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.includes(payments.length),
    )
    await machine.stop()
    expect(await machine.verify('mypool')).toMatchObject({ entries: payments.length + 1, receipts: payments.length + 1, problems: 0 })
  })

  it('that is killed while its handler runs calls the handler again with that entry, and the next step of its loop is posted once', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    await machine.post('mypool', payment('hangs after its post', { hang: 1, loop: { pool: 'mypool', left: 1, text: 'step' } }))
    await until(
      () => machine.runs('mypool'),
      (runs) => runs.length === 1,
    )
    await until(
      () => machine.call('length', 'mypool'),
      (length) => length === 2,
    )
    await machine.kill()
    await machine.start()
    await until(
      () => machine.runs('mypool'),
      (runs) => runs.filter(({ seq }) => seq === 0).length === 2,
    ) // the first run of this process hangs, too
    await machine.kill()
    expect(machine.ended('mypool')).toEqual([])
    await machine.start({ idle: true })
    expect(await machine.call('length', 'mypool')).toBe(2)
  })

  it('takes payments while no handler runs, and gives them to the handler when it does', async () => {
    await using machine = await TestMachine.start({ mypool: {} }, { idle: true })
    for (let i = 0; i < 5; i++) await machine.post('mypool', payment(`${i}`))
    await machine.kill()
    await machine.start({ idle: false })
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 5,
    )
    expect(machine.ended('mypool')).toEqual([0, 1, 2, 3, 4])
  })

  it('whose hypercores are deleted rebuilds them, with the same key and tree hash', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    for (let i = 0; i < 10; i++) await machine.post('mypool', payment(`${i}`))
    const before = await until(
      () => machine.call('control', 'mypool'),
      ({ checkpoint }) => checkpoint > 0,
    )
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 10,
    )
    await machine.stop()
    await machine.start()
    const stopped = await machine.call('control', 'mypool')
    await machine.kill()
    rmSync(join(machine.dir, 'cores'), { recursive: true })
    await machine.start()
    await machine.post('mypool', payment('one more')) // the control item is written with the next checkpoint
    const after = await until(
      () => machine.call('control', 'mypool'),
      ({ coreLength }) => coreLength === stopped.coreLength + 1,
    )
    expect(after.key).toBe(before.key)
    await machine.stop()
    expect(await machine.verify('mypool')).toMatchObject({
      entries: 11,
      coreLength: after.coreLength,
      treeHash: after.treeHash,
      receipts: 11,
      problems: 0,
    })
  })
})
