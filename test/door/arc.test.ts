import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ARC, type HttpClient, Transaction } from '@bsv/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { paymentsApp } from '../../functions/payments/app.ts'
import { type LedgerFile, openLedgerFile } from '../../local/ports.ts'
import { arcService } from '../../shared/broadcast/arc.ts'
import { checkSettings } from '../../shared/config/config.ts'
import type { KeptStatus } from '../../shared/ledger/status.ts'
import type { PoolDoor } from '../../shared/machine/accept.ts'
import { knownOf } from '../../shared/machine/known.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { beef, field, threeSteps, txidOf, V1 } from '../formats/made.ts'
import { CloudMachine } from '../machine/cloud.ts'
import { TestMachine, until } from '../machine/machine.ts'
import { askAt } from './ask.ts'
import { askFunction } from './function-url.ts'

// The door as programs see it that were told its address as one of ARC: below /{pool}/v1, on both sides of the ports.

interface Said {
  status: number
  body: Record<string, unknown> & { txid?: string; txStatus?: string }
  text: string
}
type Ask = (method: string, path: string, body?: string | Uint8Array, headers?: Record<string, string>) => Promise<Said>

const JSON_TYPE = { 'content-type': 'application/json' }
const SAMPLE = sampleTransaction('for ARC')
const SAMPLE_ID = txidOf(Buffer.from(SAMPLE, 'hex'))

let machine: TestMachine
let cloud: CloudMachine
let dir: string
let ledger: LedgerFile
const now = 1_700_000_000_000
beforeAll(async () => {
  machine = await TestMachine.start({ mypool: {}, picky: { filter: 'nothing' as never } })
  cloud = await CloudMachine.open({ mypool: {}, picky: { filter: () => false } }, { bitcoin: { network: 'regtest', chain: [] } })
  dir = mkdtempSync(join(tmpdir(), 'overpool-arc-'))
  ledger = openLedgerFile(dir)
})
afterAll(async () => {
  await Promise.all([machine, cloud].map((side) => side[Symbol.asyncDispose]()))
  ledger.close()
  rmSync(dir, { recursive: true })
})

const pools = new Map<string, PoolDoor>(
  (['mypool', 'picky'] as const).map((path) => [path, { path, ...checkSettings(path === 'picky' ? { filter: () => false } : {}, '') }]),
)

/** Behind a function URL, where the machine takes part in Bitcoin unless `known` is left out. */
function lambda(isKnowing = true): Ask {
  return async (method, path, body, headers) => {
    const app = paymentsApp({
      ingress: ledger.ingress,
      pools: () => [...pools.values()],
      pool: (name) => pools.get(name),
      ancestors: ledger.stores.ancestors,
      known: isKnowing ? (pool, txid) => knownOf(ledger.stores, pool, txid) : undefined,
      now: () => now,
      maxBytes: 4_500_000,
      log: (error) => {
        throw error
      },
    })
    return (await askFunction(app, method, path, body, headers)) as unknown as Said
  }
}

const DOORS: [name: string, ask: Ask][] = [
  ['embedded', async (...asked) => (await askAt(machine.url, ...asked)) as unknown as Said],
  ['on AWS', async (...asked) => (await cloud.knock(...asked)) as unknown as Said],
]

