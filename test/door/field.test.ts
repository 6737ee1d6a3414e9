import { readFileSync } from 'node:fs'
import { brotliCompressSync, deflateSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { payment, TestMachine } from '../machine/machine.ts'
import { type Answer, askAt } from './ask.ts'

// Requests that programs, wallets and people have sent to doors like this one.

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

let machine: TestMachine
beforeAll(async () => {
  machine = await TestMachine.start({ mypool: {}, long: { filter: 'long' as never } })
})
afterAll(() => machine[Symbol.asyncDispose]())

const ask = (method: string, path: string, body?: string | Uint8Array, headers?: Record<string, string>) =>
  askAt(machine.url, method, path, body, headers)
const post = (body: string | Uint8Array | object, headers: Record<string, string> = {}) =>
  ask('POST', '/mypool', typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body), { ...JSON_TYPE, ...headers })

function expectRefused({ status, body, reason }: Answer, expected: number, names: RegExp): void {
  expect(body).toEqual({ memo: expect.stringMatching(names), error: 1, code: expect.any(String) })
  expect([status, reason]).toEqual([expected, body.memo])
}

describe('requests of the field:', () => {
  it.each(REQUESTS)('$about', async ({ method, path, headers, body, status, names }) => {
    const answer = await ask(method, path, body, headers)
    if (names === undefined) expect([answer.status, answer.body.payment]).toEqual([status, { transaction: SAMPLE }])
    else expectRefused(answer, status, new RegExp(`${names}.*${SENDS}`))
  })
})

/** A refusal also says what to send instead. */
const SENDS = '(send|in hex)'

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

  it.each([
    ['06-sdk-ef.hex', /extended format \(BRC-30\)/],
    ['06-sdk-beef.hex', /in BEEF \(BRC-62\)/],
    ['06-sdk-atomic.hex', /in AtomicBEEF \(BRC-95\)/],
    ['06-segwit.hex', /segwit format of BTC/],
  ])('%s, in hex, in base64 and as a list of bytes', async (name, names) => {
    const transaction = hexIn(name)
    const bytes = Buffer.from(transaction, 'hex')
    expectRefused(await post({ transaction }), 422, names)
    expectRefused(await post({ transaction: bytes.toString('base64') }), 422, /in base64/)
    expectRefused(await post({ transaction: [...bytes] }), 422, new RegExp(`list of bytes.*${names.source}`))
  })

  it('a raw transaction in base64', async () => {
    expectRefused(await post({ transaction: Buffer.from(hexIn('06-sdk-raw.hex'), 'hex').toString('base64') }), 422, /in base64/)
  })

  it('two transactions', async () => {
    expectRefused(await post(file('08-two-transactions.json')), 422, /"transactions" has 2/)
  })

  it('in a reason phrase of ASCII, cut where it is long', async () => {
    const { status, reason, body } = await post({ transaction: SAMPLE, [`req-ä${'x'.repeat(300)}`]: 1 })
    expect([status, reason]).toEqual([422, body.memo!.replace('ä', '?')])
    const { reason: cut } = await askAt(machine.url, 'POST', '/long', JSON.stringify({ transaction: SAMPLE }), JSON_TYPE)
    expect(cut).toBe('x'.repeat(200))
  })

  it.each(['/', '//', '/mypool/x', '/my/pool/'])('the path %s', async (path) => {
    expectRefused(await ask('POST', path, sent, JSON_TYPE), 404, /are posted to \/\{pool\}/)
  })
})

describe('a preflight', () => {
  const preflight = (headers: Record<string, string>) => ask('OPTIONS', '/mypool', '', { origin: 'https://app.example', ...headers })

  it('allows the headers that it asks for', async () => {
    const asked = 'content-type,xdeployment-id,authorization,payment-signature'
    const { status, headers } = await preflight({ 'access-control-request-method': 'POST', 'access-control-request-headers': asked })
    expect([status, headers['access-control-allow-headers']]).toEqual([204, asked])
    expect(headers.vary).toContain('Access-Control-Request-Headers')
    expect((await preflight({ 'access-control-request-headers': 'a\u00e9b' })).headers['access-control-allow-headers']).toBe(
      'Content-Type, Accept',
    )
  })

  it('to a loopback machine is told that a page of another network may post', async () => {
    const asked = { 'access-control-request-private-network': 'true' }
    expect((await preflight(asked)).headers['access-control-allow-private-network']).toBe('true')
    expect((await preflight({})).headers['access-control-allow-private-network']).toBeUndefined()
  })
})
