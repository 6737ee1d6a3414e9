import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HD } from '@bsv/sdk'
import { expect, it } from 'vitest'
import { type InvoiceEvent, type InvoicePayment, Overpool, type Pools, type TxEvent } from '../../index.ts'
import { CloudMachine } from '../machine/cloud.ts'
import { payment, until } from '../machine/machine.ts'
import { paying } from './pay.ts'

const SECOND = 1_000
type Told = InvoiceEvent | InvoicePayment
const told = (events: Told[]) => events.map(({ kind, path, invoice }) => [kind, path, invoice])

it('a program is told once of all that becomes of an invoice: it is paid, cancelled, or has expired unpaid', {
  timeout: 60_000,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'overpool-invoice-events-'))
  const open = async () => {
    const pool = new Overpool({ dir })
    const events: Told[] = []
    pool.on('invoice', (e) => events.push(e))
    await pool.create({ path: 'shop', port: 0 })
    return { pool, events }
  }
  let { pool, events } = await open()
  const make = (order: number, expiresIn?: number) =>
    pool.invoice({ path: 'shop', amount: 100, data: { order }, ...(expiresIn && { expiresIn }) })
  const pay = ({ url, outputs }: Awaited<ReturnType<typeof make>>, satoshis: number) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ transaction: paying([{ ...outputs[0]!, satoshis }]).toString('hex') }),
    })
  const [cancelled, forgotten, short, paid, kept] = [
    await make(1),
    await make(2, SECOND),
    await make(3, SECOND),
    await make(4, SECOND),
    await make(5),
  ]
  await pay(short, 60)
  expect((await pay(paid, 100)).status).toBe(200)
  await pool.invoice.cancel({ path: 'shop', id: cancelled.id })
  await pool.invoice.cancel({ path: 'shop', id: cancelled.id })
  await expect(pool.invoice.cancel({ path: 'shop', id: paid.id })).rejects.toMatchObject({ code: 'INVOICE_PAID' })
  await until(
    () => events.length,
    (count) => count === 3,
  )
  expect(told(events)).toEqual([
    ['tx', 'shop', { id: short.id, state: 'underpaid', received: 60, data: { order: 3 } }],
    ['tx', 'shop', { id: paid.id, state: 'paid', received: 100, data: { order: 4 } }],
    ['invoice', 'shop', { id: cancelled.id, state: 'cancelled', received: 0, data: { order: 1 } }],
  ])
  await pool.close() // what expires while the machine is down is told when it is up again
  ;({ pool, events } = await open())
  await until(
    () => events.length,
    (count) => count >= 2,
  )
  expect(new Set(told(events))).toEqual(
    new Set([
      ['invoice', 'shop', { id: forgotten.id, state: 'expired', received: 0, data: { order: 2 } }],
      ['invoice', 'shop', { id: short.id, state: 'expired', received: 60, data: { order: 3 } }],
    ]),
  )
  expect(await pool.invoice.cancel({ path: 'shop', id: kept.id })).toMatchObject({ state: 'cancelled' })
  await until(
    () => events.length,
    (count) => count === 3,
  )
  expect(await Array.fromAsync(pool.read({ path: 'shop', kinds: ['invoice'] }))).toHaveLength(4)
  await pool.close()
  rmSync(dir, { recursive: true })
})

it('a handler on AWS is told that an invoice was cancelled, and that one has expired', { timeout: 120_000 }, async () => {
  const receive = HD.fromSeed([...Buffer.alloc(32, 5)])
    .toPublic()
    .toString()
  const events: Told[] = []
  const functions = {
    async tx({ path, payment: { memo } }: TxEvent, pool: Pools) {
      const { id } = await pool.invoice({ path, amount: 100, data: memo, expiresIn: memo === 'expires' ? SECOND : 600 * SECOND })
      if (memo === 'cancelled') await pool.invoice.cancel({ path, id })
    },
    invoice: (e: Told) => void events.push(e),
  }
  await using machine = await CloudMachine.open({ shop: {} }, { receive, functions })
  for (const memo of ['kept', 'cancelled', 'expires']) expect((await machine.post('shop', { ...payment(memo), memo })).status).toBe(200)
  await until(
    () => events.length,
    (count) => count === 2,
    60_000,
  )
  expect(events.map(({ invoice }) => [invoice.state, invoice.data])).toEqual([
    ['cancelled', 'cancelled'],
    ['expired', 'expires'],
  ])
})
