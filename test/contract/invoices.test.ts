import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Invoice, type InvoiceClaim, newInvoiceId, type WatchedInvoice } from '../../shared/invoice/invoice.ts'
import type { EntryId } from '../../shared/ledger/kinds.ts'
import { type Expiry, type Invoices, MAX_INVOICES } from '../../shared/store/invoices.ts'
import { SIDES, type Side } from './sides.ts'

describe.each(SIDES)('invoices, on %s', (_, make) => {
  let side: Side
  let invoices: Invoices
  /** the same, as another process opens it */
  let other: Invoices
  beforeAll(async () => {
    side = await make()
    invoices = side.stores().invoices
    other = side.stores().invoices
  })
  afterAll(() => side?.close())

  const hex32 = () => randomBytes(32).toString('hex')
  let n = 0
  const poolName = () => `pool-${n++}`
  const invoiceOf = (pool: string, more: Partial<Invoice> = {}): Invoice => ({
    id: newInvoiceId(),
    pool,
    outputs: [{ satoshis: 500, script: '51' }],
    createdAt: 1,
    ...more,
  })
  const claim = (): InvoiceClaim => ({
    entry: hex32() as EntryId,
    txid: hex32(),
    state: 'paid',
    received: 500,
    at: 2,
    spends: [`${hex32()}:0`],
  })

  it('give each number of a key once, from 0 on', async () => {
    const first = await invoices.nextKey()
    const numbers = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 ? invoices : other).nextKey()))
    expect(new Set([first, ...numbers]).size).toBe(21)
    expect(Math.min(first, ...numbers)).toBe(first)
  })

  it('are kept as they were made first', async () => {
    const invoice = invoiceOf(poolName(), { memo: 'tea', data: { order: 7 }, expiresAt: 9 })
    expect(await other.find(invoice.pool, invoice.id)).toBeUndefined()
    await invoices.make(invoice)
    await other.make({ ...invoice, memo: 'coffee' })
    expect(await other.find(invoice.pool, invoice.id)).toEqual({ invoice, others: [] })
    expect(await other.find(poolName(), invoice.id)).toBeUndefined()
  })

  it('are watched until that is ended, also those that another process has made, and from a place on only newer ones', async () => {
    const now = Date.now()
    const one = (createdAt: number): WatchedInvoice => ({
      pool: poolName(),
      id: newInvoiceId(),
      scripts: [hex32(), hex32()],
      createdAt,
      until: createdAt + 1,
    })
    const [first, second, third] = [one(now - 10_800_000), one(now - 1_800_000), one(now)]
    await invoices.watch(first)
    await other.watch(second)
    await other.watch(second)
    const before = await invoices.watched()
    expect(before.watched.filter(({ id }) => [first.id, second.id].includes(id))).toEqual([first, second])
    expect((await invoices.watched(before.place)).watched).not.toContainEqual(first)
    await other.watch(third)
    const after = await invoices.watched(before.place)
    expect(after.watched).toContainEqual(third)
    expect(after.watched).not.toContainEqual(first)
    const ahead = one(now + 10_800_000) // made by a program whose clock is wrong: it hides no other one
    await other.watch(ahead)
    const { place } = await invoices.watched(after.place)
    const fourth = one(now + 1)
    await other.watch(fourth)
    expect((await invoices.watched(place)).watched).toContainEqual(fourth)
    await other.unwatch([first, third, fourth, ahead])
    const left = (await invoices.watched()).watched
    expect(left).toContainEqual(second)
    for (const ended of [first, third]) expect(left).not.toContainEqual(ended)
    expect((await invoices.watched(after.place)).watched).not.toContainEqual(third)
  })

  it('of fifty claims at once one stands, and everybody is told the same', async () => {
    const invoice = invoiceOf(poolName())
    const claims = Array.from({ length: 50 }, claim)
    const told = await Promise.all(claims.map((one, i) => (i % 2 ? invoices : other).claim(invoice.pool, invoice.id, one, invoice)))
    const stands = told[0]!.claim!
    expect(told).toEqual(told.map(() => ({ claim: stands })))
    expect(claims).toContainEqual(stands)
    expect(await other.claim(invoice.pool, invoice.id, claims.find(({ entry }) => entry === stands.entry)!, undefined)).toEqual({
      claim: stands,
    })
    expect(await other.find(invoice.pool, invoice.id)).toEqual({ invoice, claim: stands, others: [] })
    expect(await other.cancel(invoice.pool, invoice.id, 5)).toEqual({ claim: stands })
  })

  it('are paid anew in the place of a payment that the network has refused, once, or cancelled', async () => {
    const [invoice, refused] = [invoiceOf(poolName()), claim()]
    await invoices.claim(invoice.pool, invoice.id, refused, invoice)
    const claims = Array.from({ length: 10 }, claim)
    const told = await Promise.all(claims.map((one) => other.claim(invoice.pool, invoice.id, one, invoice, refused)))
    const stands = told[0]!.claim!
    expect(claims).toContainEqual(stands)
    expect(told).toEqual(told.map(() => ({ claim: stands })))
    expect(await invoices.cancel(invoice.pool, invoice.id, 5, refused)).toEqual({ claim: stands })
    expect(await invoices.cancel(invoice.pool, invoice.id, 5, stands)).toMatchObject({ cancelledAt: 5 })
    expect(await other.claim(invoice.pool, invoice.id, claim(), invoice, stands)).toMatchObject({ cancelledAt: 5 })
  })

  it('cannot be paid any more when they are cancelled, and only one that is kept can be', async () => {
    const invoice = invoiceOf(poolName())
    expect(await invoices.cancel(invoice.pool, invoice.id, 5)).toEqual({})
    await invoices.make(invoice)
    expect(await invoices.cancel(invoice.pool, invoice.id, 5)).toEqual({ cancelledAt: 5 })
    expect(await other.cancel(invoice.pool, invoice.id, 6)).toEqual({ cancelledAt: 5 })
    expect(await other.claim(invoice.pool, invoice.id, claim(), invoice)).toEqual({ cancelledAt: 5 })
    expect(await other.standings(invoice.pool, [newInvoiceId(), invoice.id])).toEqual([{}, { cancelledAt: 5 }])
  })

  it('list the payments that did not count, the oldest first, each as it was noted first', async () => {
    const invoice = invoiceOf(poolName())
    await invoices.make(invoice)
    const [late, short] = [4, 3].map((at) => ({ entry: hex32() as EntryId, txid: hex32(), received: at, at, state: 'underpaid' }))
    await invoices.note(invoice.pool, invoice.id, late!)
    await invoices.note(invoice.pool, invoice.id, short!)
    expect(await other.note(invoice.pool, invoice.id, { ...late!, state: 'second' })).toEqual(late)
    expect(await other.find(invoice.pool, invoice.id)).toEqual({ invoice, others: [short, late] })
  })

  it('claimed by their id alone are complete once they are made', async () => {
    const invoice = invoiceOf(poolName())
    const first = claim()
    await invoices.claim(invoice.pool, invoice.id, first, undefined)
    expect(await other.find(invoice.pool, invoice.id)).toBeUndefined()
    await other.make(invoice)
    expect(await invoices.find(invoice.pool, invoice.id)).toEqual({ invoice, claim: first, others: [] })
  })

  it('are paid by some money, and have a name, one of them alone', async () => {
    const [pool, one, two] = [poolName(), newInvoiceId(), newInvoiceId()]
    for (const what of ['use', 'named'] as const) {
      expect(await invoices[what](pool, 'x', one)).toBe(one)
      expect(await other[what](pool, 'x', two)).toBe(one)
      expect(await other[what](pool, 'y', two)).toBe(two)
      expect(await other[what](poolName(), 'x', two)).toBe(two)
    }
    expect([await invoices.use(pool, 'x', two, two), await other.use(pool, 'x', two, one), await other.use(pool, 'x', one, one)]).toEqual([
      one,
      two,
      two,
    ])
    expect([await other.idOf(pool, 'x'), await other.idOf(pool, 'z'), await other.idOf(poolName(), 'x')]).toEqual([
      one,
      undefined,
      undefined,
    ])
    expect(await other.list(pool)).toEqual([])
  })

  it('are told of when they have expired, in the order of their times, until that is forgotten', { timeout: 120_000 }, async () => {
    const pool = poolName()
    const expiries = Array.from({ length: MAX_INVOICES + 20 }, (_, i) => ({ pool, id: newInvoiceId(), at: 1_000 + (i % 7) }))
    await Promise.all(expiries.map((one, i) => (i % 2 ? invoices : other).noteExpiry(one)))
    await invoices.noteExpiry(expiries[0]!)
    await invoices.noteExpiry({ pool, id: newInvoiceId(), at: 2_000 })
    const read = async (before: number) => {
      const all: Expiry[] = []
      for (let page = await other.expired(before); page.length; page = await other.expired(before, page.at(-1))) all.push(...page)
      return all
    }
    const told = await read(2_000)
    expect(new Set(told.map(({ id }) => id))).toEqual(new Set(expiries.map(({ id }) => id)))
    expect(told).toHaveLength(expiries.length)
    expect(told.map(({ at }) => at)).toEqual(told.map(({ at }) => at).sort())
    expect(await read(1_000)).toEqual([])
    await Promise.all(expiries.map((one) => other.forgetExpiry(one)))
    expect(await read(2_000)).toEqual([])
  })

  it('are listed in the order of their ids, a page after the other', { timeout: 120_000 }, async () => {
    const pool = poolName()
    const all = Array.from({ length: MAX_INVOICES + 5 }, () => invoiceOf(pool)).sort((one, two) => (one.id < two.id ? -1 : 1))
    await Promise.all(all.map((invoice) => invoices.make(invoice)))
    const at = { entry: hex32() as EntryId, txid: hex32(), received: 1, at: 1, state: 'late' }
    for (const invoice of all.slice(-3)) await invoices.note(pool, invoice.id, at)
    const [first, second] = [await other.list(pool), await other.list(pool, all[MAX_INVOICES - 1]!.id)]
    expect([...first, ...second].map(({ invoice }) => invoice)).toEqual(all)
    expect(second.map(({ others }) => others.length)).toEqual([0, 0, 1, 1, 1])
    expect(await other.list(pool, all.at(-1)!.id)).toEqual([])
  })
})
