import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { arcService } from '../../shared/broadcast/arc.ts'
import { callbackToken, readCallback } from '../../shared/broadcast/callbacks.ts'
import type { Outgoing } from '../../shared/broadcast/service.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { recordedServer } from './recorded.ts'

interface Vector {
  id: string
  input: { method: string; path: string; headers: Record<string, string>; body?: unknown }
  expected: { status?: number; body?: unknown }
}

const { vectors }: { vectors: Vector[] } = JSON.parse(
  readFileSync(new URL('../data/field/ts-stack-arc-submit.json', import.meta.url), 'utf8'),
)
const vector = (n: number): Vector => vectors.find(({ id }) => id === `broadcast.arcsubmit.${n}`)!

const raw = Buffer.from(readFileSync(new URL('../data/field/06-sdk-raw.hex', import.meta.url), 'utf8').trim(), 'hex')
const ef = readFileSync(new URL('../data/field/06-sdk-ef.hex', import.meta.url), 'utf8').trim()
const script = Buffer.from('76a914fc7250a211deddc70ee5a2738de5f07817351cef88ac', 'hex')
const txid: string = scanTransaction(raw).txid
const apiKey = 'test-api-key-abc123'
/** A small transaction, a different one for each number; it spends the given one. */
function small(n: number, parent = 'ff'.repeat(32)): Outgoing {
  const input = Buffer.concat([Buffer.from(parent, 'hex').reverse(), Buffer.alloc(4), Buffer.of(0), Buffer.alloc(4, 0xff)])
  const tx = Buffer.concat([Buffer.of(1, 0, 0, 0, 1), input, Buffer.of(1, n, 0, 0, 0, 0, 0, 0, 0, 0), Buffer.alloc(4)])
  return { tx, txid: scanTransaction(tx).txid }
}

/** The answer of a vector, about a transaction that is one. */
function about(body: unknown, ids: string[]): unknown {
  if (Array.isArray(body)) return body.map((one, n) => ({ ...one, txid: ids[n] }))
  return (body as { txid?: string }).txid ? { ...(body as object), txid: ids[0] } : body
}

