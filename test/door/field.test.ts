import { readFileSync } from 'node:fs'
import { brotliCompressSync, deflateSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readTransaction } from '../../shared/chain/any-format.ts'
import { payment } from '../machine/machine.ts'
import type { Answer } from './ask.ts'
import { SIDES, type Side } from './sides.ts'

// Requests that programs, wallets and people have sent to doors like this one, at the doors of both sides.

const FIELD = new URL('../data/field/', import.meta.url)
const file = (name: string) => readFileSync(new URL(name, FIELD))
const hexIn = (name: string) => file(name).toString().trim()

interface FieldRequest {
  about: string
  method: string
  path: string
  headers: Record<string, string>
  body: string
  status: number
  /** what the sentence of a refusal names */
  names?: string
}
const REQUESTS = JSON.parse(file('door-requests.json').toString()) as FieldRequest[]

const JSON_TYPE = { 'content-type': 'application/json' }
const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' }
const SAMPLE = '01000000000100000000000000000a006a0768656c6c6f203100000000'

function expectRefused({ status, body, reason = body.memo }: Answer, expected: number, names: RegExp): void {
  expect(body).toEqual({ memo: expect.stringMatching(names), error: 1, code: expect.any(String) })
  expect([status, reason]).toEqual([expected, body.memo])
}

/** A refusal also says what to send instead. */
const SENDS = '(send|sent|in hex)'

