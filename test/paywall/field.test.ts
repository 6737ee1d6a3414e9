import { readFileSync } from 'node:fs'
import { P2PKH, PrivateKey, ProtoWallet, Transaction } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import { createPaywall, type PaywallOptions, payingFetch } from '../../index.ts'
import { recordedServer } from '../broadcast/recorded.ts'
import { openMachine } from './machine.ts'
import { decoded, encoded, headers121, type Offer, TestWallet } from './wallet.ts'

// Each case of the files of two specifications: the vectors of BRC-121, and the list of BRC-166.

const file = (name: string) => JSON.parse(readFileSync(new URL(`../data/field/${name}`, import.meta.url), 'utf8'))

interface Vector {
  id: string
  description: string
  input: { method: string; path: string; headers: Record<string, string>; body?: object; _scenario?: string; invalid_examples?: string[] }
  expected: {
    status?: number
    response_headers?: Record<string, string>
    response_headers_includes?: Record<string, string>
    body?: object | null
    body_empty?: boolean
    pattern?: string
    invoice_number?: string
    derivation_prefix?: string
    derivation_suffix?: string
    remittance_shape?: Record<string, string>
  }
}
const VECTORS: Vector[] = file('ts-stack-brc121.json').vectors
/** The keys in the vectors are those of the private keys 1 and 2; their placeholder for a BEEF stands for a payment. */
const SERVER = new ProtoWallet(new PrivateKey(1))
const SERVER_KEY = '0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'
const PLACEHOLDER = 'AABB=='
const NOW = 1_719_500_000_000
const paying = () => new TestWallet(new PrivateKey(2))

async function wallOf(options: Partial<PaywallOptions> = {}) {
  const machine = await openMachine()
  const paywall = createPaywall({
    pool: machine.pool,
    path: 'mypool',
    price: 100,
    wallet: SERVER,
    now: () => NOW,
    failed: () => {},
    ...options,
  })
  let runs = 0
  const fetch = paywall(async () => {
    runs++
    return new Response('the article')
  })
  return { ...machine, fetch, runs: () => runs }
}

/** The request of a vector, with a payment in the place of its placeholder. */
async function requestOf({ method, path, headers, body }: Vector['input'], satoshis = 100): Promise<Request> {
  const sent = { ...headers }
  if (sent['x-bsv-beef'] === PLACEHOLDER || (sent['x-bsv-sender'] && !sent['x-bsv-beef'])) {
    const { 'x-bsv-nonce': nonce, 'x-bsv-time': time = String(NOW) } = sent
    const made = await headers121(paying(), SERVER_KEY, satoshis, { ...(nonce && { nonce }), time })
    if (sent['x-bsv-beef']) sent['x-bsv-beef'] = made['x-bsv-beef']!
  }
  return new Request(`https://shop.example${path}`, { method, headers: sent, ...(body && { body: JSON.stringify(body) }) })
}

