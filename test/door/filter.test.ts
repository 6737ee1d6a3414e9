import { expect, it } from 'vitest'
import { payment, TestMachine, until } from '../machine/machine.ts'

// A filter that takes an order once would refuse a wallet's retry: it must not be asked again.

it('copies of one payment ask the filter once, together or later, and get the same answer', async () => {
  await using machine = await TestMachine.start({ shop: { filter: 'once' as never } })
  const order = payment('an order')
  const answers = await Promise.all(Array.from({ length: 20 }, () => machine.post('shop', order)))
  answers.push(await machine.post('shop', order))
  await until(
    () => machine.ended('shop'),
    (seqs) => seqs.length === 1,
  )
  answers.push(await machine.post('shop', order))
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
  expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
  expect((await machine.post('shop', { ...order, memo: 'another payment of it' })).status).toBe(403)
  expect(await machine.call('length', 'shop')).toBe(1)
})

it('copies ask the filter once where the writer waits to fill a block, so that posts use the queue', async () => {
  await using machine = await TestMachine.start({ shop: { filter: 'once' as never, batchMs: 200 } })
  const order = payment('an order')
  for (let i = 0; i < 5; i++) expect((await machine.post('shop', order)).status).toBe(200)
  await until(
    () => machine.ended('shop'),
    (seqs) => seqs.length === 1,
  )
  expect((await machine.post('shop', order)).status).toBe(200)
  expect(await machine.call('length', 'shop')).toBe(1)
})

it('after a restart the filter is not asked about a payment that is in the ledger', async () => {
  await using machine = await TestMachine.start({ shop: { filter: 'no-memo' as never } })
  const order = payment('an order')
  expect((await machine.post('shop', order)).status).toBe(200)
  await machine.kill()
  await machine.start({ pools: { shop: { filter: 'nothing' as never } } })
  expect((await machine.post('shop', order)).status).toBe(200)
  expect((await machine.post('shop', payment('a new order'))).status).toBe(403)
})

it('a named post, and a post of a handler that runs twice, ask the filter once', async () => {
  await using machine = await TestMachine.start({ mypool: {}, shop: { filter: 'once' as never } })
  const named = { path: 'shop', payment: payment('an order'), id: 'order 7' }
  await machine.call('post', named)
  await machine.call('post', named)
  const wish = { throw: 1, loop: { pool: 'shop', left: 1, text: 'step' } }
  expect((await machine.post('mypool', payment('begin', wish))).status).toBe(200)
  await until(
    () => machine.ended('mypool'),
    (seqs) => seqs.length === 1,
  )
  expect(await machine.call('length', 'shop')).toBe(2)
  expect((await machine.call('reports')).filter((line) => line.startsWith('post-failed'))).toEqual([])
})

it('what the filter says of a payment says nothing of another payment of the same transaction', async () => {
  await using machine = await TestMachine.start({ shop: { filter: 'no-memo' as never, unique: 'transaction' } })
  const order = payment('an order')
  const answers = await Promise.all([machine.post('shop', { ...order, memo: 'of a stranger' }), machine.post('shop', order)])
  expect(answers.map(({ status }) => status)).toEqual([403, 200])
  expect(await machine.call('length', 'shop')).toBe(1)
})
