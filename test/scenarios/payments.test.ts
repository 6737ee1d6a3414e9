import { describe, expect, it } from 'vitest'
import { largePayment, payment, TestMachine, until } from '../machine/machine.ts'

describe('a payment', () => {
  it('goes from the POST into the ledger and to the handler', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    const sent = { ...payment('one'), memo: 'coffee' }
    const { status, body } = await machine.post('mypool', sent)
    expect(status).toBe(200)
    expect(body).toEqual({ payment: sent, memo: 'Received into mypool', error: 0, success: true })

    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 1,
    )
    const [event] = await machine.call('tail', { path: 'mypool' })
    expect(event).toMatchObject({ path: 'mypool', seq: 0, source: 'http', hops: 0, payment: sent })
    expect(event!.parsed.tx.h).toBe(event!.hash)
    expect(event!.key).toBe((await machine.call('control', 'mypool')).key)
    expect(await machine.call('get', { path: 'mypool', hash: event!.hash })).toEqual(event)
  })

  it('can be read right after it was posted through the API', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    for (let i = 0; i < 5; i++) {
      const { hash } = await machine.call('post', { path: 'mypool', payment: payment(`number ${i}`) })
      expect((await machine.call('get', { path: 'mypool', hash })).seq).toBe(i)
      expect((await machine.call('tail', { path: 'mypool', size: 1 })).map((e) => e.seq)).toEqual([i])
    }
    expect((await machine.call('tail', { path: 'mypool', size: 3 })).map((e) => e.seq)).toEqual([2, 3, 4])
    expect((await machine.call('read', { path: 'mypool', from: 1, to: 4 })).map((e) => e.seq)).toEqual([1, 2, 3])
    await machine.call('prune', 'mypool')
    expect(await machine.call('tail', { path: 'mypool' })).toEqual([])
    const { hash } = await machine.call('post', { path: 'mypool', payment: payment('after') })
    expect((await machine.call('read', { path: 'mypool' })).map((e) => e.hash)).toEqual([hash])
  })

  it('that a wallet sends 50 times at once is one entry, one event, and 50 equal answers', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    const answers = await Promise.all(Array.from({ length: 50 }, () => machine.post('mypool', payment('again and again'))))
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
    expect(answers[0]!.status).toBe(200)
    await machine.post('mypool', payment('the last'))
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length >= 2,
    )
    expect(await machine.post('mypool', payment('again and again'))).toEqual(answers[0])
    await until(
      () => machine.call('ingress'),
      ({ waiting, inFlight }) => waiting + inFlight === 0,
    )
    expect(await machine.call('length', 'mypool')).toBe(2)
    expect(machine.ended('mypool')).toEqual([0, 1])
  })

  it('with another memo is another payment, unless the pool takes each transaction once', async () => {
    await using machine = await TestMachine.start({ each: {}, unique: { unique: 'transaction' } })
    const { transaction } = payment('same')
    for (const pool of ['each', 'unique']) {
      for (const memo of ['a', 'b', 'a']) expect((await machine.post(pool, { transaction, memo })).status).toBe(200)
    }
    await until(
      () => machine.call('ingress'),
      ({ waiting, inFlight }) => waiting + inFlight === 0,
    )
    expect((await machine.call('read', { path: 'each' })).map((e) => e.payment.memo).sort()).toEqual(['a', 'b'])
    expect(await machine.call('length', 'unique')).toBe(1)
  })

  it('is one entry in a pool that takes each transaction once, however it is posted', async () => {
    await using machine = await TestMachine.start({ unique: { unique: 'transaction' } })
    const { transaction } = payment('same')
    const post = (memo: string, id?: string) => machine.call('post', { path: 'unique', payment: { transaction, memo }, id })
    for (let round = 0; round < 2; round++) {
      await Promise.all([
        machine.post('unique', { transaction, memo: `http ${round}` }),
        machine.post('unique', { transaction, memo: 'http' }),
        post('api'),
        post('named', 'order 7'),
        post('named otherwise', `order ${round}`),
      ])
      await until(
        () => machine.call('ingress'),
        ({ waiting, inFlight }) => waiting + inFlight === 0,
      )
    }
    expect(await machine.call('length', 'unique')).toBe(1)
    // A handler's post of it, in either run
    await machine.post('unique', payment('begin', { throw: 1, loop: { pool: 'unique', left: 1, text: 'step' } }))
    await until(
      () => machine.ended('unique'),
      (seqs) => seqs.includes(2),
    )
    expect((await machine.post('unique', payment('step 0'))).status).toBe(200)
    await machine.post('unique', payment('the last'))
    await until(
      () => machine.ended('unique'),
      (seqs) => seqs.includes(3),
    )
    expect(await machine.call('length', 'unique')).toBe(4)
  })

  it('through the API is a new entry each time, unless it has an id', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    const same = { path: 'mypool', payment: payment('same') }
    await machine.call('post', same)
    await machine.call('post', same)
    await machine.call('post', { ...same, id: 'order 7' })
    await machine.call('post', { ...same, id: 'order 7' })
    await until(
      () => machine.call('ingress'),
      ({ waiting, inFlight }) => waiting + inFlight === 0,
    )
    expect(await machine.call('length', 'mypool')).toBe(3)
  })

  it('may be large', async () => {
    await using machine = await TestMachine.start({ mypool: {} })
    const lengths: number[] = []
    for (const size of [70_000, 300_000, 1_100_000, 2_000_000]) {
      const { transaction } = largePayment(size)
      const { status, body } = await machine.post('mypool', { transaction })
      expect([status, body.payment?.transaction.length]).toEqual([200, transaction.length])
      lengths.push(transaction.length)
    }
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 4,
    )
    expect((await machine.call('tail', { path: 'mypool' })).map((e) => e.payment.transaction.length).sort((a, b) => a - b)).toEqual(lengths)
  })

  it('goes into one of many pools, and each pool keeps its own order', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `pool-${i}`)
    await using machine = await TestMachine.start(Object.fromEntries(names.map((name) => [name, {}])))
    await Promise.all(
      names.map(async (name) => {
        for (let i = 0; i < 10; i++) expect((await machine.post(name, payment(`${i}`))).status).toBe(200)
      }),
    )
    await until(
      () => machine.runs().filter(({ ended }) => ended),
      (runs) => runs.length === 200,
    )
    for (const name of names) expect(machine.ended(name)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('that the filter refuses is answered with the reason, and is in no ledger', async () => {
    await using machine = await TestMachine.start({ callback: { filter: 'no-memo' as never }, async: { filter: 'only-data' as never } })
    expect(await machine.post('callback', { ...payment('a'), memo: 'x' })).toMatchObject({
      status: 403,
      body: { error: 1, memo: 'this pool takes no memos', code: 'FILTER_REFUSED' },
    })
    expect((await machine.post('callback', payment('a'))).status).toBe(200)
    expect((await machine.post('async', { transaction: '01000000000000000000' })).status).toBe(403)
    expect((await machine.post('async', payment('data'))).status).toBe(200)
    await until(
      () => machine.runs().filter(({ ended }) => ended),
      (runs) => runs.length === 2,
    )
    expect(await machine.call('length', 'callback')).toBe(1)
  })

  it('through the API passes the filter too', async () => {
    await using machine = await TestMachine.start({ callback: { filter: 'no-memo' as never } })
    const post = (memo?: string) => machine.call('post', { path: 'callback', payment: { ...payment('a'), memo } })
    await expect(post('x')).rejects.toMatchObject({ code: 'FILTER_REFUSED' })
    await post()
    expect(await machine.call('tail', { path: 'callback' })).toHaveLength(1)
  })
})