describe('BRC-121:', () => {
  const requests = VECTORS.filter(({ input, expected }) => input.path && expected.status !== 500 && !input._scenario?.includes('isMerge'))
  it.each(requests)('$id $description', async ({ input, expected }) => {
    const price = Number(expected.response_headers?.['x-bsv-sats'] ?? 100)
    const { fetch, runs, entries } = await wallOf({ price })
    const answer = await fetch(await requestOf(input))
    expect(answer.status).toBe(expected.status)
    expect(runs()).toBe(expected.status === 200 ? 1 : 0)
    for (const [name, value] of Object.entries(expected.response_headers ?? {})) expect(answer.headers.get(name)).toBe(value)
    for (const [name, value] of Object.entries(expected.response_headers_includes ?? {})) expect(answer.headers.get(name)).toContain(value)
    if (expected.body === null || expected.body_empty) expect(await answer.text()).toBe('')
    if (expected.status === 200)
      expect((await entries()).map(({ payment }) => payment.merchantData)).toMatchObject([
        { paid: 'BRC-121', satoshis: 100, for: `${input.method} ${input.path}`, vout: 0 },
      ])
  })

  const one = (part: string) => VECTORS.find(({ id, input }) => id.endsWith(part) || input._scenario?.includes(part))!
  const paid = one('brc121.4')

  it(`${one('isMerge').description}, where the paywall is told to refuse what comes again`, async () => {
    const { fetch, entries, runs } = await wallOf({ again: 'refuse' })
    const request = await requestOf(one('isMerge').input)
    expect((await fetch(request.clone())).status).toBe(200)
    expect((await fetch(request)).status).toBe(one('isMerge').expected.status)
    expect([(await entries()).length, runs()]).toEqual([1, 1])
  })

  it('the key of a payment is derived, and kept, as the vectors say', async () => {
    const { invoice_number, derivation_prefix, derivation_suffix } = one('brc121.13').expected
    const { fetch, entries } = await wallOf()
    await fetch(await requestOf(paid.input))
    const [{ payment }] = (await entries()) as [Awaited<ReturnType<typeof entries>>[number]]
    const { sender, prefix, suffix, vout } = payment.merchantData!
    expect(`2-3241645161d8-${prefix} ${suffix}`).toBe(invoice_number)
    expect([prefix, suffix]).toEqual([derivation_prefix, derivation_suffix])
    expect({ derivationPrefix: prefix, derivationSuffix: suffix, senderIdentityKey: sender }).toEqual(
      one('brc121.16').expected.remittance_shape,
    )
    // With what was kept, the payee's key opens the output.
    const key = SERVER.keyDeriver!.derivePrivateKey([2, '3241645161d8'], `${prefix} ${suffix}`, sender)
    const { lockingScript } = Transaction.fromHex(payment.transaction).outputs[vout]!
    expect(new P2PKH().lock(key.toPublicKey().toHash() as number[]).toHex()).toBe(lockingScript.toHex())
  })

  it.each(one('brc121.14').input.invalid_examples!)('the time %s is none', async (time) => {
    expect(new RegExp(one('brc121.14').expected.pattern!).test(time)).toBe(false)
    const { fetch } = await wallOf()
    const { input } = paid
    const answer = await fetch(await requestOf({ ...input, headers: { ...input.headers, 'x-bsv-time': time } }))
    expect([answer.status, ((await answer.json()) as { error: string }).error]).toEqual([402, expect.stringContaining('x-bsv-time')])
  })

  it(one('brc121.15').description, async () => {
    const { status, body } = one('brc121.15').expected
    const wallet = { getPublicKey: () => Promise.reject(new Error('it is locked')), createHmac: SERVER.createHmac.bind(SERVER) }
    const { fetch, runs } = await wallOf({ wallet })
    const answer = await fetch(await requestOf(paid.input))
    expect([answer.status, await answer.json(), runs()]).toEqual([status, { ...body, retryable: true }, 0])
  })

  it(one('brc121.18').description, async () => {
    const wallet = new TestWallet()
    const { url, requests } = await recordedServer(() => ({
      status: 402,
      headers: { 'x-bsv-sats': '100', 'x-bsv-server': SERVER_KEY },
      body: { error: 'I do not like it' },
    }))
    await expect(payingFetch(url, { wallet, budget: { perCall: 100 } })).rejects.toMatchObject({
      code: 'PAYMENT_REFUSED',
      message: expect.stringContaining('I do not like it'),
    })
    expect([wallet.actions.length, requests.length]).toEqual([1, 2])
  })
})

const X402 = file('x402-brc166.json')

