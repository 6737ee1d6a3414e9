import { BEEF_V2, Beef, Transaction } from '@bsv/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { paying } from '../invoice/pay.ts'
import { decoded, encoded, headers121, TestWallet } from '../paywall/wallet.ts'
import type { Answer } from './ask.ts'
import { SIDES, type Side } from './sides.ts'
import { BIP270_WALLETS, CLIENTS, FORMS, type PaymentRequest } from './wallets.ts'

// Everybody who pays, with the bytes that he sends, at the doors of both sides.

const PAID = 'Paid. Thank you.'
const JSON_TYPE = { 'content-type': 'application/json' }
/** What the page of an invoice sends (functions/payments/invoice-page/browser/main.ts). */
const PAGE_POSTS = { ...JSON_TYPE, accept: 'application/json', origin: 'https://pay.example' }

/** What wallets make of an answer rests on these: each reads another part of it. */
function checkAnswer({ status, headers, body, reason = body.memo }: Answer): void {
  expect(headers['content-type']).toBe('application/json')
  expect(headers['access-control-allow-origin']).toBe('*')
  if (status === 200) expect(body).toEqual({ payment: expect.any(Object), memo: expect.any(String), error: 0, success: true })
  else {
    expect(status).toBeGreaterThanOrEqual(400) // and is never a redirect
    expect(body).toEqual({ memo: expect.stringMatching(/\w+ \w+/), error: 1, code: expect.any(String) })
    expect(reason).toBe(body.memo)
  }
}