describe.each(DOORS)('the door of ARC, %s,', (name, ask) => {
  const post = (body: unknown, path = '/mypool/v1/tx') => ask('POST', path, JSON.stringify(body), JSON_TYPE)

  /** @bsv/sdk's class, whose requests go to this door. */
  const arc = () => {
    const httpClient: HttpClient = {
      async request<T>(url: string, options: { method?: string; headers?: Record<string, string>; data?: unknown }) {
        const { pathname } = new URL(url)
        const { status, body } = await ask(options.method!, pathname, JSON.stringify(options.data), options.headers)
        return { ok: status < 300, status, statusText: '', data: body as T }
      },
    }
    return new ARC('http://pool.example/mypool', { httpClient, apiKey: 'a key that nobody reads', callbackUrl: 'https://app.example' })
  }

  it('takes what the class ARC of @bsv/sdk sends, raw or in the extended format', async () => {
    for (const tx of [Transaction.fromHex(SAMPLE), Transaction.fromHexEF(field('06-sdk-ef.hex').toString('hex'))]) {
      const answer = await arc().broadcast(tx)
      expect(answer).toEqual({ status: 'success', txid: tx.id('hex'), message: expect.stringMatching(/^(RECEIVED|STORED) $/) })
    }
  })

  it('says to the class ARC why it takes nothing', async () => {
    const refused = await new ARC('http://pool.example/picky', {
      httpClient: (arc() as unknown as { httpClient: HttpClient }).httpClient,
    }).broadcast(Transaction.fromHex(SAMPLE))
    expect(refused).toMatchObject({
      status: 'error',
      code: '403',
      description: expect.stringMatching(/./),
      more: { code: 'FILTER_REFUSED' },
    })
  })

  it('takes several, and says of each what became of it', async () => {
    const transactions = ['one', 'two', 'three'].map((text) => sampleTransaction(`${name} ${text}`))
    const answers = (await arc().broadcastMany(transactions.map((hex) => Transaction.fromHex(hex)))) as { txid: string; txStatus: string }[]
    expect(answers).toMatchObject(
      transactions.map((hex) => ({
        txid: scanTransaction(Buffer.from(hex, 'hex')).txid,
        txStatus: expect.stringMatching(/^(RECEIVED|STORED)$/) as unknown,
      })),
    )
    const { status, body } = await post([{ rawTx: 'abc' }, { rawTx: sampleTransaction(`${name} four`) }], '/mypool/v1/txs')
    expect([status, body]).toEqual([
      200,
      [expect.objectContaining({ status: 422, code: 'BAD_TRANSACTION' }), expect.objectContaining({ status: 200, txStatus: 'RECEIVED' })],
    ])
  })

  it('takes JSON, text and bytes, in any format', async () => {
    const { subject, bump, members } = threeSteps()
    const bytes = beef(V1, [bump], members)
    const forms: [string | Uint8Array, Record<string, string>][] = [
      [JSON.stringify({ rawTx: bytes.toString('hex') }), { 'content-type': 'application/json; charset=utf-8' }],
      [JSON.stringify({ rawTx: subject.toString('hex') }), {}],
      [`${subject.toString('hex')}\n`, { 'content-type': 'text/plain' }],
      [bytes.toString('base64'), { 'content-type': 'text/plain' }],
      [bytes, { 'content-type': 'application/octet-stream' }],
      [subject, { 'content-type': 'application/octet-stream' }],
    ]
    for (const [body, headers] of forms) {
      const answer = await ask('POST', '/mypool/v1/tx', body, headers)
      expect([answer.status, answer.body.txid]).toEqual([200, txidOf(subject)])
      expect(['RECEIVED', 'STORED']).toContain(answer.body.txStatus)
    }
    const lines = await ask('POST', '/mypool/v1/txs', `${SAMPLE}\n${subject.toString('hex')}\n`, { 'content-type': 'text/plain' })
    expect((lines.body as unknown as { txid: string }[]).map(({ txid }) => txid)).toEqual([SAMPLE_ID, txidOf(subject)])
  })

  it.each<[string, number, string | undefined, () => Promise<Said>]>([
    ['no transaction', 400, 'MALFORMED_PAYMENT', () => post({})],
    ['half a message', 400, 'MALFORMED_PAYMENT', () => ask('POST', '/mypool/v1/tx', '{"rawTx":"01', JSON_TYPE)],
    ['a list for one', 400, 'MALFORMED_PAYMENT', () => post([{ rawTx: SAMPLE }])],
    ['one for a list', 400, 'MALFORMED_PAYMENT', () => post({ rawTx: SAMPLE }, '/mypool/v1/txs')],
    ['an empty list', 400, 'MALFORMED_PAYMENT', () => post([], '/mypool/v1/txs')],
    ['too many', 400, 'MALFORMED_PAYMENT', () => post(Array(101).fill({ rawTx: SAMPLE }), '/mypool/v1/txs')],
    ['segwit', 422, 'BAD_TRANSACTION', () => post({ rawTx: field('06-segwit.hex').toString('hex') })],
    [
      'a form',
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      () => ask('POST', '/mypool/v1/tx', 'a=b', { 'content-type': 'application/x-www-form-urlencoded' }),
    ],
    ['a pool that is not there', 404, 'POOL_NOT_FOUND', () => post({ rawTx: SAMPLE }, '/nopool/v1/tx')],
    ['another path', 404, 'POOL_NOT_FOUND', () => post({ rawTx: SAMPLE }, '/mypool/v1/blocks')],
    ['a path that goes on', 404, 'POOL_NOT_FOUND', () => ask('GET', `/mypool/v1/tx/${SAMPLE_ID}/more`)],
    ['GET where it takes POST', 405, 'METHOD_NOT_ALLOWED', () => ask('GET', '/mypool/v1/txs')],
    ['PUT', 405, 'METHOD_NOT_ALLOWED', () => ask('PUT', '/mypool/v1/tx', '{}', JSON_TYPE)],
    ['a txid that is none', 400, 'MALFORMED_PAYMENT', () => ask('GET', '/mypool/v1/tx/abc')],
    ['a txid that the pool does not know', 404, 'ENTRY_NOT_FOUND', () => ask('GET', `/mypool/v1/tx/${'0'.repeat(64)}`)],
  ])('answers to %s with %i and a sentence', async (_, status, code, answer) => {
    const said = await answer()
    expect([said.status, said.body]).toEqual([
      status,
      expect.objectContaining({ status, title: expect.any(String), detail: expect.stringMatching(/\w+ \w+/), ...(code && { code }) }),
    ])
  })

  it('says what its policy is, and that it is well', async () => {
    expect(await ask('GET', '/mypool/v1/policy')).toMatchObject({
      status: 200,
      body: { policy: { miningFee: { satoshis: 100, bytes: 1_000 }, maxtxsizepolicy: 5_000_000 } },
    })
    expect(await ask('GET', '/mypool/v1/health')).toMatchObject({ status: 200, body: { healthy: true, reason: '' } })
  })

  interface Vector {
    id: string
    input: { method: string; path: string; headers: Record<string, string>; body: unknown }
    expected: { status?: number; body?: { title: string; status: number } }
  }
  const { vectors }: { vectors: Vector[] } = JSON.parse(
    readFileSync(new URL('../data/field/ts-stack-arc-submit.json', import.meta.url), 'utf8'),
  )

  /** What a pool says of a transaction of a vector, most of which are none. */
  const expected = (message: unknown): object => {
    const { rawTx } = message as { rawTx?: string }
    try {
      return { txid: scanTransaction(Buffer.from(rawTx ?? '', 'hex')).txid, txStatus: 'RECEIVED' }
    } catch {
      return { status: rawTx === undefined ? 400 : 422, detail: expect.any(String), title: expect.any(String) }
    }
  }

  it.each(vectors.filter(({ input }) => input.method === 'POST' && input.path.startsWith('/v1/')))('answers to $id', async ({ input }) => {
    const { method, path, headers, body } = input
    const small = Object.fromEntries(Object.entries(headers).map(([field, value]) => [field.toLowerCase(), value]))
    const answer = await ask(method, `/mypool${path}`, JSON.stringify(body), small)
    if (Array.isArray(body)) expect(answer).toMatchObject({ status: 200, body: body.map(expected) })
    else expect(answer.body).toMatchObject(expected(body))
    expect([200, 400, 422]).toContain(answer.status)
  })

  it('answers to the vectors that ask for a transaction, or send what is none', async () => {
    const [known, unknown, bad] = ['12', '13', '6'].map((n) => vectors.find(({ id }) => id === `broadcast.arcsubmit.${n}`)!) as [
      Vector,
      Vector,
      Vector,
    ]
    for (const { input } of [known, unknown])
      expect(await ask('GET', `/mypool${input.path}`)).toMatchObject({ status: 404, body: { title: 'Not Found', status: 404 } })
    expect(unknown.expected).toMatchObject({ status: 404, body: { title: 'Not Found', status: 404 } })
    const { status, title } = bad.expected.body!
    expect(await post(bad.input.body)).toMatchObject({ status, body: { status, title } })
  })
})