describe('BRC-166:', () => {
  /** A shop with a cheap and a dear route, and its offers. */
  async function shop(options: Partial<PaywallOptions> & { bitcoin?: Parameters<typeof openMachine>[0] } = {}) {
    const { bitcoin, ...rest } = options
    const machine = await openMachine(bitcoin)
    let now = NOW
    const failures: unknown[] = []
    const paywall = createPaywall({
      pool: machine.pool,
      path: 'mypool',
      price: (request) => (request.url.endsWith('/dear') ? 1_000 : 10),
      now: () => now,
      failed: (error) => failures.push(error),
      ...rest,
    })
    const fetch = paywall(async (_, payment) => Response.json(payment))
    const get = (path: string, signature?: unknown) =>
      fetch(new Request(`https://host${path}`, { headers: signature === undefined ? {} : { 'payment-signature': encoded(signature) } }))
    const offer = async (path: string): Promise<Offer> => decoded((await get(path)).headers.get('payment-required')).accepts[0]!
    const wait = (ms: number) => (now += ms)
    return { ...machine, get, offer, wait, failures, fetch }
  }
  const wallet = new TestWallet()
  const payloadOf = async (accepted: Offer, satoshis = [Number(accepted.amount)]) => {
    const script = accepted.extra.lockingScriptHex!
    const rawtx = (await wallet.pay(satoshis.map((each) => ({ script, satoshis: each })))).toHex()
    return { x402Version: 2, accepted, payload: { lockingScriptHex: script as string | undefined, rawtx } }
  }
  const verdict = async (answer: Response) => ({
    status: answer.status,
    said: decoded(answer.headers.get('payment-response')) as unknown as Record<string, unknown>,
    body: (await answer.json()) as Record<string, unknown>,
  })

  it('a challenge has the fields of the one in the file', async () => {
    const { get } = await shop()
    const { accepts, ...required } = decoded((await get('/mypool')).headers.get('payment-required'))
    const [theirs] = X402.paymentRequired.accepts
    expect(required).toMatchObject({ x402Version: 2, resource: { url: 'https://host/mypool' } })
    const { payTo: _, extra: __, ...fixed } = theirs
    expect(accepts[0]).toMatchObject(fixed)
    const { chain, unit, payloadFormat } = theirs.extra
    expect(accepts[0]!.extra).toMatchObject({ chain, unit, payloadFormat, expiresAt: new Date(NOW + 900_000).toISOString() })
    const optional = ['submitUrl', 'perCallSats']
    const names = (extra: object) => Object.keys(extra).filter((name) => !optional.includes(name))
    expect(names(accepts[0]!.extra)).toEqual(names(theirs.extra))
    expect(accepts[0]!.extra.lockingScriptHex).toMatch(/^76a914[\da-f]{40}88ac$/)
  })

  it('a receipt names the transaction', async () => {
    const { get, offer } = await shop()
    const payload = await payloadOf(await offer('/mypool'))
    const txid = Transaction.fromHex(payload.payload.rawtx).id('hex')
    const { said } = await verdict(await get('/mypool', payload))
    expect(said).toEqual({ success: true, transaction: txid, network: 'bsv:mainnet', extensions: { status: 'recorded' } })
  })

  const CASES: Record<string, () => Promise<void>> = {
    async 'hex case of lockingScriptHex differs: accepted'() {
      const { get, offer } = await shop()
      const payload = await payloadOf(await offer('/mypool'))
      payload.payload.lockingScriptHex = payload.payload.lockingScriptHex!.toUpperCase()
      expect((await get('/mypool', payload)).status).toBe(200)
    },
    async 'lockingScriptHex only in accepted.extra: accepted'() {
      const { get, offer } = await shop()
      const payload = await payloadOf(await offer('/mypool'))
      delete payload.payload.lockingScriptHex
      expect((await get('/mypool', payload)).status).toBe(200)
    },
    async 'overpaid: accepted'() {
      const { get, offer } = await shop()
      const answer = await get('/mypool', await payloadOf(await offer('/mypool'), [25]))
      expect([answer.status, await answer.json()]).toEqual([200, expect.objectContaining({ satoshis: 25 })])
    },
    async 'one satoshi short: 402 insufficient_funds with both figures'() {
      const { get, offer, entries } = await shop()
      const { status, said, body } = await verdict(await get('/mypool', await payloadOf(await offer('/mypool'), [9])))
      expect([status, said.errorReason, body.errorReason, body.retryable]).toEqual([402, 'insufficient_funds', 'insufficient_funds', false])
      expect(body.error).toContain('9 of 10 satoshis')
      expect(await entries()).toEqual([]) // it was not broadcast, so it was not paid
    },
    async 'two outputs to the script that sum to the amount: accepted'() {
      const { get, offer, entries } = await shop()
      expect((await get('/mypool', await payloadOf(await offer('/mypool'), [4, 6]))).status).toBe(200)
      expect((await entries())[0]!.payment.merchantData).toMatchObject({ satoshis: 10, vout: 0 })
    },
    async 'invoice of a cheap resource at a dear one: 402 resource_mismatch, before the already-settled shortcut'() {
      const { get, offer, entries } = await shop()
      const payload = await payloadOf(await offer('/cheap'), [2_000])
      expect((await get('/cheap', payload)).status).toBe(200)
      const { status, said } = await verdict(await get('/dear', payload))
      expect([status, said]).toEqual([402, { success: false, network: 'bsv:mainnet', errorReason: 'resource_mismatch' }])
      expect(await entries()).toHaveLength(1)
    },
    async 'settled invoice presented again, after expiry too: 200, no second charge'() {
      const { get, offer, wait, entries } = await shop()
      const payload = await payloadOf(await offer('/mypool'))
      const unpaid = await payloadOf(await offer('/mypool'))
      const first = await (await get('/mypool', payload)).json()
      expect(first).toMatchObject({ again: false })
      expect(await (await get('/mypool', payload)).json()).toEqual({ ...(first as object), again: true })
      wait(901_000)
      expect(await (await get('/mypool', payload)).json()).toEqual({ ...(first as object), again: true })
      expect((await verdict(await get('/mypool', unpaid))).said.errorReason).toBe('invoice_expired')
      expect(await entries()).toHaveLength(1)
    },
    async '50 at once: one broadcast'() {
      const sent: string[] = []
      const broadcast = (transactions: { txid: string }[]) => void sent.push(...transactions.map(({ txid }) => txid))
      const { get, offer, entries } = await shop({
        bitcoin: { bitcoin: { network: 'regtest', broadcast: [broadcast] } },
        network: 'regtest',
      })
      const payload = await payloadOf(await offer('/mypool'))
      const answers = await Promise.all(Array.from({ length: 50 }, async () => (await get('/mypool', payload)).json()))
      expect(answers.filter((answer) => !(answer as { again: boolean }).again)).toHaveLength(1)
      expect([sent, (await entries()).length]).toEqual([[Transaction.fromHex(payload.payload.rawtx).id('hex')], 1])
    },
    async 'scheme other than exact: 400'() {
      const { get, offer } = await shop()
      const payload = await payloadOf(await offer('/mypool'))
      payload.accepted = { ...payload.accepted, scheme: 'upto' }
      const { status, said } = await verdict(await get('/mypool', payload))
      expect([status, said.errorReason]).toEqual([400, 'malformed_payment'])
    },
    async 'broadcaster away: 500 broadcast_unavailable retryable true'() {
      const broadcast = () => {
        throw new Error('nobody listens')
      }
      const bitcoin = { network: 'regtest' as const, broadcast: [broadcast] }
      const { get, offer, entries } = await shop({ bitcoin: { bitcoin }, network: 'regtest', waitMs: 500 })
      const { status, said, body } = await verdict(await get('/mypool', await payloadOf(await offer('/mypool'))))
      expect([status, said.errorReason, body.retryable]).toEqual([500, 'broadcast_unavailable', true])
      expect(await entries()).toHaveLength(1) // it is in the pool, and is tried again
    },
    async 'already known to the mempool: success'() {
      const { url } = await recordedServer(({ body, path }) => {
        if (path !== '/v1/tx') return { status: 404, body: {} }
        const { rawTx } = JSON.parse(body.toString()) as { rawTx: string }
        return {
          status: 200,
          body: { txid: Transaction.fromHex(rawTx).id('hex'), txStatus: 'SEEN_ON_NETWORK', title: 'Already in mempool', extraInfo: '' },
        }
      })
      const { get, offer } = await shop({ bitcoin: { bitcoin: { network: 'regtest', broadcast: [{ arc: url }] } }, network: 'regtest' })
      const { status, said } = await verdict(await get('/mypool', await payloadOf(await offer('/mypool'))))
      expect([status, said.extensions]).toEqual([200, { status: 'mempool' }])
    },
    async 'PAYMENT-RESPONSE on failure too'() {
      const { get, offer } = await shop()
      const accepted = await offer('/mypool')
      const payload = await payloadOf(accepted)
      const none = { success: false, network: 'bsv:mainnet' }
      const altered = {
        ...payload,
        accepted: {
          ...accepted,
          extra: { ...accepted.extra, invoiceId: accepted.extra.invoiceId.replace(/^./, (first) => (first === 'A' ? 'B' : 'A')) },
        },
      }
      const bad = { ...payload, payload: { ...payload.payload, rawtx: '00' } }
      for (const [sent, status, errorReason] of [
        [altered, 402, 'invoice_not_found'],
        [bad, 400, 'malformed_payment'],
        [{ ...payload, payload: {} }, 400, 'malformed_payment'],
        [[1], 400, 'malformed_payment'],
      ] as const)
        expect(await verdict(await get('/mypool', sent))).toMatchObject({ status, said: { ...none, errorReason } })
    },
  }

  it('has a test for each case of the file', () => {
    expect(Object.keys(CASES)).toEqual(X402.tests)
  })
  it.each(Object.entries(CASES))('%s', (_, test) => test())
})