describe.each(SIDES)('%s:', (name, open) => {
  let side: Side
  beforeAll(async () => {
    const filter = () => {
      throw new Error('x'.repeat(300))
    }
    side = await open({ mypool: {}, long: { filter } })
  })
  afterAll(() => side[Symbol.asyncDispose]())

  const ask: Side['ask'] = (...request) => side.ask(...request)
  const post = (body: string | Uint8Array | object, headers: Record<string, string> = {}) =>
    ask('POST', '/mypool', typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body), {
      ...JSON_TYPE,
      ...headers,
    })

  describe('requests of the field:', () => {
    it.each(REQUESTS)('$about', async ({ method, path, headers, body, status, names }) => {
      const answer = await ask(method, path, body, headers)
      if (names !== undefined) return expectRefused(answer, status, new RegExp(`${names}.*${SENDS}`))
      const { transaction, rawTx } = JSON.parse(body.replace('\ufeff', '')) as { transaction?: string; rawTx?: string }
      expect(answer.status).toBe(status)
      if (rawTx === undefined) expect(answer.body.payment).toEqual({ transaction: transaction!.trim() })
      else
        expect(answer.body).toMatchObject({
          txid: readTransaction(rawTx).scanned.txid,
          txStatus: expect.stringMatching(/^(RECEIVED|STORED)$/),
          extraInfo: '',
        })
    })
  })

  describe('the door takes', () => {
    it.each([
      ['a byte order mark before JSON', file('05-bom.json'), JSON_TYPE],
      ['a byte order mark before a form', `\ufefftransaction=${SAMPLE}`, FORM_TYPE],
      ['a byte order mark before JSON that is sent as a form', `\ufeff{"transaction":"${SAMPLE}"}`, FORM_TYPE],
      ['white space around the hex', { transaction: ` \t${SAMPLE}\r\n` }, JSON_TYPE],
      ['a raw transaction of a wallet, ended by a newline', { transaction: `${hexIn('06-sdk-raw.hex')}\n` }, JSON_TYPE],
      ['a Content-Encoding that changes nothing', { transaction: SAMPLE }, { 'content-encoding': 'Identity' }],
    ])('%s', async (_, body, headers) => {
      const answer = await post(body, headers)
      expect([answer.status, answer.body.error]).toEqual([200, 0])
    })

    const [SDK, TX_003] = [
      '081bdc9a75437a98ea7d7b731216c81258b34bf4f78b05392cc39daddb75ffa7',
      '157428aee67d11123203735e4c540fa1bdab3b36d5882c6f8c5ff79f07d20d1c',
    ]
    it.each([
      ['06-sdk-raw.hex', SDK, 0],
      ['06-sdk-ef.hex', SDK, 0],
      ['06-sdk-beef.hex', SDK, 1],
      ['06-sdk-atomic.hex', SDK, 1],
      ['ef-tx-004.hex', TX_003, 0],
      ['beef-v1-tx-003.hex', TX_003, 1],
      ['beef-v1-go-sdk-168.hex', '40a613bab95b606672b5be5252499f91ca1a57b5f8385032396ef5cf8f1f54a1', 1],
    ])('%s, in each notation, as one entry with its own txid', async (file, txid, ancestors) => {
      const bytes = Buffer.from(hexIn(file), 'hex')
      for (const transaction of [bytes.toString('hex'), bytes.toString('base64'), [...bytes]])
        expect(await post({ transaction, memo: file })).toMatchObject({ status: 200, body: { payment: { transaction } } })
      const entries = await side.entriesOf('mypool', ({ hash, payment }) => hash === txid && payment.memo === file)
      expect(entries.map(({ payment }) => readTransaction(payment.transaction))).toMatchObject([{ scanned: { txid } }])
      expect((await side.ancestors({ path: 'mypool', hash: txid })).length).toBeGreaterThanOrEqual(ancestors)
    })

    it('refundTo as a list of outputs, as wallets of 2019 sent it', async () => {
      const sent = JSON.parse(file('08-refundTo-two-outputs.json').toString())
      const answer = await post(sent)
      expect([answer.status, answer.body.payment]).toEqual([200, sent])
      const many = Array.from({ length: 300 }, () => sent.refundTo[0])
      expectRefused(await post({ ...sent, refundTo: many }), 422, /"refundTo" may have 10000 characters/)
    })

    it.each(['/mypool/', '//mypool', '//mypool//', '/mypool/?order=7', '//%6dypool/'])('the path %s', async (path) => {
      expect((await ask('POST', path, JSON.stringify(payment('a path')), JSON_TYPE)).status).toBe(200)
    })
  })

  describe('the door refuses, and says why,', () => {
    const sent = JSON.stringify({ transaction: SAMPLE })
    it.each([
      ['gzip', file('05-gzip.json.gz'), 'gzip'],
      ['deflate', deflateSync(sent), 'deflate'],
      ['br', brotliCompressSync(sent), 'br'],
      ['a plain message that claims to be gzip', sent, 'gzip'],
      ['several encodings', sent, 'gzip, br'],
    ])('%s', async (_, body, encoding) => {
      const answer = await post(body, { 'content-encoding': encoding })
      expectRefused(answer, 415, /Content-Encoding/)
      expect(answer.headers['accept-encoding']).toBe('identity')
    })

    it('UTF-16, with a byte order mark or without', async () => {
      const little = file('05-utf16le.json')
      expectRefused(await post(little), 400, /UTF-16/)
      expectRefused(await post(Buffer.concat([Buffer.of(0xff, 0xfe), little])), 400, /UTF-16/)
      expectRefused(await post(Buffer.from(little).swap16()), 400, /UTF-16/)
    })

    it('segwit, in hex, in base64 and as a list of bytes', async () => {
      const bytes = Buffer.from(hexIn('06-segwit.hex'), 'hex')
      for (const transaction of [bytes.toString('hex'), bytes.toString('base64'), [...bytes]])
        expectRefused(await post({ transaction }), 422, /segwit format of BTC.*send the raw transaction in hex/)
    })

    it('a list that holds anything but bytes, wherever it stands in it', async () => {
      const long = Array.from({ length: 100_000 }, () => 7)
      for (const list of [[], [1, 256], [1, -1], [1, 1.5], [1, '1'], [1, null], [...long, 256], [...long, [7]], [...long, -7]])
        expectRefused(await post({ transaction: list }), 422, /is no byte: send a list of whole numbers from 0 to 255, or hex/)
    })

    it('two transactions', async () => {
      expectRefused(await post(file('08-two-transactions.json')), 422, /"transactions" has 2/)
    })

    it.runIf(name === 'embedded')('in a reason phrase of ASCII, cut where it is long', async () => {
      const { status, reason, body } = await post({ transaction: SAMPLE, [`req-ä${'x'.repeat(300)}`]: 1 })
      expect([status, reason]).toEqual([422, body.memo!.replace('ä', '?')])
      const { reason: cut } = await ask('POST', '/long', JSON.stringify({ transaction: SAMPLE }), JSON_TYPE)
      expect(cut).toBe('x'.repeat(200))
    })

    it.each([
      ['/', /are posted to \/\{pool\}/],
      ['//', /are posted to \/\{pool\}/],
      ['/mypool/x/y', /are posted to \/\{pool\}/],
      ['/mypool/x', /no invoice at this address; .* or post to \/\{pool\}/],
      ['/my/pool/', /no pool of this name/],
    ])('the path %s', async (path, memo) => {
      expectRefused(await ask('POST', path, sent, JSON_TYPE), 404, memo)
    })
  })

  describe('a preflight', () => {
    const preflight = (headers: Record<string, string>) => ask('OPTIONS', '/mypool', '', { origin: 'https://app.example', ...headers })

    it('allows the headers that it asks for', async () => {
      const asked = 'content-type,xdeployment-id,authorization,payment-signature'
      const { status, headers } = await preflight({ 'access-control-request-method': 'POST', 'access-control-request-headers': asked })
      expect([status, headers['access-control-allow-headers']]).toEqual([204, asked])
      expect(headers.vary).toContain('Access-Control-Request-Headers')
      expect((await preflight({ 'access-control-request-headers': 'a;b' })).headers['access-control-allow-headers']).toBe(
        'Content-Type, Accept',
      )
    })

    it.runIf(name === 'embedded')('to a loopback machine is told that a page of another network may post', async () => {
      const asked = { 'access-control-request-private-network': 'true' }
      expect((await preflight(asked)).headers['access-control-allow-private-network']).toBe('true')
      expect((await preflight({})).headers['access-control-allow-private-network']).toBeUndefined()
    })
  })
})
