import { readFileSync } from 'node:fs'
import { PrivateKey, Transaction } from '@bsv/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SIDES, type Side } from '../door/sides.ts'
import { decoded, encoded, headers121, type Offer, TestWallet } from './wallet.ts'

// The vectors of BRC-121 and the list of BRC-166 at the door of a pool with a price, on both sides of the ports. field.test.ts has them all, on a route of an app.

const file = (name: string) => JSON.parse(readFileSync(new URL(`../data/field/${name}`, import.meta.url), 'utf8'))

interface Vector {
  id: string
  description: string
  input: { method: string; path?: string; headers: Record<string, string>; body?: object; _scenario?: string }
  expected: { status?: number; response_headers?: Record<string, string>; response_headers_includes?: Record<string, string> }
}
// The other vectors are about a server's wallet, or a client.
const VECTORS = (file('ts-stack-brc121.json').vectors as Vector[]).filter(
  ({ input, expected }) => input.path !== undefined && expected.status !== 500 && !input._scenario?.includes('isMerge'),
)
/** What stands in the vectors for a BEEF, and for the time of the server. */
const [BEEF, NOW] = ['AABB==', '1719500000000']

describe.each(SIDES)('%s:', (_, open) => {
  let side: Side
  beforeAll(async () => {
    side = await open({ article: { price: 100 }, data: { price: 50 }, cheap: { price: 10 }, dear: { price: 1_000 } })
  })
  afterAll(() => side[Symbol.asyncDispose]())

  describe('BRC-121:', () => {
    const wallet = new TestWallet(new PrivateKey(2)) // the sender in the vectors
    it.each(VECTORS)('$id $description', async ({ input, expected }) => {
      const price = Number(expected.response_headers?.['x-bsv-sats'] ?? 100)
      const path = price === 50 ? '/data' : '/article'
      const server = String((await side.ask('GET', path)).headers['x-bsv-server'])
      const headers = { ...input.headers }
      if (headers['x-bsv-time'] === NOW) headers['x-bsv-time'] = String(Date.now())
      if (headers['x-bsv-beef'] === BEEF) {
        const { 'x-bsv-nonce': nonce, 'x-bsv-time': time } = headers
        headers['x-bsv-beef'] = (await headers121(wallet, server, price, { ...(nonce && { nonce }), ...(time && { time }) }))['x-bsv-beef']!
      }
      const answer = await side.ask(input.method, path, input.body ? JSON.stringify(input.body) : '', headers)
      expect(answer.status).toBe(expected.status)
      const { 'x-bsv-server': __, ...said } = expected.response_headers ?? {}
      expect(answer.headers).toMatchObject(said)
      for (const [name, value] of Object.entries(expected.response_headers_includes ?? {})) expect(answer.headers[name]).toContain(value)
      if (answer.status === 402) expect(answer.headers).toMatchObject({ 'x-bsv-sats': String(price), 'x-bsv-server': server })
      if (answer.status === 402 && !input.headers['x-bsv-sender'] && !input.headers['x-bsv-beef'] && !input.body)
        expect(answer.text).toBe('')
    })
  })

  describe('BRC-166:', () => {
    const wallet = new TestWallet()
    const offer = async (path: string): Promise<Offer> =>
      decoded(String((await side.ask('GET', path)).headers['payment-required'])).accepts[0]!
    const payloadOf = async (accepted: Offer, satoshis = [Number(accepted.amount)]) => {
      const script = accepted.extra.lockingScriptHex!
      const rawtx = (await wallet.pay(satoshis.map((each) => ({ script, satoshis: each })))).toHex()
      return { x402Version: 2, accepted, payload: { lockingScriptHex: script as string | undefined, rawtx } }
    }
    const get = (path: string, message: unknown) => side.ask('GET', path, '', { 'payment-signature': encoded(message) })
    const verdict = async (path: string, message: unknown) => {
      const { status, headers } = await get(path, message)
      const { success, errorReason } = decoded(String(headers['payment-response'])) as unknown as Record<string, unknown>
      return { status, success, ...(errorReason !== undefined && { errorReason }) }
    }
    const TAKEN = { status: 200, success: true }
    const refusal = (status: number, errorReason: string) => ({ status, success: false, errorReason })

    const CASES: Record<string, () => Promise<void>> = {
      async 'hex case of lockingScriptHex differs: accepted'() {
        const payload = await payloadOf(await offer('/cheap'))
        payload.payload.lockingScriptHex = payload.payload.lockingScriptHex!.toUpperCase()
        expect(await verdict('/cheap', payload)).toEqual(TAKEN)
      },
      async 'lockingScriptHex only in accepted.extra: accepted'() {
        const payload = await payloadOf(await offer('/cheap'))
        delete payload.payload.lockingScriptHex
        expect(await verdict('/cheap', payload)).toEqual(TAKEN)
      },
      async 'overpaid: accepted'() {
        expect(await verdict('/cheap', await payloadOf(await offer('/cheap'), [25]))).toEqual(TAKEN)
      },
      async 'one satoshi short: 402 insufficient_funds with both figures'() {
        const payload = await payloadOf(await offer('/cheap'), [9])
        expect(await verdict('/cheap', payload)).toEqual(refusal(402, 'insufficient_funds'))
        expect((await get('/cheap', payload)).body.error).toContain('9 of 10 satoshis')
      },
      async 'two outputs to the script that sum to the amount: accepted'() {
        expect(await verdict('/cheap', await payloadOf(await offer('/cheap'), [4, 6]))).toEqual(TAKEN)
      },
      async 'invoice of a cheap resource at a dear one: 402 resource_mismatch, before the already-settled shortcut'() {
        const payload = await payloadOf(await offer('/cheap'), [2_000])
        expect(await verdict('/cheap', payload)).toEqual(TAKEN)
        expect(await verdict('/dear', payload)).toEqual(refusal(402, 'invoice_not_found')) // each pool has a key of its own, and knows no other's invoices
        expect(await side.read('dear')).toEqual([])
      },
      async '50 at once: one broadcast'() {
        const payload = await payloadOf(await offer('/cheap'))
        const answers = await Promise.all(Array.from({ length: 50 }, () => verdict('/cheap', payload)))
        expect(answers).toEqual(Array(50).fill(TAKEN))
        const hash = Transaction.fromHex(payload.payload.rawtx).id('hex')
        await side.entriesOf('cheap', (entry) => entry.hash === hash)
        const last = await payloadOf(await offer('/cheap'))
        expect(await verdict('/cheap', last)).toEqual(TAKEN)
        await side.entriesOf('cheap', ({ payment }) => payment.transaction === last.payload.rawtx)
        expect((await side.read('cheap')).filter((entry) => entry.hash === hash)).toHaveLength(1)
      },
      async 'scheme other than exact: 400'() {
        const payload = await payloadOf(await offer('/cheap'))
        payload.accepted = { ...payload.accepted, scheme: 'upto' }
        expect(await verdict('/cheap', payload)).toEqual(refusal(400, 'malformed_payment'))
      },
      async 'PAYMENT-RESPONSE on failure too'() {
        const accepted = await offer('/cheap')
        const payload = await payloadOf(accepted)
        const extra = { ...accepted.extra, invoiceId: accepted.extra.invoiceId.replace(/^./, (first) => (first === 'A' ? 'B' : 'A')) }
        expect(await verdict('/cheap', { ...payload, accepted: { ...accepted, extra } })).toEqual(refusal(402, 'invoice_not_found'))
        for (const sent of [{ ...payload, payload: { ...payload.payload, rawtx: '00' } }, { ...payload, payload: {} }, [1]])
          expect(await verdict('/cheap', sent)).toEqual(refusal(400, 'malformed_payment'))
      },
    }
    /** Their clock, or their broadcaster, is not that of a pool's door: field.test.ts and lambda.test.ts have them. */
    const ELSEWHERE = [
      'settled invoice presented again, after expiry too: 200, no second charge',
      'broadcaster away: 500 broadcast_unavailable retryable true',
      'already known to the mempool: success',
    ]

    it('each case of the file has a test', () => {
      expect([...Object.keys(CASES), ...ELSEWHERE].sort()).toEqual([...file('x402-brc166.json').tests].sort())
    })
    it.each(Object.entries(CASES))('%s', (__, test) => test())
  })
})
