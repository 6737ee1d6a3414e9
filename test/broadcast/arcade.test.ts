import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { describe, expect, it } from 'vitest'
import { arcadeService } from '../../shared/broadcast/arcade.ts'
import type { Outgoing, StreamEvent } from '../../shared/broadcast/service.ts'
import type { OverpoolError } from '../../shared/errors.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { type Recorded, recordedServer } from './recorded.ts'

const field = (name: string) => Buffer.from(readFileSync(new URL(`../data/field/${name}`, import.meta.url), 'utf8').trim(), 'hex')
const raw = field('06-sdk-raw.hex')
const txid: string = scanTransaction(raw).txid
const spent = [{ satoshis: 100_001n, script: Buffer.from('76a914fc7250a211deddc70ee5a2738de5f07817351cef88ac', 'hex') }]

/** Another transaction for each number. */
function other(n: number): Outgoing {
  const tx = Buffer.from(raw)
  tx.writeUInt32LE(n, tx.length - 4)
  return { tx, txid: scanTransaction(tx).txid }
}

const received = ({ body }: Recorded) => ({ status: 202, body: { txid: scanTransaction(body).txid, status: 202, txStatus: 'RECEIVED' } })

describe('Arcade', () => {
  it('takes a transaction by itself, in the extended format where the spent outputs are known', async () => {
    const { url, requests } = await recordedServer(() => ({ status: 202, body: { txid, status: 202, txStatus: 'RECEIVED' } }))
    const arcade = arcadeService({ url, apiKey: 'my-key' })
    expect(await arcade.send([{ tx: raw, txid }])).toEqual([{ txid, says: 'sent' }])
    expect(await arcade.send([{ tx: raw, txid, spent }])).toEqual([{ txid, says: 'sent' }])
    expect(requests.map(({ method, path, body }) => [method, path, body])).toEqual([
      ['POST', '/tx', raw],
      ['POST', '/tx', field('06-sdk-ef.hex')],
    ])
    expect(requests[0]!.headers).toMatchObject({ 'content-type': 'application/octet-stream', authorization: 'Bearer my-key' })
  })

  it('takes a transaction without a word on its status, as earlier versions do', async () => {
    const { url } = await recordedServer(() => ({ status: 202, body: { status: 'submitted' } }))
    expect(await arcadeService({ url }).send([{ tx: raw, txid }])).toEqual([{ txid, says: 'sent' }])
  })

  it('says again what it knows of a transaction that it has', async () => {
    const { url } = await recordedServer(() => ({ status: 202, body: { txid, txStatus: 'MINED', timestamp: '2026-04-28T18:21:52Z' } }))
    expect(await arcadeService({ url }).send([{ tx: raw, txid }])).toEqual([{ txid, says: 'mined', mark: '2026-04-28T18:21:52Z' }])
  })

  it('takes several concatenated, with the token of the event stream', async () => {
    const sent = [other(1), other(2), other(3)]
    const { url, requests } = await recordedServer(() => ({ status: 200, body: { submitted: 3 } }))
    const callback = { url: 'https://pay.example.com/_/arc', token: () => 'not this one' }
    expect(await arcadeService({ url, streamToken: 'stream' }).send(sent, callback)).toEqual(
      sent.map((one) => ({ txid: one.txid, says: 'sent' })),
    )
    expect(requests.map(({ path }) => path)).toEqual(['/txs'])
    expect(requests[0]!.body).toEqual(Buffer.concat(sent.map(({ tx }) => tx)))
    expect(requests[0]!.headers).toMatchObject({ 'x-callbacktoken': 'stream', 'x-fullstatusupdates': 'true' })
    expect(requests[0]!.headers).not.toHaveProperty('x-callbackurl')
  })

  it('judges each by itself when one stops the batch', async () => {
    const sent = [other(1), other(2)]
    const refused = { error: 'transaction failed validation', txid: sent[1]!.txid, reason: 'transaction is not final', status: 476 }
    const { url, requests } = await recordedServer((request) => {
      if (request.path === '/txs' || request.body.equals(sent[1]!.tx)) return { status: 400, body: refused }
      return received(request)
    })
    expect(await arcadeService({ url }).send(sent)).toEqual([
      { txid: sent[0]!.txid, says: 'sent' },
      { txid: sent[1]!.txid, says: 'local', reason: 'transaction is not final' },
    ])
    expect(requests.map(({ path }) => path)).toEqual(['/txs', '/tx', '/tx'])
  })

  it('sends each by itself with a token of its own where there is a callback and no stream', async () => {
    const sent = [other(1), other(2)]
    const { url, requests } = await recordedServer(received)
    await arcadeService({ url }).send(sent, { url: 'https://pay.example.com/_/arc', token: (id) => `token of ${id}` })
    expect(requests.map(({ path, headers }) => [path, headers['x-callbackurl'], headers['x-callbacktoken']]).sort()).toEqual(
      sent.map((one) => ['/tx', 'https://pay.example.com/_/arc', `token of ${one.txid}`]).sort(),
    )
  })

  it('is asked for a status without the /v1 of ARC', async () => {
    const { url, requests } = await recordedServer((_, n) =>
      n === 1 ? { status: 404 } : { status: 200, body: { txid, txStatus: 'IMMUTABLE' } },
    )
    const arcade = arcadeService({ url })
    expect(await arcade.ask(txid)).toEqual({ txid, says: 'unknown' })
    expect(await arcade.ask(txid)).toEqual({ txid, says: 'mined' })
    expect(requests.map(({ path }) => path)).toEqual([`/tx/${txid}`, `/tx/${txid}`])
  })

  it('says when to come back', async () => {
    const { url } = await recordedServer(() => ({ status: 503, headers: { 'retry-after': '30' } }))
    await expect(arcadeService({ url }).send([other(1), other(2)])).rejects.toMatchObject({ code: 'UNAVAILABLE', retryAfterS: 30 })
  })
})