it('a transaction that was posted so is an entry like any other, once', async () => {
  const tx = sampleTransaction('posted twice')
  const { body } = (await askAt(machine.url, 'POST', '/mypool/v1/tx', JSON.stringify({ rawTx: tx }), JSON_TYPE)) as unknown as Said
  expect((await machine.post('mypool', { transaction: tx })).status).toBe(200)
  const hash = body.txid!
  await until(
    () => askAt(machine.url, 'GET', `/mypool/v1/tx/${hash}`) as unknown as Promise<Said>,
    ({ body: { txStatus } }) => txStatus === 'STORED',
  )
  const entries = await machine.call('read', { path: 'mypool' })
  expect(entries.filter((entry) => entry.hash === hash)).toMatchObject([{ source: 'http', payment: { transaction: tx } }])
})

it('our own broadcaster takes a pool for ARC', async () => {
  const service = arcService({ url: `${machine.url}/mypool` })
  const tx = Buffer.from(sampleTransaction('from a pool to a pool'), 'hex')
  const txid = txidOf(tx)
  expect(await service.send([{ tx, txid }])).toEqual([{ txid, says: 'sent', mark: expect.any(String) }])
})

describe('a status in ARC’s words', () => {
  const tx = Buffer.from(sampleTransaction('with a status'), 'hex')
  const txid = txidOf(tx)
  const status = async () => (await lambda()('GET', `/mypool/v1/tx/${txid}`)).body
  let seq = 0
  const keep = (kept: Partial<KeptStatus>) => ledger.stores.statuses.put('mypool', [{ txid, seq: seq++, status: 'local', ...kept }])
  const blockHash = 'ab'.repeat(32)

  it.each<[Partial<KeptStatus>, object]>([
    [
      { status: 'local', reason: 'no service takes it' },
      { txStatus: 'STORED', extraInfo: 'no service takes it' },
    ],
    [{ status: 'sent' }, { txStatus: 'SENT_TO_NETWORK' }],
    [{ status: 'seen' }, { txStatus: 'SEEN_ON_NETWORK' }],
    [
      { status: 'mined', height: 7, blockHash },
      { txStatus: 'MINED', blockHeight: 7, blockHash, merklePath: '' },
    ],
    [
      { status: 'rejected', final: true, reason: 'bad-txns' },
      { txStatus: 'REJECTED', extraInfo: 'bad-txns' },
    ],
    [{ status: 'double-spent', reason: 'two spend it' }, { txStatus: 'DOUBLE_SPEND_ATTEMPTED' }],
    [{ status: 'double-spent', final: true, reason: 'the other one is mined' }, { txStatus: 'REJECTED' }],
  ])('%j', async (kept, said) => {
    await keep(kept)
    expect(await status()).toMatchObject({ txid, ...said })
    const again = await lambda()('POST', '/mypool/v1/tx', JSON.stringify({ rawTx: tx.toString('hex') }), JSON_TYPE)
    expect(again.body).toMatchObject({ txid, ...said })
  })

  it('is asked of a machine that takes part in no Bitcoin network in vain', async () => {
    const { status, body } = await lambda(false)('GET', `/mypool/v1/tx/${txid}`)
    expect([status, body.detail]).toEqual([405, expect.stringContaining('no Bitcoin network')])
  })
})
