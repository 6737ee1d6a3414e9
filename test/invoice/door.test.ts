import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Overpool } from '../../index.ts'
import type { OwnService } from '../../shared/config/bitcoin.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import { type Answer, askAt } from '../door/ask.ts'
import type { PaymentRequest } from '../door/wallets.ts'
import { until } from '../machine/machine.ts'
import { paying } from './pay.ts'

const WALLET = { accept: 'application/bitcoinsv-paymentrequest' }
const DATA = '006a0474657374'

let dir: string
let pools: Overpool
let url: string
/** what takes transactions that are broadcast */
let network: OwnService = async () => {}
/** what the handler got, by invoice */
const heard = new Map<string, TxEvent[]>()

async function open(): Promise<void> {
  pools = new Overpool({ dir, bitcoin: { network: 'main', broadcast: [async (sent) => network(sent)] } })
  pools.on('tx', (e) => {
    if (e.invoice) heard.set(e.invoice.id, [...(heard.get(e.invoice.id) ?? []), e])
  })
  const created = await pools.create({
    path: 'coffee',
    port: 0,
    page: { name: 'Corner Coffee' },
    request: ({ cups }) =>
      cups === '0' ? undefined : { amount: 100 * Number(cups ?? 1), memo: 'coffee', expiresIn: 60_000, data: { cups } },
  })
  await pools.create({ path: 'plain', port: 0 })
  const address = '12ZEw5Hcv1hTb6YUQJ69y1V7uhcoDz92PH'
  await pools.create({ path: 'donate', port: 0, request: { outputs: [{ amount: 50, address }] }, origins: ['https://shop.example'] })
  url = created.url!.replace('/coffee', '')
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'overpool-invoices-'))
  await open()
})
afterAll(async () => {
  await pools.close()
  rmSync(dir, { recursive: true })
})

const get = (path: string, headers: Record<string, string> = {}) => askAt(url, 'GET', path, '', headers)
const post = (path: string, payment: object) => askAt(url, 'POST', path, JSON.stringify(payment), { 'content-type': 'application/json' })
const request = async (query = '') => JSON.parse((await get(`/coffee${query}`)).text) as PaymentRequest
const asOutputs = ({ outputs }: PaymentRequest) => outputs.map(({ amount: satoshis, script }) => ({ satoshis, script }))
const pay = (asked: PaymentRequest, transaction: Buffer, more: object = {}) =>
  post('/coffee', { transaction: transaction.toString('hex'), merchantData: asked.merchantData, ...more })
const pathOf = (paymentUrl: string) => new URL(paymentUrl).pathname
const stateOf = async (asked: PaymentRequest) =>
  JSON.parse((await get(`${pathOf(asked.paymentUrl)}/state`)).text) as {
    id: string
    state: string
    received: number
    due: number
    underWay?: boolean
  }
const handled = (id: string, count: number) =>
  until(
    async () => heard.get(id) ?? [],
    (events) => events.length >= count,
  )
const memo = ({ status, body }: Answer) => [status, body.memo]

