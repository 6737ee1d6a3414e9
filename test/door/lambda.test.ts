import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { inspect } from 'node:util'
import { handle } from 'hono/aws-lambda'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { PAYMENTS_TIMEOUT_S } from '../../cdk/payments.ts'
import { paymentsApp } from '../../functions/payments/app.ts'
import { folderLayout } from '../../local/folder.ts'
import { type LedgerFile, openLedgerFile } from '../../local/ports.ts'
import { MAX_PAYMENT_BYTES_ON_LAMBDA } from '../../shared/bip270/payment.ts'
import { checkSettings } from '../../shared/config/config.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { encodeBlock } from '../../shared/ledger/block.ts'
import { decodeEntry } from '../../shared/ledger/entry-codec.ts'
import type { TxEntry } from '../../shared/ledger/kinds.ts'
import { decodeIngress } from '../../shared/ledger/messages.ts'
import type { PoolDoor } from '../../shared/machine/accept.ts'
import { Copies } from '../../shared/machine/copies.ts'
import { knownOf } from '../../shared/machine/known.ts'
import { largePayment, payment } from '../machine/machine.ts'
import { type FunctionUrlRequest, functionUrlEvent } from './function-url.ts'

// The door behind a Lambda function URL, with events as AWS sends them, over a real ingress queue.

let dir: string
let ledger: LedgerFile
let log: unknown[]
const pools = new Map<string, PoolDoor>([
  ['mypool', { path: 'mypool', ...checkSettings({}, '') }],
  ['halted', { path: 'halted', ...checkSettings({}, ''), halted: 'block 7 of the hypercore is not that of the mirror' }],
])

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'overpool-lambda-'))
  ledger = openLedgerFile(dir)
  log = []
})
afterEach(() => {
  ledger.close()
  rmSync(dir, { recursive: true })
})

function door() {
  return paymentsApp({
    ingress: ledger.ingress,
    pools: () => [...pools.values()],
    copies: new Copies(ledger.stores.receipts, ledger.ingress),
    ancestors: ledger.stores.ancestors,
    known: (path, txid) => knownOf(ledger.stores, path, txid),
    now: Date.now,
    maxBytes: MAX_PAYMENT_BYTES_ON_LAMBDA,
    log: (error) => log.push(error),
    async pool(path) {
      if (path === 'broken') throw new Error('arn:aws:dynamodb:eu-west-1:123456789012:table/Mirror is not there')
      return pools.get(path)
    },
  })
}

/** The door's answer to an event, as a function URL sends it. */
async function invoke(body: string | undefined, options: FunctionUrlRequest = {}) {
  const handler = handle(door())
  const answer = await handler(functionUrlEvent(body, options))
  if (!('headers' in answer)) throw new Error('a function URL reads `headers`')
  return {
    status: answer.statusCode,
    headers: answer.headers!,
    base64: answer.isBase64Encoded,
    text: answer.body,
    body: answer.body ? JSON.parse(answer.body) : {},
  }
}

async function taken() {
  const messages = await ledger.ingress.receive({ max: 10, waitMs: 0 })
  return messages.map(({ body }) => decodeIngress(body)).map(({ pool, entry }) => ({ pool, ...decodeEntry(entry) }))
}

