import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answer } from '../door/ask.ts'
import { SIDES, type Side } from '../door/sides.ts'
import { until } from '../machine/machine.ts'
import { paying } from './pay.ts'

// Payments of an invoice that are not what was asked for, on both sides of the ports. Nobody's money is lost: what pays something that was asked for is recorded.

interface Asked {
  outputs: { amount: number; script: string }[]
  merchantData: string
  paymentUrl: string
}

describe.each(SIDES)('%s, a payment', (_, open) => {
  let side: Side
  beforeAll(async () => {
    const request = ({ cups }: Record<string, string>) => ({ amount: 100 * Number(cups ?? 1), memo: 'coffee', data: { cups } })
    side = await open({ coffee: { page: { name: 'Corner Coffee' }, request }, plain: {} })
  })
  afterAll(() => side[Symbol.asyncDispose]())

  const at = async (path: string) => (await side.ask('GET', path)).body as unknown as Asked
  const request = () => at('/coffee')
  /** An invoice that is kept, as a wallet reads it. */
  const made = async (more: object = {}) => {
    const { id } = await side.invoice({ path: 'plain', amount: 700, memo: 'tea', data: { order: 1 }, ...more })
    return { id, asked: await at(`/plain/${id}`) }
  }
  const outputsOf = ({ outputs }: Asked, more = 0) => outputs.map(({ amount, script }) => ({ satoshis: amount + more, script }))
  const post = (path: string, payment: object) => side.ask('POST', path, JSON.stringify(payment), { 'content-type': 'application/json' })
  const pay = ({ merchantData }: Asked, transaction: Buffer, path = '/coffee') =>
    post(path, { transaction: transaction.toString('hex'), merchantData })
  const memo = ({ status, body }: Answer) => [status, body.memo]
  const stateOf = async ({ paymentUrl }: Asked) => {
    const { body } = await side.ask('GET', `${new URL(paymentUrl).pathname}/state`)
    return body as unknown as { id: string; state: string; received: number }
  }
  /** What the handler is told of the payments of an invoice, as soon as there are so many. */
  const told = async (id: string, count: number) => {
    const events = await until(
      () => side.heard.filter(({ invoice }) => invoice?.id === id),
      ({ length }) => length >= count,
    )
    return events.map(({ invoice }) => invoice!)
  }
  const PAID = [200, 'Paid. Thank you.']

  it('of more counts, and is called overpaid', async () => {
    const asked = await request()
    expect(memo(await pay(asked, paying(outputsOf(asked, 5))))).toEqual(PAID)
    const { id, state, received } = await stateOf(asked)
    expect([state, received]).toEqual(['overpaid', 105])
    expect(await told(id, 1)).toMatchObject([{ state: 'overpaid', received: 105 }])
  })

  it('of less is recorded, and the payer is told what is missing; the whole sum still counts', async () => {
    const asked = await request()
    expect(memo(await pay(asked, paying(outputsOf(asked, -5))))).toEqual([
      200,
      'Recorded, but it does not pay all that was asked for: 95 of 100 satoshis. Please ask Corner Coffee what to do.',
    ])
    const { id, state, received } = await stateOf(asked)
    expect([state, received]).toEqual(['underpaid', 95])
    expect(memo(await pay(asked, paying(outputsOf(asked))))).toEqual(PAID)
    expect(await stateOf(asked)).toMatchObject({ state: 'paid', received: 195 })
    expect(await told(id, 2)).toMatchObject([
      { state: 'underpaid', received: 95 },
      { state: 'paid', received: 100 },
    ])
  })

  it('of nothing that was asked for is refused', async () => {
    const asked = await request()
    const { status, body, reason = body.memo } = await pay(asked, paying([{ satoshis: 100, script: '51' }]))
    expect([status, body.code, body.error, reason]).toEqual([422, 'PAYS_NOTHING', 1, body.memo])
    expect(await stateOf(asked)).toMatchObject({ state: 'open', received: 0 })
  })

  it('by another transaction is recorded as second, and by one that spends the same as a copy', async () => {
    const asked = await request()
    const spends = Buffer.concat([Buffer.alloc(32, 9), Buffer.alloc(4)])
    const [first, changed] = [paying(outputsOf(asked), spends), paying(outputsOf(asked), spends, 'feffffff')]
    expect(memo(await pay(asked, first))).toEqual(PAID)
    expect(memo(await pay(asked, changed))).toEqual([200, 'This invoice is paid already, by the same money.'])
    expect(memo(await pay(asked, paying(outputsOf(asked))))).toEqual([
      200,
      'Recorded, but this invoice was paid before. Please ask Corner Coffee for your money.',
    ])
    expect(memo(await pay(asked, first))).toEqual(PAID) // a wallet that retries
    const { id, received } = await stateOf(asked)
    expect(received).toBe(200)
    const events = await told(id, 3)
    const { hash } = side.heard.find(({ invoice }) => invoice?.id === id && invoice.state === 'paid')!
    expect(events.map(({ state, copyOf }) => [state, copyOf]).sort()).toEqual([
      ['paid', undefined],
      ['second', undefined],
      ['second', hash],
    ])
  })

  it('of an invoice that was cancelled is recorded, and the payer is told whom to ask', async () => {
    const { id, asked } = await made()
    expect(await side.invoice.cancel({ path: 'plain', id })).toMatchObject({ state: 'cancelled' })
    expect(memo(await pay(asked, paying(outputsOf(asked)), '/plain'))).toEqual([
      200,
      'Recorded, but this invoice was cancelled. Please ask plain for your money.',
    ])
    expect(await told(id, 1)).toMatchObject([{ state: 'cancelled', received: 700, data: { order: 1 } }])
    expect(await side.invoice.get({ path: 'plain', id })).toMatchObject({ state: 'cancelled', received: 700 })
  })

  it('that comes after the invoice has expired is recorded as late', async () => {
    const { id, asked } = await made({ expiresIn: 1 })
    await until(
      async () => (await side.invoice.get({ path: 'plain', id })).state,
      (state) => state === 'expired',
    )
    expect(memo(await pay(asked, paying(outputsOf(asked)), '/plain'))).toEqual([
      200,
      expect.stringMatching(/^Recorded, but it came after .*Z, when the invoice had expired/),
    ])
    expect(await told(id, 1)).toMatchObject([{ state: 'late', received: 700 }])
    expect(await side.invoice.get({ path: 'plain', id })).toMatchObject({ state: 'late', received: 700 })
  })

  it('with merchantData that was altered, or is of another pool, is refused, and the invoice stays open', async () => {
    const asked = await request()
    const [name, body, mac] = asked.merchantData.split('.') as [string, string, string]
    const other = (text: string) => text.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))
    for (const merchantData of [`${other(name)}.${body}.${mac}`, `${name}.${other(body)}.${mac}`, `${name}.${body}.${other(mac)}`]) {
      const { status, body: said } = await pay({ ...asked, merchantData }, paying(outputsOf(asked)))
      expect([status, said.code, said.memo]).toEqual([422, 'BAD_PAYMENT', expect.stringMatching(/open the request again$/)])
    }
    const elsewhere = await pay(asked, paying(outputsOf(asked)), '/plain')
    expect(memo(elsewhere)).toEqual([422, expect.stringMatching(/another pool, "coffee"/)])
    expect((await pay(asked, paying(outputsOf(asked)), '/coffee/nothing')).status).toBe(404)
    expect(await stateOf(asked)).toMatchObject({ state: 'open', received: 0 })
  })

  it('of a request that was signed by the key before counts after the key was replaced, by its merchantData and by its URL', async () => {
    const [byData, byUrl] = [await request(), await request()]
    await side.rotate()
    const newer = await request()
    expect(newer.merchantData.slice(0, 6)).not.toBe(byData.merchantData.slice(0, 6))
    for (const asked of [byData, newer]) expect(memo(await pay(asked, paying(outputsOf(asked))))).toEqual(PAID)
    const transaction = paying(outputsOf(byUrl)).toString('hex')
    expect(memo(await post(new URL(byUrl.paymentUrl).pathname, { transaction }))).toEqual(PAID)
    expect(await stateOf(byUrl)).toMatchObject({ state: 'paid', received: 100 })
  })
})