describe('a pool that asks', () => {
  it('answers each client as it wants it, and each time with a fresh script', async () => {
    const now = Math.floor(Date.now() / 1_000)
    const asked = await request()
    expect(asked).toEqual({
      network: 'bitcoin-sv',
      outputs: [{ amount: 100, script: expect.stringMatching(/^76a914[\da-f]{40}88ac$/) }],
      creationTimestamp: expect.closeTo(now, -1),
      expirationTimestamp: asked.creationTimestamp + 60,
      memo: 'coffee',
      paymentUrl: `${url}/coffee/${asked.merchantData}`,
      merchantData: expect.any(String),
    })
    const again = await request()
    expect(again.outputs[0]!.script).not.toBe(asked.outputs[0]!.script)
    const shown = await get(pathOf(asked.paymentUrl), WALLET)
    expect([shown.headers['content-type'], shown.headers.vary, shown.body]).toEqual([
      'application/json',
      'Accept',
      { ...asked, network: 'bitcoin' },
    ])
  })

  it('says its own address as a proxy names it', async () => {
    const behind = await get('/coffee', { host: 'pay.example', 'x-forwarded-proto': 'https' })
    expect((JSON.parse(behind.text) as PaymentRequest).paymentUrl).toMatch(/^https:\/\/pay\.example\/coffee\//)
  })

  it('asks for nothing where its function says nothing: then it is a pool like any other', async () => {
    expect((await get('/coffee?cups=0')).status).toBe(405)
    expect((await get('/plain')).status).toBe(405)
    expect((await get('/plain/abc')).status).toBe(404)
  })

  it('takes payments without a request, too', async () => {
    const { status, body } = await post('/coffee', {
      transaction: paying([{ satoshis: 1, script: '51' }]).toString('hex'),
      merchantData: '{"order":7}',
    })
    expect([status, body.memo]).toEqual([200, 'Received into coffee'])
  })
})

describe('a payment', () => {
  it('in full turns the request to paid, once, however often it is sent', async () => {
    const asked = await request('?cups=3')
    expect(await stateOf(asked)).toMatchObject({ state: 'open', due: 300, received: 0 })
    const transaction = paying([{ satoshis: 50, script: DATA }, ...asOutputs(asked)])
    const first = await pay(asked, transaction)
    expect(first.body).toEqual({
      payment: { transaction: transaction.toString('hex'), merchantData: asked.merchantData },
      memo: 'Paid. Thank you.',
      error: 0,
      success: true,
    })
    for (const more of [{}, { memo: 'again' }, { refundTo: 'a@b.c' }])
      expect(memo(await pay(asked, transaction, more))).toEqual([200, 'Paid. Thank you.'])
    const { id, state, received } = await stateOf(asked)
    expect([state, received]).toEqual(['paid', 300])
    const [event, ...others] = await handled(id, 1)
    expect([event!.invoice, others]).toEqual([{ id, state: 'paid', received: 300, data: { cups: '3' } }, []])
    expect((await pools.get({ path: 'coffee', hash: event!.hash })).invoice).toEqual(event!.invoice)
    expect((await pools.invoice.get({ path: 'coffee', id })).payment).toMatchObject({ txid: event!.hash, seq: event!.seq, status: 'local' })
  })

  it('is taken at the address of the request, too, as pages post it', async () => {
    const asked = await request()
    const transaction = [...paying(asOutputs(asked))]
    expect(memo(await post(pathOf(asked.paymentUrl), { transaction }))).toEqual([200, 'Paid. Thank you.'])
    expect(await stateOf(asked)).toMatchObject({ state: 'paid' })
  })

  it('of too little that comes in two shapes is one payment', async () => {
    const asked = await request()
    const spends = Buffer.concat([Buffer.alloc(32, 8), Buffer.alloc(4)])
    const short = asOutputs(asked).map(({ satoshis, script }) => ({ satoshis: satoshis - 1, script }))
    await Promise.all(['ffffffff', 'feffffff'].map((sequence) => pay(asked, paying(short, spends, sequence))))
    const { id, received } = await stateOf(asked)
    expect(received).toBe(99)
    const copies = (await handled(id, 2)).map(({ hash, invoice }) => [hash, invoice!.copyOf])
    const [[original]] = copies.filter(([, copyOf]) => copyOf === undefined) as [[string]]
    expect(copies).toContainEqual([expect.any(String), original])
  })

  it('of fifty wallets at once: one pays, the others are told so', async () => {
    const asked = await request()
    const answers = await Promise.all(Array.from({ length: 50 }, () => pay(asked, paying(asOutputs(asked)))))
    const paid = answers.filter(({ body }) => body.memo === 'Paid. Thank you.')
    expect([paid.length, new Set(answers.map(({ status }) => status))]).toEqual([1, new Set([200])])
    const { id } = await stateOf(asked)
    const events = await handled(id, 50)
    const [winner, ...others] = events.filter(({ invoice }) => invoice!.state === 'paid')
    expect([winner!.payment.transaction, others]).toEqual([(paid[0]!.body.payment as { transaction: string }).transaction, []])
    expect(events.filter(({ invoice }) => invoice!.state === 'second')).toHaveLength(49)
  })

  it('of more than there is does not stop the pool', async () => {
    const asked = await request()
    const [output] = asOutputs(asked)
    const all = Array.from({ length: 5 }, () => ({ ...output!, satoshis: 2_100_000_000_000_000 }))
    expect(memo(await pay(asked, paying(all)))).toEqual([200, 'Paid. Thank you.'])
    const { id } = await stateOf(asked)
    expect((await handled(id, 1))[0]!.invoice).toMatchObject({ state: 'overpaid', received: 2_100_000_000_000_000 })
  })

  it('pays one request only, also where all of them ask for the same address', async () => {
    const [one, two] = (await Promise.all([get('/donate'), get('/donate')])).map(({ text }) => JSON.parse(text) as PaymentRequest)
    const transaction = paying(asOutputs(one!)).toString('hex')
    const payOf = ({ merchantData }: PaymentRequest) => post('/donate', { transaction, merchantData })
    expect(memo(await payOf(one!))).toEqual([200, 'Paid. Thank you.'])
    expect(memo(await payOf(two!))).toEqual([200, 'This invoice is paid already, by the same money.'])
    expect([await stateOf(one!), await stateOf(two!)]).toMatchObject([{ state: 'paid' }, { state: 'open', received: 0 }])
    expect(memo(await payOf(one!))).toEqual([200, 'Paid. Thank you.'])
    const [event] = await handled((await stateOf(two!)).id, 1)
    expect(event!.invoice).toMatchObject({ state: 'second', copyOf: event!.hash })
  })

  it('of money whose first payment the network has refused pays another request of the same address', async () => {
    network = async () => {
      throw Object.assign(new Error('not signed'), { final: true, reason: 'not signed' })
    }
    const asked = (await Promise.all([get('/donate'), get('/donate'), get('/donate')])).map(
      ({ text }) => JSON.parse(text) as PaymentRequest,
    )
    const spends = Buffer.concat([Buffer.alloc(32, 12), Buffer.alloc(4)])
    const payOf = (one: PaymentRequest, sequence: string) =>
      post('/donate', { transaction: paying(asOutputs(one), spends, sequence).toString('hex'), merchantData: one.merchantData })
    const [junk, two, three] = asked as [PaymentRequest, PaymentRequest, PaymentRequest]
    expect(memo(await payOf(junk, 'ffffffff'))).toEqual([200, 'Paid. Thank you.'])
    const { id } = await stateOf(junk)
    await pools.broadcast((await handled(id, 1))[0]!)
    await until(
      () => stateOf(junk),
      ({ state }) => state === 'open',
    )
    expect(memo(await payOf(two, 'feffffff'))).toEqual([200, 'Paid. Thank you.'])
    expect(memo(await payOf(three, 'fdffffff'))).toEqual([200, 'This invoice is paid already, by the same money.'])
  })

  it('is taken from the page of the request itself, also where other pages may not post', async () => {
    const asked = JSON.parse((await get('/donate')).text) as PaymentRequest
    const body = JSON.stringify({ transaction: paying(asOutputs(asked)).toString('hex'), merchantData: asked.merchantData })
    const from = (origin: string) =>
      askAt(url, 'POST', '/donate', body, { 'content-type': 'application/json', host: 'pay.example', origin })
    expect((await from('http://evil.example')).status).toBe(403)
    expect((await from('http://pay.example')).status).toBe(200)
  })

  it('of each of a thousand requests, sent twice at once, pays it once', { timeout: 120_000 }, async () => {
    const requests: PaymentRequest[] = []
    const lanes = Array.from({ length: 20 }, async (_, lane) => {
      for (let i = lane; i < 1_000; i += 20) {
        const asked = (requests[i] = await request())
        const transaction = paying(asOutputs(asked))
        const answers = await Promise.all([pay(asked, transaction), pay(asked, transaction, { memo: 'once more' })])
        expect(answers.map(memo)).toEqual([
          [200, 'Paid. Thank you.'],
          [200, 'Paid. Thank you.'],
        ])
      }
    })
    await Promise.all(lanes)
    const asked = new Set<unknown>(requests.map(({ merchantData }) => merchantData))
    const events = await until(
      async () => (await Array.fromAsync(pools.read({ path: 'coffee' }))).filter(({ payment }) => asked.has(payment.merchantData)),
      ({ length }) => length >= 1_000,
    )
    expect(new Set(events.map(({ invoice }) => invoice!.id)).size).toBe(1_000)
    expect(events.map(({ invoice }) => invoice!.state)).toEqual(Array(1_000).fill('paid'))
  })
})

describe('an invoice', () => {
  const made = (more: object = {}) => pools.invoice({ path: 'plain', amount: 700, memo: 'tea', data: { order: 1 }, ...more })
  const asked = async (path: string) => JSON.parse((await get(path)).text) as PaymentRequest

  it('is made by a program, kept, paid, and asked after', async () => {
    const invoice = await made()
    expect(invoice).toMatchObject({
      path: 'plain',
      state: 'open',
      due: 700,
      received: 0,
      memo: 'tea',
      data: { order: 1 },
      url: `${url}/plain/${invoice.id}`,
    })
    expect(invoice.uri).toBe(`pay:?r=${encodeURIComponent(invoice.url)}`)
    expect(invoice.outputs).toEqual([
      { satoshis: 700, script: expect.any(String), address: expect.stringMatching(/^1/), keyPath: expect.stringMatching(/^0\/\d+$/) },
    ])
    const request = await asked(`/plain/${invoice.id}`)
    expect(request).toMatchObject({ paymentUrl: invoice.url, outputs: [{ amount: 700, script: invoice.outputs[0]!.script }] })
    const transaction = paying(asOutputs(request)).toString('hex')
    expect(memo(await post('/plain', { transaction, merchantData: request.merchantData }))).toEqual([200, 'Paid. Thank you.'])
    expect(await pools.invoice.get({ path: 'plain', id: invoice.id })).toMatchObject({ state: 'paid', received: 700 })
    expect((await pools.invoice.list({ path: 'plain' })).map(({ id }) => id)).toContain(invoice.id)
    expect((await handled(invoice.id, 1))[0]!.invoice).toEqual({ id: invoice.id, state: 'paid', received: 700, data: { order: 1 } })
    await expect(pools.invoice.cancel({ path: 'plain', id: invoice.id })).rejects.toMatchObject({ code: 'INVOICE_PAID' })
  })

  it('is made once under a name, and each has a script of its own', async () => {
    const [one, two, other] = [await made({ id: 'order 7' }), await made({ id: 'order 7', amount: 5 }), await made({ id: 'order 8' })]
    expect([two.id, two.due]).toEqual([one.id, 700])
    expect(other.outputs[0]!.script).not.toBe(one.outputs[0]!.script)
  })

  it('whose payment the network has refused is open again: another one pays it, or it is cancelled', async () => {
    const reason = 'its input is not there'
    network = async () => {
      throw Object.assign(new Error(reason), { final: true, reason })
    }
    const refuse = async (paid: Awaited<ReturnType<typeof made>>, meanwhile: () => Promise<unknown> = async () => {}) => {
      const wanted = await asked(`/plain/${paid.id}`)
      const junk = paying(asOutputs(wanted)).toString('hex')
      expect(memo(await post('/plain', { transaction: junk, merchantData: wanted.merchantData }))).toEqual([200, 'Paid. Thank you.'])
      const [event] = await handled(paid.id, 1)
      await meanwhile()
      await pools.broadcast(event!)
      await until(
        () => pools.invoice.get({ path: 'plain', id: paid.id }),
        ({ state }) => state === 'open',
      )
      return wanted
    }
    const [one, two] = [await made(), await made()]
    const wanted = await refuse(one)
    expect(await pools.invoice.get({ path: 'plain', id: one.id })).toMatchObject({ received: 0, payment: { status: 'rejected' } })
    const pay = () => post('/plain', { transaction: paying(asOutputs(wanted)).toString('hex'), merchantData: wanted.merchantData })
    const told = (await Promise.all(Array.from({ length: 10 }, pay))).map(({ body }) => body.memo)
    expect(told.filter((text) => text === 'Paid. Thank you.')).toHaveLength(1)
    const events = await handled(one.id, 11)
    expect(events.slice(1).filter(({ invoice }) => invoice!.state === 'paid')).toHaveLength(1)
    // Whoever came second before that stays second, however often it is sent: its entry says so.
    const early = { transaction: paying(asOutputs(await asked(`/plain/${two.id}`))).toString('hex') }
    await refuse(two, () => post(`/plain/${two.id}`, early))
    expect(memo(await post(`/plain/${two.id}`, early))[1]).toMatch(/was paid before/)
    expect(await pools.invoice.get({ path: 'plain', id: two.id })).toMatchObject({ state: 'open' })
    expect(await pools.invoice.cancel({ path: 'plain', id: two.id })).toMatchObject({ state: 'cancelled' })
  })

  it('that is underpaid when it expires says both, and its page has no button any more', async () => {
    const invoice = await made({ expiresIn: 1 })
    const { outputs } = await asked(`/plain/${invoice.id}`)
    const part = outputs.map(({ amount, script }) => ({ satoshis: amount - 1, script }))
    await post(`/plain/${invoice.id}`, { transaction: paying(part).toString('hex') })
    const view = await until(
      async () => pools.invoice.get({ path: 'plain', id: invoice.id }),
      ({ expired, underWay }) => expired === true && !underWay,
    )
    expect(view).toMatchObject({ state: 'underpaid', expired: true, received: 699 })
    const { text } = await get(`/plain/${invoice.id}`, { accept: 'text/html' })
    expect(text).toContain('The time to pay this invoice is over')
    expect(text).not.toContain('id="pay"')
  })

  it('stays paid when the network has taken a copy of its payment with another id', async () => {
    const invoice = await made()
    const outputs = asOutputs(await asked(`/plain/${invoice.id}`))
    const spends = Buffer.concat([Buffer.alloc(32, 11), Buffer.alloc(4)])
    const pay = (sequence: string) => post(`/plain/${invoice.id}`, { transaction: paying(outputs, spends, sequence).toString('hex') })
    expect(memo(await pay('ffffffff'))).toEqual([200, 'Paid. Thank you.'])
    expect(memo(await pay('feffffff'))).toEqual([200, 'This invoice is paid already, by the same money.'])
    const [first, copy] = await handled(invoice.id, 2)
    network = async () => {
      throw Object.assign(new Error('spent'), { final: true, reason: 'spent' })
    }
    await pools.broadcast(first!)
    await until(
      () => pools.get({ path: 'plain', hash: first!.hash }),
      ({ status, final }) => status === 'rejected' && final === true,
    )
    const view = await until(
      () => pools.invoice.get({ path: 'plain', id: invoice.id }),
      ({ payment }) => payment?.txid === copy!.hash,
    )
    expect(view).toMatchObject({ state: 'paid', received: 700, payment: { txid: copy!.hash } })
    expect(memo(await post(`/plain/${invoice.id}`, { transaction: paying(outputs).toString('hex') }))[1]).toMatch(/was paid before/)
  })

  it('of a handler is made once, however often the handler runs', async () => {
    let runs = 0
    const made: string[] = []
    pools.on(
      'tx',
      async (e) => {
        if (e.payment.memo !== 'invoice me') return
        made.push((await pools.invoice({ path: 'plain', amount: 900 })).id)
        if (runs++ < 2) throw new Error('once more')
      },
      { name: 'invoicing' },
    )
    await pools.post({
      path: 'plain',
      payment: { transaction: paying([{ satoshis: 1, script: '51' }]).toString('hex'), memo: 'invoice me' },
    })
    await until(
      async () => made,
      ({ length }) => length === 3,
    )
    expect(new Set(made).size).toBe(1)
  })

  it('is refused where something is wrong, with what to do', async () => {
    const wrong = (call: Promise<unknown>, code: string, message: RegExp) =>
      expect(call).rejects.toMatchObject({ code, message: expect.stringMatching(message) as unknown })
    await wrong(pools.invoice({ path: 'nowhere', amount: 5 }), 'POOL_NOT_FOUND', /nowhere/)
    await wrong(pools.invoice({ path: 'plain', amount: -5 }), 'BAD_ARGUMENT', /whole number of satoshis/)
    await wrong(pools.invoice({ path: 'plain', outputs: [{ amount: 5, address: '1abc' }] }), 'BAD_ARGUMENT', /is no address/)
    await wrong(pools.invoice.get({ path: 'plain', id: 'x' }), 'INVOICE_NOT_FOUND', /"plain" has no invoice "x"/)
    await wrong(
      pools.create({ path: 'bad', port: false, request: { memo: 'x' } }),
      'BAD_CONFIG',
      /pools\.bad\.request asks for an `amount`/,
    )
  })

  it('stays paid over a restart, and requests stay good', async () => {
    const [paid, open_] = [await made(), await request()]
    const { merchantData, ...rest } = await asked(`/plain/${paid.id}`)
    await post('/plain', { transaction: paying(asOutputs({ merchantData, ...rest })).toString('hex'), merchantData })
    await pools.close()
    await open()
    expect(await pools.invoice.get({ path: 'plain', id: paid.id })).toMatchObject({ state: 'paid' })
    expect(memo(await pay(open_, paying(asOutputs(open_))))).toEqual([200, 'Paid. Thank you.'])
  })
})
