import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Budget, createPaywall, Overpool, type PaywallOptions, payingFetch, type Receipt } from '../../index.ts'
import { ANYONE } from '../../shared/paywall/payee.ts'
import { recordedServer } from '../broadcast/recorded.ts'
import { openMachine } from './machine.ts'
import { serve, without121 } from './serve.ts'
import { headers121, TestWallet } from './wallet.ts'

/** A server with a priced route, and how often the route ran. */
async function shop(
  options: Partial<PaywallOptions> = {},
  breaks?: Parameters<typeof serve>[1],
  route?: (request: Request, run: number) => Response | Promise<Response>,
) {
  const machine = await openMachine()
  const runs: (string | undefined)[] = []
  const failures: unknown[] = []
  const paywall = createPaywall({ pool: machine.pool, path: 'mypool', price: 100, failed: (error) => failures.push(error), ...options })
  const url = await serve(
    paywall(async (request, payment) => {
      // The payment is in the ledger before the route runs.
      const [entry] = await machine.entries()
      runs.push(entry?.hash === payment?.txid ? payment?.txid : 'not there')
      return route ? route(request, runs.length) : new Response(`bought by ${await request.text()}`)
    }),
    breaks,
  )
  return { ...machine, url, runs, failures }
}

describe('payingFetch', () => {
  it.each([
    ['BRC-121', fetch],
    ['BRC-166', without121],
  ] as const)('buys from createPaywall over %s', async (protocol, fetch) => {
    const { url, runs, entries, pool } = await shop()
    const [wallet, budget] = [new TestWallet(undefined, { ancestors: 1 }), new Budget({ perCall: 100, total: 250 })]
    for (const n of [1, 2]) {
      const answer = await payingFetch(`${url}/answer?n=${n}`, { wallet, budget, fetch, method: 'POST', body: 'me' })
      expect([answer.status, await answer.text()]).toEqual([200, 'bought by me'])
    }
    expect(budget).toMatchObject({
      spent: 200,
      receipts: [
        { url: `${url}/answer?n=1`, method: 'POST', satoshis: 100, protocol, status: 200 },
        { url: `${url}/answer?n=2`, satoshis: 100, protocol },
      ],
    })
    const kept = await entries()
    expect(kept.map(({ hash }) => hash)).toEqual(budget.receipts.map(({ txid }) => txid))
    expect(kept[0]!.payment.merchantData).toMatchObject({
      paid: protocol,
      for: expect.stringMatching(/^POST \/answer\?n=1 sha256:[\da-f]{64}$/),
    })
    expect(runs[0]).toBe(budget.receipts[0]!.txid)
    // BRC-166 sends the transaction alone.
    expect(await pool.ancestors({ path: 'mypool', hash: kept[0]!.hash })).toHaveLength(protocol === 'BRC-121' ? 2 : 0)
    await expect(payingFetch(`${url}/answer?n=3`, { wallet, budget, fetch })).rejects.toMatchObject({ code: 'BUDGET_EXCEEDED' })
    expect([wallet.actions.length, runs.length]).toEqual([2, 2])
  })

  it('asks a wallet for nothing that is above the budget of a call', async () => {
    const { url } = await shop()
    const wallet = new TestWallet()
    await expect(payingFetch(url, { wallet, budget: { perCall: 99, total: 1_000 } })).rejects.toMatchObject({
      code: 'BUDGET_EXCEEDED',
      message: expect.stringContaining('costs 100 satoshis, and this call may cost 99'),
    })
    expect(wallet.actions).toEqual([])
  })

  it('keeps calls that run at once within the budget of all', async () => {
    const { url } = await shop()
    const [wallet, budget] = [new TestWallet(), new Budget({ perCall: 100, total: 300 })]
    const calls = await Promise.allSettled(Array.from({ length: 8 }, (_, n) => payingFetch(`${url}/${n}`, { wallet, budget })))
    expect([calls.filter(({ status }) => status === 'fulfilled').length, wallet.actions.length, budget.spent]).toEqual([3, 3, 300])
  })

  it('pays once when the answer is lost: the same payment is sent again', async () => {
    let lost = 0
    const { url, entries, runs } = await shop({}, (_, status) => status === 200 && lost++ < 2)
    const [wallet, budget] = [new TestWallet(), new Budget({ perCall: 100 })]
    expect(await (await payingFetch(url, { wallet, budget })).text()).toBe('bought by ')
    expect([lost, runs.length, wallet.actions.length, (await entries()).length, budget.spent]).toEqual([3, 3, 1, 1, 100])
  })

  it('gives its receipt to be kept before it sends the payment, and sends that payment again when it is given back', async () => {
    let isAway = true
    const { url, entries } = await shop({}, ({ headers }) => isAway && 'x-bsv-beef' in headers)
    const [wallet, budget] = [new TestWallet(), new Budget({ perCall: 100 })]
    const stored: Receipt[] = []
    const keep = async (receipt: Receipt) => void stored.push(structuredClone(receipt))
    await expect(payingFetch(url, { wallet, budget, keep })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining(stored[0]?.txid ?? ''),
    })
    isAway = false
    const answer = await payingFetch(url, { wallet, budget: { perCall: 0 }, receipt: stored[0]! })
    expect([answer.status, wallet.actions.length, (await entries()).length]).toEqual([200, 1, 1])
  }, 30_000)

  it('sends the same payment again when the route has failed, and is charged once', async () => {
    const { url, entries, failures } = await shop({ again: 'refuse' }, undefined, (_, run) => {
      if (run === 1) throw new Error('out of coffee')
      return new Response('coffee')
    })
    const [wallet, budget] = [new TestWallet(), new Budget({ perCall: 100 })]
    expect(await (await payingFetch(url, { wallet, budget })).text()).toBe('coffee')
    expect([wallet.actions.length, (await entries()).length, String(failures)]).toEqual([1, 1, 'Error: out of coffee'])
    // It has its answer now: where what comes again is refused, it buys no second one.
    await expect(payingFetch(url, { wallet, budget, receipt: budget.receipts[0]! })).rejects.toMatchObject({ code: 'PAYMENT_REFUSED' })
  })

  it('cannot use a payment for another request, or for another body', async () => {
    const { url, entries, runs } = await shop()
    const [wallet, budget] = [new TestWallet(), new Budget({ perCall: 100 })]
    const bought = { wallet, budget, method: 'POST', body: 'one' }
    await payingFetch(url, bought)
    const [receipt] = budget.receipts as [Receipt]
    expect((await payingFetch(url, { ...bought, receipt })).status).toBe(200)
    for (const [to, body] of [
      [`${url}/dear`, 'one'],
      [url, 'two'],
    ] as const)
      await expect(payingFetch(to, { ...bought, body, receipt: { ...receipt, url: to } })).rejects.toThrow(/has bought another request/)
    expect([runs.length, (await entries()).length]).toEqual([2, 1])
  })

  it('takes what costs nothing as fetch does, and pays no server that names no terms', async () => {
    const { url } = await shop({ price: (request) => (request.url.endsWith('/free') ? undefined : 100) })
    const wallet = new TestWallet()
    expect((await payingFetch(`${url}/free`, { wallet, budget: { perCall: 1 } })).status).toBe(200)
    const { url: other } = await recordedServer(() => ({ status: 402 }))
    await expect(payingFetch(other, { wallet, budget: { perCall: 1 } })).rejects.toThrow(/names none that is known here/)
    expect(wallet.actions).toEqual([])
  })

  it('works with a wallet that lays its transaction open first, and ends with the signal when the wallet never answers', async () => {
    const { url } = await shop()
    expect((await payingFetch(url, { wallet: new TestWallet(undefined, { asksToSign: true }), budget: { perCall: 100 } })).status).toBe(200)
    const silent = Object.assign(new TestWallet(), { createAction: () => new Promise<never>(() => {}) })
    const budget = new Budget({ perCall: 100 })
    const stop = new AbortController()
    const called = payingFetch(url, { wallet: silent, budget, signal: stop.signal })
    const asked = new Promise<void>((resolve) => {
      silent.createAction = () => {
        resolve()
        return new Promise<never>(() => {})
      }
    })
    await asked
    stop.abort()
    await expect(called).rejects.toThrow(/abort/i)
    expect(budget).toMatchObject({ spent: 100, receipts: [] }) // the wallet may still pay
  })

  it('pays no server to which another one leads, and sends it no credentials', async () => {
    const { url: other, requests } = await recordedServer(() => ({ status: 402, headers: { 'x-bsv-sats': '100', 'x-bsv-server': ANYONE } }))
    const url = await serve(() => Response.redirect(other))
    const wallet = new TestWallet()
    const called = payingFetch(url, { wallet, budget: { perCall: 100 }, headers: { authorization: 'Bearer secret' } })
    await expect(called).rejects.toMatchObject({ code: 'PAYMENT_REFUSED', message: expect.stringContaining('leads to another server') })
    expect([wallet.actions, requests.map(({ headers }) => headers.authorization)]).toEqual([[], [undefined]])
  })

  it('counts as spent what a wallet may have sent: a transaction that pays too little, or none that can be read', async () => {
    const { url } = await shop()
    for (const tx of [(await new TestWallet().pay([])).toAtomicBEEF(), [1, 2, 3], undefined]) {
      const wallet = Object.assign(new TestWallet(), { createAction: async () => ({ tx }) })
      const budget = new Budget({ perCall: 100 })
      await expect(payingFetch(url, { wallet, budget })).rejects.toMatchObject({ code: 'BAD_TRANSACTION' })
      expect(budget.spent).toBe(100)
    }
  })

  it('says what a wallet said that does not pay, and counts nothing', async () => {
    const { url } = await shop()
    const poor = Object.assign(new TestWallet(), { createAction: () => Promise.reject(new Error('insufficient funds')) })
    const budget = new Budget({ perCall: 100 })
    await expect(payingFetch(url, { wallet: poor, budget })).rejects.toMatchObject({
      code: 'WALLET_UNAVAILABLE',
      message: expect.stringContaining('insufficient funds'),
    })
    expect(budget.spent).toBe(0)
  })
})