describe.each(SIDES)('%s:', (_, open) => {
  let side: Side
  beforeAll(async () => {
    const outputs = [
      { amount: 200, description: '☕"'.repeat(50) },
      { amount: 300, description: 'x'.repeat(100) },
    ]
    side = await open({
      coffee: { request: { outputs, memo: 'two coffees ☕', expiresIn: 3_600_000 } },
      tea: { request: ({ cups }) => ({ amount: 100 * Number(cups ?? 1), memo: 'tea' }) },
      plain: {},
      article: { price: 100 },
      paper: { price: 10 },
    })
  })
  afterAll(() => side[Symbol.asyncDispose]())

  const pathOf = (url: string) => new URL(url).pathname
  const post = async (path: string, body: string, headers: Record<string, string> = JSON_TYPE) => {
    const answer = await side.ask('POST', path, body, headers)
    checkAnswer(answer)
    return answer
  }
  const request = async (path = '/tea', headers = {}) => (await side.ask('GET', path, '', headers)).body as unknown as PaymentRequest
  const outputsOf = ({ outputs }: PaymentRequest) => outputs.map(({ amount: satoshis, script }) => ({ satoshis, script }))
  const stateOf = async ({ paymentUrl }: PaymentRequest) =>
    (await side.ask('GET', `${pathOf(paymentUrl)}/state`)).body as unknown as { state: string; received: number }

  describe('a wallet of BIP270,', () => {
    it.each(BIP270_WALLETS)('$wallet ($source)', async ({ asks, network, reads, pays, body, believes }) => {
      const shown = await side.ask('GET', '/coffee', '', asks)
      expect([shown.status, shown.headers['content-type']]).toEqual([200, 'application/json'])
      const asked = shown.body as unknown as PaymentRequest
      expect([asked.network, asked.outputs.length, reads(asked)]).toEqual([network, 2, true])
      const transaction = paying(outputsOf(asked)).toString('hex')
      const sent = body(transaction, asked.merchantData)
      const answer = await post(pathOf(asked.paymentUrl), sent, pays)
      expect(answer.body).toEqual({ payment: JSON.parse(sent), memo: PAID, error: 0, success: true })
      expect(believes(answer)).toBe(true)
      expect(await stateOf(asked)).toMatchObject({ state: 'paid', received: 500 })
      expect((await post(pathOf(asked.paymentUrl), sent, pays)).body).toEqual(answer.body) // it sends again what it is not sure of
      const other = await post(
        pathOf(asked.paymentUrl),
        body(paying([{ satoshis: 500, script: '51' }]).toString('hex'), asked.merchantData),
        pays,
      )
      expect([other.status, other.body.code, believes(other)]).toEqual([422, 'PAYS_NOTHING', false])
      const broken = await post(pathOf(asked.paymentUrl), body(transaction.slice(2), asked.merchantData), pays)
      expect([broken.status, broken.body.code, believes(broken)]).toEqual([422, 'BAD_TRANSACTION', false])
    })

    it.each(BIP270_WALLETS)('$wallet, into a pool that asks for nothing', async ({ wallet, pays, body, believes }) => {
      const sent = body(paying([{ satoshis: 1, script: '51' }]).toString('hex'), `order of ${wallet}`)
      for (const path of ['/plain', '/plain/', '//plain']) {
        const answer = await post(path, sent, pays)
        expect(answer.body).toEqual({ payment: JSON.parse(sent), memo: 'Received into plain', error: 0, success: true })
        expect(believes(answer)).toBe(true)
      }
    })

    it.each(FORMS)('with a Payment %s', async (__, body, copy) => {
      const asked = await request()
      const transaction = paying(outputsOf(asked)).toString('hex')
      const answer = await post(pathOf(asked.paymentUrl), body(transaction))
      expect([answer.body.payment, answer.body.memo]).toEqual([copy(transaction), PAID])
    })

    it('that names a field which must be understood is refused', async () => {
      const transaction = paying([{ satoshis: 1, script: '51' }]).toString('hex')
      const answer = await post('/plain', `{"transaction":"${transaction}","req-escrow":1}`)
      expect([answer.status, answer.body.memo]).toEqual([422, expect.stringContaining('"req-escrow" must be understood')])
    })

    it('in a web view asks first whether it may', async () => {
      const { status, headers } = await side.ask('OPTIONS', '/coffee', '', {
        origin: 'http://localhost:8080',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type',
      })
      expect([status, headers['access-control-allow-origin'], headers['access-control-allow-headers']]).toEqual([204, '*', 'content-type'])
      expect(headers['access-control-allow-methods']).toContain('POST')
    })
  })

  describe('a GET', () => {
    it.each(CLIENTS)('of %s', async (__, headers, type) => {
      const { status, text, headers: said } = await side.ask('GET', '/tea?cups=2', '', headers)
      expect([status, said['content-type'], said.vary]).toEqual([200, type, expect.stringMatching(/^Accept\b/)])
      if (type === 'application/json')
        expect(JSON.parse(text)).toMatchObject({
          network: headers.accept?.includes('bitcoinsv-paymentrequest') ? 'bitcoin' : 'bitcoin-sv',
          outputs: [{ amount: 200 }],
        })
      else if (type === 'text/uri-list') expect(text).toMatch(/^bitcoin:\?sv&r=https%3A%2F%2F[^/&]+%2Ftea%2F\S+\r\n$/)
      else expect(text).toContain('tea')
    })

    it('has a page with what older wallets can be given: pay:, BIP272, and an address', async () => {
      const { id } = await side.invoice({ path: 'plain', amount: 10_000, memo: 'tea' })
      const { body } = await side.ask('GET', `/plain/${id}/state`)
      const { url, uris, outputs } = body as unknown as { url: string; uris: Record<string, string>; outputs: [{ address: string }] }
      expect(uris).toEqual({
        page: url,
        pay: `pay:?r=${encodeURIComponent(url)}`,
        bip272: `bitcoin:?sv&r=${encodeURIComponent(url)}`,
        address: `bitcoin:${outputs[0].address}?amount=0.0001`,
      })
      expect(url).toMatch(/^https:/)
      const { text } = await side.ask('GET', `/plain/${id}`, '', { accept: 'text/html' })
      for (const shown of [uris.pay!, uris.bip272!.replace('&', '&amp;'), outputs[0].address]) expect(text).toContain(`>${shown}</code>`)
    })
  })

  describe('a wallet of BRC-100', () => {
    const outputs = (asked: PaymentRequest) =>
      asked.outputs.map(({ amount, script }) => ({ lockingScript: script, satoshis: amount, outputDescription: 'Payment' }))

    it.each([
      ['which signs at once: BSV Desktop at localhost, Yours Wallet, BSV Browser and Nexus as window.CWI', false],
      ['which gives a transaction to sign first', true],
    ])('by the button of the page, %s', async (__, asksToSign) => {
      const wallet = new TestWallet(undefined, { asksToSign, ancestors: 1 })
      const asked = await request()
      const options = { randomizeOutputs: false, acceptDelayedBroadcast: false }
      const made = await wallet.createAction({ description: 'Payment', outputs: outputs(asked), options })
      const reference = made.signableTransaction?.reference
      const { tx, txid } = reference === undefined ? made : await wallet.signAction({ reference, spends: {} })
      const sent = `{"transaction":[${[...tx!].join()}],"merchantData":"${asked.merchantData}"}`
      const { body } = await post(pathOf(asked.paymentUrl), sent, PAGE_POSTS)
      expect(body).toEqual({ payment: JSON.parse(sent), memo: PAID, error: 0, success: true })
      expect(await stateOf(asked)).toMatchObject({ state: 'paid', payment: { txid } })
      expect(await side.ancestors({ path: 'tea', hash: txid! })).toHaveLength(2)
    })

    const FORMATS: [format: string, bytes: (tx: Transaction) => number[] | Uint8Array, ancestors: number][] = [
      ['raw', (tx) => tx.toBinary(), 0],
      ['in extended format', (tx) => tx.toEF(), 0],
      ['in BEEF V1', (tx) => tx.toBEEF(), 2],
      ['in BEEF V2', (tx) => beefV2(tx), 2],
      ['in AtomicBEEF', (tx) => tx.toAtomicBEEF(), 2],
    ]
    const NOTATIONS: [notation: string, sent: (bytes: Buffer) => unknown][] = [
      ['hex', (bytes) => bytes.toString('hex')],
      ['base64', (bytes) => bytes.toString('base64')],
      ['a list of numbers', (bytes) => [...bytes]],
    ]
    const forms = FORMATS.flatMap(([format, ...rest]) => NOTATIONS.map(([notation, sent]) => [format, notation, sent, ...rest] as const))
    it.each(forms)('whose transaction comes %s, as %s', async (__, ___, notation, format, ancestors) => {
      const asked = await request()
      const tx = await new TestWallet(undefined, { ancestors: 1 }).pay(outputsOf(asked))
      const transaction = notation(Buffer.from(format(tx)))
      const { body } = await post(pathOf(asked.paymentUrl), JSON.stringify({ transaction }), PAGE_POSTS)
      expect([body.payment, body.memo]).toEqual([{ transaction }, PAID])
      const hash = tx.id('hex')
      expect(await stateOf(asked)).toMatchObject({ state: 'paid', payment: { txid: hash } })
      expect((await side.entriesOf('tea', (entry) => entry.hash === hash)).map(({ payment }) => payment.transaction)).toEqual([tx.toHex()])
      expect(await side.ancestors({ path: 'tea', hash })).toHaveLength(ancestors)
    })
  })

  describe('a wallet that gives the id of its transaction alone (HandCash Connect)', () => {
    const txid = '102699c752889a60a0c2cf687ba361d98b89b3842a4cc2f7014a1c3302613a2a'
    it.each([
      ['as its "transactionId"', `{"transactionId":"${txid}"}`, /this message has "transactionId", the id alone.*in hex/],
      ['as the transaction', `{"transaction":"${txid}"}`, /the id of a transaction, not the transaction; send/],
    ])('%s is told what to send', async (__, body, memo) => {
      const answer = await post('/plain', body)
      expect([answer.status, answer.body.memo]).toEqual([422, expect.stringMatching(memo)])
    })
  })

  describe('a wallet that pays HTTP 402', () => {
    const terms = async (path = '/article', headers = {}) => {
      const answer = await side.ask('GET', path, '', headers)
      expect([answer.status, answer.text, answer.headers['x-bsv-sats']]).toEqual([402, '', path === '/article' ? '100' : '10'])
      return { server: String(answer.headers['x-bsv-server']), accepted: decoded(String(answer.headers['payment-required'])).accepts[0]! }
    }
    const taken = ({ status, headers, body }: Answer) => {
      expect([status, headers['x-bsv-payment-satoshis-paid']]).toEqual([200, '100'])
      expect(body).toMatchObject({ memo: 'Received into article', error: 0, success: true })
    }

    it.each([
      ['Nexus, in its browser', { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }],
      ['the BSV 402 extension', { accept: '*/*', origin: 'https://reader.example' }],
    ])('by BRC-121: %s', async (__, headers) => {
      const shown = await side.ask('GET', '/article', '', headers)
      expect([shown.status, shown.headers['x-bsv-sats']]).toEqual([402, '100'])
      expect(shown.headers['access-control-expose-headers']).toMatch(/x-bsv-sats, x-bsv-server.*PAYMENT-REQUIRED/)
      const paid = await headers121(new TestWallet(), String(shown.headers['x-bsv-server']), 100)
      taken(await side.ask('GET', '/article', '', { ...headers, ...paid }))
      taken(await side.ask('GET', '/article', '', { ...headers, ...paid }))
      const hash = Transaction.fromAtomicBEEF([...Buffer.from(paid['x-bsv-beef']!, 'base64')]).id('hex')
      expect((await side.entriesOf('article', (entry) => entry.hash === hash)).map(({ payment }) => payment.merchantData)).toMatchObject([
        { paid: 'BRC-121', satoshis: 100, sender: paid['x-bsv-sender'], suffix: Buffer.from(paid['x-bsv-time']!).toString('base64') },
      ])
    })

    it('by BRC-121 with 20 KB of BEEF in a header', async () => {
      const paid = await headers121(new TestWallet(undefined, { ancestors: 90 }), (await terms()).server, 100)
      expect(paid['x-bsv-beef']!.length).toBeGreaterThan(20_000)
      taken(await side.ask('GET', '/article', '', paid))
    })

    it('in a page asks first whether it may send its headers', async () => {
      const asked = 'x-bsv-beef,x-bsv-nonce,x-bsv-sender,x-bsv-time,x-bsv-vout,payment-signature'
      const { status, headers } = await side.ask('OPTIONS', '/article', '', {
        origin: 'https://reader.example',
        'access-control-request-method': 'GET',
        'access-control-request-headers': asked,
      })
      expect([status, headers['access-control-allow-headers']]).toEqual([204, asked])
    })

    it.each([
      ['in the header PAYMENT-SIGNATURE', false],
      ['in the body, to the submitUrl', true],
    ])('by BRC-166 (x402 v2), %s', async (__, isPosted) => {
      const { accepted } = await terms()
      const script = accepted.extra.lockingScriptHex!
      const rawtx = (await new TestWallet().pay([{ script, satoshis: 100 }])).toHex()
      const message = { x402Version: 2, accepted, payload: { lockingScriptHex: script, rawtx } }
      const answer = isPosted
        ? await side.ask('POST', pathOf(accepted.extra.submitUrl!), JSON.stringify(message), JSON_TYPE)
        : await side.ask('GET', '/article', '', { 'payment-signature': encoded(message) })
      taken(answer)
      expect(decoded(String(answer.headers['payment-response']))).toMatchObject({ success: true, network: 'bsv:mainnet' })
    })
  })
})

function beefV2(tx: Transaction): number[] {
  const beef = Beef.fromBinary(tx.toBEEF())
  beef.version = BEEF_V2
  return beef.toBinary()
}