describe('ARC', () => {
  it.each([
    [1, { says: 'sent' }],
    [2, { says: 'sent' }],
    [3, { says: 'mined' }],
    [4, { says: 'double-spent', reason: expect.stringContaining('competing tx'), competing: ['deadbeef'.repeat(8)] }],
    [5, { says: 'rejected', final: true, reason: 'Script evaluation failed' }],
    [6, { says: 'local', reason: 'invalid transaction hex' }],
    [11, { says: 'sent' }],
  ])('is asked and understood as conformance vector %i says', async (n, word) => {
    const { input, expected } = vector(n)
    const { url, requests } = await recordedServer(() => ({ status: expected.status!, body: about(expected.body, [txid]) }))
    expect(await arcService({ url, apiKey }).send([{ tx: raw, txid }])).toEqual([{ txid, ...word }])
    expect(requests).toHaveLength(1)
    const [{ method, path, headers, body }] = requests as [(typeof requests)[0]]
    expect([method, path]).toEqual([input.method, input.path])
    expect(headers).toMatchObject({ 'content-type': input.headers['Content-Type'], authorization: input.headers.Authorization })
    expect(JSON.parse(body.toString())).toEqual({ rawTx: raw.toString('hex') })
  })

  it.each([
    [7, 'refuses the key (HTTP status 401): check `apiKey`'],
    [16, 'answers with HTTP status 429'],
  ])('is away when it answers as conformance vector %i says', async (n, why) => {
    const { expected } = vector(n)
    const { url, host } = await recordedServer(() => ({ status: expected.status!, body: expected.body, headers: { 'retry-after': '7' } }))
    const sent = arcService({ url, apiKey: 'wrong-key' }).send([{ tx: raw, txid }])
    await expect(sent).rejects.toMatchObject({ code: 'UNAVAILABLE', retryable: true, retryAfterS: 7, message: `arc ${host} ${why}` })
  })

  it('registers a callback with a token for each transaction, one request each', async () => {
    const { input, expected } = vector(8)
    const sent = [small(1), small(2)]
    const { url, requests } = await recordedServer((_, n) => ({ status: 200, body: about(expected.body, [sent[n - 1]!.txid]) }))
    const callback = { url: input.headers['X-CallbackUrl']!, token: (id: string) => `token of ${id}` }
    const words = await arcService({ url, apiKey }).send(sent.slice(0, 1), callback)
    words.push(...(await arcService({ url, apiKey }).send(sent.slice(1), callback)))
    expect(words).toEqual(sent.map((one) => ({ txid: one.txid, says: 'sent' })))
    for (const [n, { path, headers }] of requests.entries()) {
      expect(path).toBe('/v1/tx')
      expect(headers).toMatchObject({
        'x-callbackurl': callback.url,
        'x-callbacktoken': `token of ${sent[n]!.txid}`,
        'x-fullstatusupdates': 'true',
      })
      expect(headers).not.toHaveProperty('x-callbackbatch')
    }
  })

  it.each([
    [9, [{ says: 'sent' }, { says: 'sent' }]],
    [10, [{ says: 'sent' }, { says: 'double-spent', reason: 'DOUBLE_SPEND_ATTEMPTED' }]],
  ])('takes a batch as conformance vector %i says', async (n, words) => {
    const { input, expected } = vector(n)
    const sent = [small(1), small(2)]
    const ids = sent.map((one) => one.txid)
    const { url, requests } = await recordedServer(() => ({ status: 200, body: about(expected.body, ids) }))
    expect(await arcService({ url, apiKey }).send(sent)).toEqual(words.map((word, i) => ({ txid: ids[i], ...word })))
    expect(requests.map(({ path }) => path)).toEqual([input.path])
    expect(JSON.parse(requests[0]!.body.toString())).toEqual(sent.map(({ tx }) => ({ rawTx: Buffer.from(tx).toString('hex') })))
  })

  it.each([
    [12, 200, { says: 'mined' }],
    [13, 404, { says: 'unknown' }],
  ])('is asked for a status as conformance vector %i says', async (n, status, word) => {
    const { expected } = vector(n)
    const { url, requests } = await recordedServer(() => ({ status, body: about(expected.body, [txid]) }))
    expect(await arcService({ url, apiKey }).ask(txid)).toEqual({ txid, ...word })
    expect(requests.map(({ method, path }) => [method, path])).toEqual([['GET', `/v1/tx/${txid}`]])
  })

  it('calls back as conformance vector 14 says', () => {
    const { input } = vector(14)
    const { txid: about, merklePath, blockHeight } = input.body as { txid: string; merklePath: string; blockHeight: number }
    const words = readCallback(Buffer.from(JSON.stringify(input.body)), `Bearer ${callbackToken('secret', about)}`, 'secret')
    expect(words).toEqual([
      { txid: about, says: 'mined', proof: new Uint8Array(Buffer.from(merklePath, 'hex')), mark: '2026-05-01T12:00:00.000Z' },
    ])
    // The block hash of the vector has 63 digits, so its place counts as not said.
    expect(blockHeight).toBe(813_706)
  })

  it.each([400, 422])('leaves the transaction local for an error as in conformance vector 15, HTTP status %i', async (status) => {
    const { url } = await recordedServer(() => ({ status, body: { title: 'Bad request', status, detail: 'cannot be processed' } }))
    expect(await arcService({ url }).send([{ tx: raw, txid }])).toEqual([{ txid, says: 'local', reason: 'cannot be processed' }])
  })

  it('gets the extended format where the spent outputs are known, else BEEF, else the raw transaction', async () => {
    const { url, requests } = await recordedServer(() => ({ status: 200, body: { txid, txStatus: 'STORED' } }))
    const arc = arcService({ url })
    const beef = Buffer.from('0100beef', 'hex')
    await arc.send([{ tx: raw, txid, spent: [{ satoshis: 100_001n, script }], beef }])
    await arc.send([{ tx: raw, txid, beef }])
    await arc.send([{ tx: raw, txid }])
    expect(requests.map(({ body }) => JSON.parse(body.toString()).rawTx)).toEqual([ef, '0100beef', raw.toString('hex')])
    expect(requests[0]!.headers).not.toHaveProperty('authorization')
  })

  it('gets long lists in batches, in order', async () => {
    const sent = Array.from({ length: 250 }, (_, n) => small(n))
    const { url, requests } = await recordedServer(({ body }) => ({
      status: 200,
      body: (JSON.parse(body.toString()) as { rawTx: string }[])
        .map(({ rawTx }) => ({ txid: scanTransaction(Buffer.from(rawTx, 'hex')).txid, txStatus: 'STORED' }))
        .reverse(),
    }))
    expect((await arcService({ url }).send(sent)).map((word) => word.txid)).toEqual(sent.map((one) => one.txid))
    expect(requests.map(({ body }) => JSON.parse(body.toString()).length)).toEqual([100, 100, 50])
  })

  it('judges each transaction by itself when it refuses the whole batch, each after its parent', async () => {
    const parent = small(1)
    const child = small(2, parent.txid)
    const { url, requests } = await recordedServer(({ path, body }) => {
      if (path === '/v1/txs') return { status: 400, body: { title: 'Bad request', status: 400 } }
      const { rawTx } = JSON.parse(body.toString())
      return { status: 200, body: { txid: scanTransaction(Buffer.from(rawTx, 'hex')).txid, txStatus: 'SEEN_ON_NETWORK' } }
    })
    expect(await arcService({ url }).send([parent, child])).toEqual([
      { txid: parent.txid, says: 'seen' },
      { txid: child.txid, says: 'seen' },
    ])
    expect(requests.map(({ path }) => path)).toEqual(['/v1/txs', '/v1/tx', '/v1/tx'])
    expect(JSON.parse(requests[2]!.body.toString()).rawTx).toBe(Buffer.from(child.tx).toString('hex'))
  })

  it('has said nothing of a transaction that its batch leaves out', async () => {
    const sent = [small(1), small(2)]
    const { url } = await recordedServer(() => ({ status: 200, body: [{ txid: sent[1]!.txid, txStatus: 'STORED' }] }))
    expect((await arcService({ url }).send(sent)).map(({ says }) => says)).toEqual(['unknown', 'sent'])
  })

  it.each([
    ['no JSON', { status: 200, body: '<html>' }, 'answers with something that is no status of a transaction'],
    [
      'another transaction',
      { status: 200, body: { txid: 'ee'.repeat(32), txStatus: 'MINED' } },
      `answers about another transaction, ${'ee'.repeat(32)}`,
    ],
    ['a redirect', { status: 307, headers: { location: 'http://127.0.0.1:1/' } }, 'answers with HTTP status 307'],
    ['an error of its own', { status: 503, headers: { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' } }, 'answers with HTTP status 503'],
    ['an endless answer', { status: 200, body: 'x'.repeat(9 * 1024 * 1024) }, 'answers with more than 8388608 bytes'],
  ])('is away when it answers with %s', async (_, answer, why) => {
    const { url, host } = await recordedServer(() => answer)
    const arc = arcService({ url, apiKey: 'my-key' })
    for (const call of [() => arc.send([{ tx: raw, txid }]), () => arc.ask(txid)])
      await expect(call()).rejects.toMatchObject({ code: 'UNAVAILABLE', retryable: true, message: `arc ${host} ${why}` })
  })

  it('is away when nothing listens there', async () => {
    await expect(arcService({ url: 'http://127.0.0.1:1' }).ask(txid)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: 'arc 127.0.0.1:1 cannot be reached',
    })
  })

  it.each(['arc.taal.com', 'ftp://arc.taal.com', 'https://me:secret@arc.taal.com', 'https://arc.taal.com/?key=secret'])(
    'refuses the url %s',
    (url) => {
      expect(() => arcService({ url })).toThrow(
        expect.objectContaining({ code: 'BAD_CONFIG', message: expect.not.stringContaining('secret') }),
      )
    },
  )

  it('takes a url with a path', async () => {
    const { url, requests } = await recordedServer(() => ({ status: 404 }))
    await arcService({ url: `${url}/arc/` }).ask(txid)
    expect(requests[0]!.path).toBe(`/arc/v1/tx/${txid}`)
  })
})
