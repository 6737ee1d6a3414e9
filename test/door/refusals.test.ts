import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openLedgerFile } from '../../local/ports.ts'
import { largePayment, payment, TestMachine, until } from '../machine/machine.ts'
import { type Answer, askAt } from './ask.ts'

const { transaction } = payment('a payment')
const JSON_TYPE = { 'content-type': 'application/json' }
const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' }

let machine: TestMachine
beforeAll(async () => {
  machine = await TestMachine.start({ mypool: {}, strict: { filter: 'no-memo' as never } })
})
afterAll(() => machine[Symbol.asyncDispose]())

const ask = (method: string, path: string, body?: string | Uint8Array, headers?: Record<string, string>) =>
  askAt(machine.url, method, path, body, headers)

const post = (body: unknown, headers: Record<string, string> = JSON_TYPE, pool = 'mypool') =>
  ask('POST', `/${pool}`, typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body), headers)

describe('the door takes a payment', () => {
  it.each([
    ['application/json'],
    ['application/json; charset=utf-8'],
    ['APPLICATION/JSON;charset="UTF-8";x=y'],
    [' Application/Json '],
    ['application/bitcoinsv-payment'],
    ['application/bitcoinsv-payment; charset=utf-8'],
    ['Application/BitcoinSV-Payment'],
    ['application/payment'],
  ])('with the Content-Type %j', async (type) => {
    const { status, body, headers } = await post({ transaction }, { 'content-type': type })
    expect([status, body.error, body.success]).toEqual([200, 0, true])
    expect(headers['content-type']).toBe('application/json')
  })

  it('without any Content-Type', async () => {
    expect((await post({ transaction }, {})).status).toBe(200)
  })

  it('as a form, as the original did', async () => {
    const form = new URLSearchParams({ transaction, memo: 'tea & cake, 100 % + tip', merchantData: 'ä{"order":1}' }).toString()
    const { status, body } = await post(form, { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' })
    expect(status).toBe(200)
    expect(body.payment).toEqual({ transaction, memo: 'tea & cake, 100 % + tip', merchantData: 'ä{"order":1}' })
  })

  it('as JSON with the media type of a form, as curl -d sends it', async () => {
    const { status, body } = await post({ transaction, memo: 'a & b' }, FORM_TYPE)
    expect([status, body.payment]).toEqual([200, { transaction, memo: 'a & b' }])
  })

  it('from a web page of any origin', async () => {
    const preflight = await ask('OPTIONS', '/mypool', '', {
      origin: 'https://wallet.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type',
    })
    expect(preflight.status).toBe(204)
    expect(preflight.headers['access-control-allow-origin']).toBe('*')
    expect(preflight.headers['access-control-allow-methods']).toContain('POST')
    expect(String(preflight.headers['access-control-allow-headers']).toLowerCase()).toContain('content-type')
    for (const sent of [{ transaction }, {}]) {
      const { headers } = await post(sent, { ...JSON_TYPE, origin: 'https://wallet.example' })
      expect(headers['access-control-allow-origin']).toBe('*') // without it, the page could not read the reason
    }
  })

  it('at a path with a query or with escapes', async () => {
    expect((await ask('POST', '/mypool?order=7', JSON.stringify({ transaction }), JSON_TYPE)).status).toBe(200)
    expect((await ask('POST', '/%6dypool', JSON.stringify({ transaction }), JSON_TYPE)).status).toBe(200)
  })
})

type Refusal = [what: string, answer: () => Promise<Answer>, status: number, code: string | undefined, memo: RegExp]
const payload = (what: string, body: unknown, status: number, code: string, memo: RegExp, headers = JSON_TYPE): Refusal => [
  what,
  () => post(body, headers),
  status,
  code,
  memo,
]
const bad = (what: string, body: unknown, memo: RegExp) => payload(what, body, 422, 'BAD_PAYMENT', memo)
const badTransaction = (what: string, hex: string, memo: RegExp) => payload(what, { transaction: hex }, 422, 'BAD_TRANSACTION', memo)

const REFUSALS: Refusal[] = [
  payload('no body', '', 400, 'MALFORMED_PAYMENT', /is not JSON/),
  payload('half a message', `{"transaction":"${transaction}`, 400, 'MALFORMED_PAYMENT', /is not JSON/),
  payload('hex alone', transaction, 400, 'MALFORMED_PAYMENT', /is not JSON/),
  payload('a form with the media type of JSON', `transaction=${transaction}`, 400, 'MALFORMED_PAYMENT', /is not JSON/),
  payload('null', 'null', 400, 'MALFORMED_PAYMENT', /is a JSON object/),
  payload('an array', [{ transaction }], 400, 'MALFORMED_PAYMENT', /is a JSON object/),
  payload('a string', JSON.stringify(transaction), 400, 'MALFORMED_PAYMENT', /is a JSON object/),
  payload('ten million brackets', '['.repeat(10_000_000), 400, 'MALFORMED_PAYMENT', /nested too deeply/),
  payload(
    'a hundred thousand fields',
    `{${Array.from({ length: 100_000 }, (_, i) => `"${i}":0`).join(',')}}`,
    400,
    'MALFORMED_PAYMENT',
    /too many fields/,
  ),
  payload('a million fields in a form', 'a&'.repeat(1_000_000), 400, 'MALFORMED_PAYMENT', /too many fields/, FORM_TYPE),

  bad('no transaction', {}, /has a "transaction"/),
  bad('a transaction that is null', { transaction: null }, /has a "transaction"/),
  bad('a transaction that is a number', { transaction: 7 }, /is a string of hex/),
  bad('a transaction that is an object', { transaction: { hex: transaction } }, /is a string of hex/),
  bad('two transactions', { transactions: [transaction, transaction] }, /has one transaction, and "transactions" has 2/),
  bad('no transactions', { transactions: [] }, /has a "transaction"/),
  bad('a memo that is a number', { transaction, memo: 7 }, /"memo" is a string/),
  bad('a memo that is too long', { transaction, memo: 'm'.repeat(10_001) }, /"memo" may have 10000 characters, not 10001/),
  bad('merchantData that is too long', { transaction, merchantData: 'm'.repeat(10_001) }, /"merchantData" may have 10000/),
  bad('merchantData that is an object too long', { transaction, merchantData: { a: 'm'.repeat(10_000) } }, /"merchantData" may have 10000/),
  bad('a refundTo that is too long', { transaction, refundTo: 'r'.repeat(101) }, /"refundTo" may have 100/),
  bad('merchantData nested a thousand deep', `{"transaction":"${transaction}","merchantData":${nested(1_000)}}`, /nested deeper than 64/),
  bad(
    'merchantData nested thirty thousand deep',
    `{"transaction":"${transaction}","merchantData":${nested(30_000)}}`,
    /nested deeper than 64/,
  ),
  bad('a field that must be understood', { transaction, 'req-escrow': true }, /"req-escrow" must be understood/),
  payload(
    'a form with a field that must be understood',
    `transaction=${transaction}&req-escrow=1`,
    422,
    'BAD_PAYMENT',
    /"req-escrow"/,
    FORM_TYPE,
  ),

  badTransaction('letters that are not hex', `${transaction.slice(0, -2)}zz`, /hex/),
  badTransaction('half a byte', transaction.slice(0, -1), /hex|odd|even/),
  badTransaction('an empty transaction', '', /bad transaction/),
  badTransaction('a transaction that is cut off', transaction.slice(0, -2), /bad transaction at byte \d+/),
  badTransaction('a transaction with something behind it', `${transaction}00`, /bad transaction at byte \d+/),
  badTransaction('the nine bytes that make other parsers allocate until they die', '01000000feffffffff', /cannot fit/),
  badTransaction('a megabyte with something behind it', `${largePayment(1_000_000).transaction}00`, /bad transaction at byte \d+/),

  payload('text/plain', { transaction }, 415, 'UNSUPPORTED_MEDIA_TYPE', /is sent as application\/json/, { 'content-type': 'text/plain' }),
  payload('multipart/form-data', { transaction }, 415, 'UNSUPPORTED_MEDIA_TYPE', /is sent as/, {
    'content-type': 'multipart/form-data; boundary=x',
  }),
  payload('a type that only begins like JSON', { transaction }, 415, 'UNSUPPORTED_MEDIA_TYPE', /is sent as/, {
    'content-type': 'application/jsonp',
  }),

  [
    'one byte more than 10 MB of hex',
    () => post({ transaction: '0'.repeat(10_000_002) }),
    413,
    'PAYMENT_TOO_LARGE',
    /10000000 hex characters/,
  ],
  ['a message that is too long', () => post(Buffer.alloc(10_200_000, 0x20)), 413, 'PAYMENT_TOO_LARGE', /may have 10181000 bytes/],

  [
    'a payment that the filter refuses',
    () => post({ transaction, memo: 'x' }, JSON_TYPE, 'strict'),
    403,
    'FILTER_REFUSED',
    /^this pool takes no memos$/,
  ],
  [
    'a pool that does not exist',
    () => post({ transaction }, JSON_TYPE, 'nopool'),
    404,
    'POOL_NOT_FOUND',
    /^no pool of this name takes payments here$/,
  ],
  ['a pool whose name is in capitals', () => post({ transaction }, JSON_TYPE, 'MYPOOL'), 404, 'POOL_NOT_FOUND', /no pool of this name/],
  [
    'a pool with the name of a property of every object',
    () => post({ transaction }, JSON_TYPE, '__proto__'),
    404,
    'POOL_NOT_FOUND',
    /no pool of this name/,
  ],
  ['a path with too many parts', () => post({ transaction }, JSON_TYPE, 'mypool/x/y'), 404, 'POOL_NOT_FOUND', /are posted to/],
  [
    'an invoice that does not exist',
    () => post({ transaction }, JSON_TYPE, 'mypool/x'),
    404,
    'INVOICE_NOT_FOUND',
    /no invoice at this address/,
  ],
  ['the root', () => post({ transaction }, JSON_TYPE, ''), 404, 'POOL_NOT_FOUND', /are posted to/],
  ['a path with a broken escape', () => post({ transaction }, JSON_TYPE, '%zz'), 404, 'POOL_NOT_FOUND', /no pool of this name/],
  ['an invalid Host', () => post({ transaction }, { ...JSON_TYPE, host: 'a b' }), 400, undefined, /look at its path and its Host/],
  ...['GET', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'QUERY'].map(
    (method): Refusal => [`the method ${method}`, () => ask(method, '/mypool'), 405, 'METHOD_NOT_ALLOWED', /takes a POST/],
  ),
]

describe('the door refuses', () => {
  it.each(REFUSALS)('%s', async (_, answer, status, code, memo) => {
    const { status: got, headers, text, body } = await answer()
    expect(body).toEqual({ memo: expect.stringMatching(memo), error: 1, ...(code && { code }) })
    expect(got).toBe(status)
    expect(headers['content-type']).toMatch(/^application\/json/)
    expect(headers.allow).toBe(status === 405 ? 'POST, OPTIONS' : undefined)
    expect(text.length, 'the answer does not repeat the request').toBeLessThan(300)
    expect(text, 'the answer names no file of the program').not.toMatch(/\\n|\.ts\b|node_modules|file:/)
  })

  it('a HEAD, with an answer without a body, as HTTP demands', async () => {
    const { status, headers, text } = await ask('HEAD', '/mypool')
    expect([status, headers.allow, text]).toEqual([405, 'POST, OPTIONS', ''])
  })

  it('posts without a trace in the ledger or the log', async () => {
    await until(
      () => machine.call('ingress'),
      ({ waiting, inFlight }) => waiting + inFlight === 0,
    )
    expect(await machine.call('length', 'strict')).toBe(0)
    const before = await machine.call('length', 'mypool')
    for (const [, answer] of REFUSALS.slice(10)) await answer()
    expect((await post({ transaction, memo: 'the only one' })).status).toBe(200)
    await until(
      () => machine.call('ingress'),
      ({ waiting, inFlight }) => waiting + inFlight === 0,
    )
    expect(await machine.call('length', 'mypool')).toBe(before + 1)
    expect(await machine.call('reports')).toEqual([])
  })

  it('a post to a halted pool, without naming the reason', async () => {
    await using halted = await TestMachine.start({ mypool: {} })
    await halted.stop()
    const ledger = openLedgerFile(halted.dir)
    await ledger.stores.control.update('mypool', { halted: 'block 0 is not that of the mirror' })
    ledger.close()
    await halted.start()
    await expect(halted.call('post', { path: 'mypool', payment: transaction })).rejects.toMatchObject({ code: 'POOL_HALTED' })
    expect(await halted.post('mypool', { transaction })).toEqual({
      status: 503,
      body: { memo: 'This pool takes no payments at this moment. Please try again later.', error: 1, code: 'POOL_HALTED' },
    })
    expect(await halted.call('ingress')).toEqual({ waiting: 0, inFlight: 0 })
  })
})

function nested(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth)
}