describe('the event stream of Arcade', () => {
  const frame = (id: number, txStatus: string) => `id: ${id}\nevent: status\ndata: ${JSON.stringify({ txid, txStatus })}\n\n`
  const stream = (text: string, ends = false) => {
    return (response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(text)
      if (ends) response.end()
    }
  }
  /** So many events, then the end. */
  async function read(
    url: string,
    count: number,
    more: { lastEventId?: string; report?: (error: OverpoolError) => void } = {},
  ): Promise<StreamEvent[]> {
    const stop = new AbortController()
    const events: StreamEvent[] = []
    for await (const event of arcadeService({ url, streamToken: 'a token' }).events!({ signal: stop.signal, ...more }))
      if (events.push(event) === count) stop.abort()
    return events
  }

  it('is asked for with its token, and from the last event on', async () => {
    const { url, requests } = await recordedServer(() => stream(`: keepalive\n\n${frame(7, 'SEEN_ON_NETWORK')}`))
    expect(await read(url, 1, { lastEventId: '6' })).toEqual([{ id: '7', word: { txid, says: 'seen' } }])
    expect(requests[0]!.path).toBe('/events?callbackToken=a+token')
    expect(requests[0]!.headers).toMatchObject({ 'last-event-id': '6', accept: 'text/event-stream' })
  })

  it('goes on where it was when it breaks off, and when the service is away', async () => {
    const { url, requests } = await recordedServer((_, n) => {
      if (n === 1) return stream(frame(7, 'RECEIVED') + frame(8, 'SEEN_ON_NETWORK'), true)
      return n === 2 ? { status: 503 } : stream(frame(9, 'MINED'))
    })
    const errors: OverpoolError[] = []
    const events = await read(url, 3, { report: (error) => errors.push(error) })
    expect(events.map(({ id, word }) => [id, word?.says])).toEqual([
      ['7', 'sent'],
      ['8', 'seen'],
      ['9', 'mined'],
    ])
    expect(requests.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '8', '8'])
    expect(errors).toMatchObject([{ code: 'UNAVAILABLE', message: expect.stringContaining('has no event stream (HTTP status 503)') }])
  })

  it('says a gap when the service says it, and for an event that cannot be read', async () => {
    const odd = `event: gap\ndata: {"reason":"catchup_truncated"}\n\ndata: {"txid":\n\nevent: weather\ndata: fine\n\n${frame(1, 'MINED')}`
    const { url } = await recordedServer(() => stream(odd))
    expect(await read(url, 3)).toEqual([{ gap: true }, { gap: true }, { id: '1', word: { txid, says: 'mined' } }])
  })

  it('says a gap for an event that is too long, and reads on', async () => {
    const { url } = await recordedServer(() => stream(`data: ${'x'.repeat(3 * 1024 * 1024)}\n\n${frame(1, 'MINED')}`))
    expect((await read(url, 2)).map(({ gap, word }) => gap ?? word?.says)).toEqual([true, 'mined'])
  })

  it('ends when it is told to, also while it waits', async () => {
    const stop = new AbortController()
    const { url } = await recordedServer(() => {
      setImmediate(() => stop.abort())
      return () => {}
    })
    const events = arcadeService({ url, streamToken: 'a token' }).events!({ signal: stop.signal })
    expect(await events.next()).toEqual({ done: true, value: undefined })
  })
})