describe('the door behind a function URL', () => {
  it.each([
    ['as text, which application/json is', false, { 'content-type': 'application/json' }],
    ['in base64, as application/bitcoinsv-payment arrives', true, { 'content-type': 'application/bitcoinsv-payment' }],
    ['in base64, as a message without a type arrives', true, {}],
  ])('takes a payment that comes %s', async (_, base64, headers) => {
    const sent = { merchantData: '{"order":7}', ...payment('over Lambda'), memo: 'tea ☕' }
    const answer = await invoke(JSON.stringify(sent), { base64, headers })
    expect(answer).toMatchObject({ status: 200, base64: false, body: { payment: sent, error: 0, success: true } })
    expect(answer.headers).toMatchObject({ 'content-type': 'application/json', 'access-control-allow-origin': '*' })
    const entries = await taken()
    expect(entries).toMatchObject([{ pool: 'mypool', source: 'http', payment: { memo: 'tea ☕', merchantData: '{"order":7}' } }])
    expect(Buffer.from((entries[0] as TxEntry).tx).toString('hex')).toBe(sent.transaction)
  })

  it('takes a form in base64', async () => {
    const { transaction } = payment('a form')
    const answer = await invoke(`transaction=${transaction}&memo=a+b`, {
      base64: true,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
    expect(answer).toMatchObject({ status: 200, body: { payment: { transaction, memo: 'a b' } } })
  })

  it('takes a message of 4.5 MB and refuses one byte more, in base64 or not', async () => {
    const { transaction } = largePayment(2_200_000)
    for (const base64 of [false, true]) {
      const padded = (length: number) => JSON.stringify({ transaction }).padEnd(length)
      expect((await invoke(padded(MAX_PAYMENT_BYTES_ON_LAMBDA), { base64 })).status).toBe(200)
      const refused = await invoke(padded(MAX_PAYMENT_BYTES_ON_LAMBDA + 1), { base64 })
      expect(refused).toMatchObject({
        status: 413,
        body: { error: 1, code: 'PAYMENT_TOO_LARGE', memo: 'a Payment may have 4500000 bytes' },
      })
      expect(refused.text.length).toBeLessThan(200)
    }
    expect(await taken()).toHaveLength(2)
  })

  it('does not trust the length that the wallet declares', async () => {
    const body = JSON.stringify(payment('short')).padEnd(MAX_PAYMENT_BYTES_ON_LAMBDA + 1)
    expect((await invoke(body, { headers: { 'content-length': '10' } })).status).toBe(413)
    expect((await invoke(JSON.stringify(payment('short')), { headers: { 'content-length': 'many' } })).status).toBe(200)
  })

  it('stops reading at the limit when a message does not declare its length', async () => {
    const body = JSON.stringify(payment('unannounced')).padEnd(MAX_PAYMENT_BYTES_ON_LAMBDA + 1)
    expect((await door().request('/mypool', { method: 'POST', body, headers: { 'content-type': 'application/json' } })).status).toBe(413)
    expect(await taken()).toEqual([])
  })

  it.each([
    ['without a body', undefined, {}, 400],
    ['with a body that is not JSON', '{', {}, 400],
    ['for a pool that does not exist', '{}', { path: '/nopool' }, 404],
    ['with a GET', undefined, { method: 'GET' }, 405],
    ['of an unsupported type', '{}', { headers: { 'content-type': 'text/plain' } }, 415],
    ['with the nine bytes that make other parsers allocate until they die', '{"transaction":"01000000feffffffff"}', { base64: true }, 422],
  ])('refuses a request %s', async (_, body, options, status) => {
    expect(await invoke(body, options)).toMatchObject({ status, body: { error: 1 } })
    expect(await taken()).toEqual([])
  })

  it('does not ask the filter again about a payment that is in the ledger', async () => {
    let asked = 0
    const filter = () => ++asked === 1
    pools.set('once', { path: 'once', ...checkSettings({ filter }, '') })
    const sent = JSON.stringify(payment('an order'))
    const first = await invoke(sent, { path: '/once' })
    expect(first.status).toBe(200)
    const [message] = await ledger.ingress.receive({ max: 1, waitMs: 0 })
    const { id, txid, entry } = decodeIngress(message!.body)
    await ledger.stores.control.create({ kind: 'own', path: 'once', key: 'aa', discoveryKey: 'bb', createdAt: 0 })
    await ledger.stores.blocks.put('once', encodeBlock(0, 0, [entry]))
    await ledger.stores.receipts.put('once', [{ key: txid!, id, txid, seq: 0, block: 0 }])
    expect(await invoke(sent, { path: '/once' })).toEqual(first)
    expect((await invoke(JSON.stringify(payment('another order')), { path: '/once' })).status).toBe(403)
    expect(asked).toBe(2)
  })

  it('shows a browser a page without entries', async () => {
    const answer = await door().request('https://pay.example/mypool', {
      headers: { accept: 'text/html', 'x-forwarded-proto': 'https', host: 'pay.example' },
    })
    const text = await answer.text()
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    expect(text).toContain('curl https://pay.example/mypool ')
    expect(text).not.toContain('Newest entries')
  })

  it('answers a preflight', async () => {
    expect(await invoke(undefined, { method: 'OPTIONS', headers: { origin: 'https://wallet.example' } })).toMatchObject({
      status: 204,
      text: '',
      headers: { 'access-control-allow-origin': '*' },
    })
  })
})

describe('the door does not explain its own failures to wallets:', () => {
  const sent = JSON.stringify(payment('while we are ill'))
  const SENTENCE = 'The payment could not be taken. Please send it again: it is recorded once, however often it is sent.'

  it('an unexpected failure is a 500 with one fixed sentence; the log has the details', async () => {
    const answer = await invoke(sent, { path: '/broken' })
    expect(answer).toMatchObject({ status: 500, body: { memo: SENTENCE, error: 1 } })
    expect(answer.text).not.toMatch(/arn|Error|at /)
    expect(String(log[0])).toContain('arn:aws:dynamodb')
  })

  it('a payment that passed the filter and could not be kept is not put to the filter again', async () => {
    let asked = 0
    pools.set('ill', { path: 'ill', ...checkSettings({ filter: () => ++asked === 1 }, '') })
    const app = door()
    const post = () => app.request('/ill', { method: 'POST', body: sent, headers: { 'content-type': 'application/json' } })
    const file = folderLayout(dir).ledger
    const other = new DatabaseSync(file)
    other.exec('ALTER TABLE "queue ingress" RENAME TO "elsewhere"')
    expect((await post()).status).toBe(503)
    other.exec('ALTER TABLE "elsewhere" RENAME TO "queue ingress"')
    other.close()
    expect((await post()).status).toBe(200)
    expect(await taken()).toHaveLength(1)
  })

  it('a failing ingress queue is a 503, which tells the wallet to retry', async () => {
    const other = new DatabaseSync(folderLayout(dir).ledger)
    other.exec('DROP TABLE "queue ingress"')
    other.close()
    const answer = await invoke(sent)
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1' }, body: { memo: SENTENCE, error: 1, code: 'UNAVAILABLE' } })
    expect(log).toHaveLength(1)
  })

  const ARN = 'arn:aws:dynamodb:eu-west-1:123456789012:table/Customers'
  it.each([
    ['AWS, which denies it,', () => Object.assign(new Error(`not authorized on ${ARN}`), { $metadata: {} })],
    ['this library, which fails with ACCESS_DENIED,', () => new OverpoolError('ACCESS_DENIED', `reading ${ARN} failed`)],
    [
      'a host that is unreachable at all its addresses',
      () => new TypeError('fetch failed', { cause: new AggregateError([new Error(ARN)]) }),
    ],
    [
      'a host that is unreachable',
      () => new TypeError('fetch failed', { cause: Object.assign(new Error(`connect 10.0.0.7 for ${ARN}`), { syscall: 'connect' }) }),
    ],
  ])('a filter that calls %s fails with a 503, which is no refusal: the wallet can retry', async (_, failure) => {
    const filter = () => {
      throw failure()
    }
    pools.set('asks', { path: 'asks', ...checkSettings({ filter }, '') })
    const answer = await invoke(sent, { path: '/asks' })
    expect(answer).toMatchObject({ status: 503, body: { memo: SENTENCE, error: 1, code: 'FILTER_SILENT' } })
    expect(inspect(log, { depth: null })).toContain(ARN)
    expect(await taken()).toEqual([])
  })

  it('a filter that does not answer is a 503 before the function times out', async () => {
    pools.set('asks', { path: 'asks', ...checkSettings({ filter: () => new Promise(() => {}) }, '') })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const answer = invoke(sent, { path: '/asks' })
      while (!vi.getTimerCount()) await new Promise(setImmediate)
      vi.advanceTimersByTime(PAYMENTS_TIMEOUT_S * 1_000 - 2_000)
      expect(await answer).toMatchObject({ status: 503, body: { memo: SENTENCE, error: 1, code: 'FILTER_SILENT' } })
    } finally {
      vi.useRealTimers()
    }
  })

  it('a halted pool is a 503, and the answer only says that the pool takes no payments', async () => {
    const answer = await invoke(sent, { path: '/halted' })
    expect(answer).toMatchObject({ status: 503, body: { error: 1, code: 'POOL_HALTED' } })
    expect(answer.text).not.toContain('hypercore')
    expect(await taken()).toEqual([])
    expect(log).toEqual([])
  })

  it('its health names a halted pool beside others, and is 503 when the queue takes no posts', async () => {
    const health = { method: 'GET', path: '/_/health' }
    const halted = 'pool halted takes no payments at this moment'
    expect(await invoke(undefined, health)).toMatchObject({ status: 200, body: { ok: true, problems: [halted] } })
    ledger.close()
    const problems = ['the ledger cannot be written', halted]
    expect(await invoke(undefined, health)).toMatchObject({ status: 503, body: { ok: false, problems } })
  })
})