describe('createPaywall', () => {
  it('asks nothing for a request whose body is too large, and records a payment that comes with one', async () => {
    const { pool, entries } = await openMachine()
    const route = createPaywall({ pool, path: 'mypool', price: 5 })(() => new Response('bought'))
    const post = (headers: Record<string, string>, body: Uint8Array<ArrayBuffer> | string) =>
      route(new Request('https://shop.example/', { method: 'POST', headers, body }))
    expect((await post({ 'content-length': '10000001' }, 'declared')).status).toBe(413)
    const { publicKey } = await (await pool.payee({ path: 'mypool' })).getPublicKey({ identityKey: true })
    const headers = await headers121(new TestWallet(), publicKey, 5)
    expect((await post(headers, new Uint8Array(10_000_001))).status).toBe(413)
    expect(await entries()).toMatchObject([{ payment: { merchantData: { refused: 'body_too_large', satoshis: 5, for: 'POST /' } } }])
    expect(await (await post(headers, 'less')).text()).toBe('bought')
  })
})

describe('createPaywall as Hono middleware', () => {
  it('lets the route run with its payment, once per purchase, and reports what a route throws', async () => {
    const { pool, entries } = await openMachine()
    const paywall = createPaywall({ pool, path: 'mypool', price: 7 })
    const app = new Hono()
    let runs = 0
    app.onError((_, c) => c.text('my own sentence', 500))
    app.use(cors({ exposeHeaders: ['x-of-the-route'] }))
    app.post('/paid/echo', paywall.middleware, async (c) => c.json({ sent: await c.req.text(), satoshis: c.get('payment')?.satoshis }))
    app.get('/paid/once', paywall.middleware, () => {
      if (runs++ === 0) throw new Error('not yet')
      return new Response('now')
    })
    app.get('/free', (c) => c.text('free'))
    const url = await serve((request) => app.fetch(request))
    const [wallet, budget] = [new TestWallet(), new Budget({ perCall: 10, total: 100 })]
    expect(await (await payingFetch(`${url}/free`, { wallet, budget })).text()).toBe('free')
    const echo = await payingFetch(`${url}/paid/echo`, { wallet, budget, method: 'POST', body: 'hello' })
    expect([await echo.json(), echo.headers.get('x-bsv-payment-satoshis-paid')]).toEqual([{ sent: 'hello', satoshis: 7 }, '7'])
    expect(echo.headers.get('access-control-expose-headers')).toMatch(/^x-of-the-route, x-bsv-sats, /)
    expect(await (await payingFetch(`${url}/paid/once`, { wallet, budget })).text()).toBe('now')
    expect([budget.spent, wallet.actions.length, (await entries()).length]).toEqual([14, 2, 2])
  })

  it('works in a program that joins the machine of another one, and pays the same keys', async () => {
    const { pool, dir, entries } = await openMachine()
    const joined = new Overpool({ dir })
    onTestFinished(() => joined.close())
    const route = createPaywall({ pool: joined, path: 'mypool', price: 5 })(async (_, payment) => Response.json(payment))
    const get = (...[url, init]: Parameters<typeof fetch>) => route(new Request(url as string, init))
    const [wallet, budget] = [new TestWallet(), new Budget({ perCall: 5 })]
    const answer = await payingFetch('https://shop.example/', { wallet, budget, fetch: get as typeof fetch })
    expect(await answer.json()).toMatchObject({ satoshis: 5, again: false, txid: budget.receipts[0]!.txid })
    expect(await entries()).toMatchObject([{ hash: budget.receipts[0]!.txid, payment: { merchantData: { for: 'GET /' } } }])
    const keys = [await pool.payee({ path: 'mypool' }), await joined.payee({ path: 'mypool' })].map((payee) =>
      payee.getPublicKey({ identityKey: true }),
    )
    expect(await keys[1]).toEqual(await keys[0])
  })

  it('refuses what it cannot work with', async () => {
    const { pool } = await openMachine()
    const { post, get } = pool
    for (const options of [
      {},
      { pool, path: 'mypool' },
      { pool, path: 'mypool', price: -1 },
      { pool: { post, get }, path: 'mypool', price: 1 },
    ])
      expect(() => createPaywall(options as never)).toThrow(/createPaywall|price/)
  })
})
