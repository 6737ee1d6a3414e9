/// <reference types="node" preserve="true" />
// What browsers load as well: it imports nothing that runs, and stays below 2 KB (test/push/client.test.ts).

import type { EventOfKind } from '../shared/ledger/event.ts'
import type { EntryInvoice, Kind } from '../shared/ledger/kinds.ts'

/** A value as it comes out of JSON: bytes are hex. */
type Json<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends Uint8Array
    ? string
    : T extends object
      ? { [K in keyof T]: Json<T[K]> }
      : T
type Common = 'path' | 'key' | 'seq' | 'id' | 'at' | 'source' | 'cause' | 'hops'
/** The public sees neither the id nor the `data` of an invoice. */
type PublicInvoice<T> = 'invoice' extends keyof T
  ? Omit<T, 'invoice'> & { invoice?: Omit<EntryInvoice, 'id' | 'data'> & Partial<Pick<EntryInvoice, 'id' | 'data'>> }
  : T
type Whole<K extends Kind> = PublicInvoice<Omit<Json<EventOfKind<K>>, 'data' | 'kind'>> & { kind: K; large?: undefined }
/** An event that is too large for a stream: it names the entry. */
type Large<K extends Kind> = Pick<Json<EventOfKind<K>>, Common> & { kind: K; large: true; hash?: string }

/** An entry of a pool, as a follower gets it (docs/push.md). */
export type FollowedEvent<K extends Kind = Kind> = { [Each in K]: Whole<Each> | Large<Each> }[K]

/** The kinds that a client asks for. */
export type FollowedKinds = readonly Kind[] | 'all'
type EventsOf<K extends FollowedKinds> = K extends readonly Kind[] ? FollowedEvent<K[number]> : FollowedEvent

export interface FollowOptions<K extends FollowedKinds = readonly ['tx']> {
  /** the `seq` of the last entry that you have: the first event is the one after it; -1: from the first entry on. Default: only new entries */
  after?: number
  /** default: transactions; 'all': every kind that the pool shows you */
  kinds?: K
  /** entries about this transaction alone */
  txid?: string
  /** ends it */
  signal?: AbortSignal
  /** more headers of the request, such as `authorization`. From another origin a browser sends a preflight request for them */
  headers?: Record<string, string>
}

/** The machine does not let you follow the pool, or cannot make sense of the request: trying again would not help. */
export class FollowError extends Error {
  override readonly name = 'FollowError'
  /** of the HTTP answer */
  readonly status: number
  /** the machine's word for it, such as POOL_NOT_FOUND */
  readonly code: string | undefined

  constructor(message: string, status: number, code?: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** A machine sends a keep-alive every 15 s: after this time without one the connection is dead, ms. */
const SILENT_MS = 45_000
/** Waits before it connects again, ms: doubling, from the one to the other. */
const AGAIN_MS = 500
const AGAIN_MOST_MS = 30_000

/**
 * Follows a pool over HTTP: each entry once, in order, as it comes. When the connection or the machine is away it connects again, and goes on after the last event: nothing is missed,
 * and nothing comes twice. It works in browsers and in Node.
 * @param url of the pool, such as `https://pay.example.com/mypool`
 * @param options with `onEvent` it calls that, one event after the other, and resolves when `signal` is aborted; without, the events are read by `for await`
 * @throws FollowError the pool does not let you follow it
 */
export function followPool<const K extends FollowedKinds = readonly ['tx']>(
  url: string | URL,
  options: FollowOptions<K> & { onEvent: (event: EventsOf<K>) => unknown },
): Promise<void>
export function followPool<const K extends FollowedKinds = readonly ['tx']>(
  url: string | URL,
  options?: FollowOptions<K>,
): AsyncGenerator<EventsOf<K>, void, undefined>
export function followPool<K extends FollowedKinds>(
  url: string | URL,
  options: FollowOptions<K> & { onEvent?: (event: EventsOf<K>) => unknown } = {},
) {
  const events = eventsOf(url, options) as AsyncGenerator<EventsOf<K>, void, undefined>
  const { onEvent } = options
  if (!onEvent) return events
  return (async () => {
    for await (const event of events) await onEvent(event)
  })()
}

async function* eventsOf(
  url: string | URL,
  { after, kinds, txid, signal, headers }: FollowOptions<FollowedKinds>,
): AsyncGenerator<unknown, void> {
  const at = new URL(url)
  at.pathname = at.pathname.replace(/\/*$/, '/events')
  const { searchParams } = at
  if (kinds) searchParams.set('kinds', String(kinds))
  if (txid) searchParams.set('txid', txid)
  let last = after
  for (let failures = 0; !signal?.aborted; failures++) {
    const dead = new AbortController()
    const end = () => dead.abort()
    let timer: ReturnType<typeof setTimeout> | undefined
    const alive = () => {
      clearTimeout(timer)
      timer = setTimeout(end, SILENT_MS)
    }
    let waitMs = 0
    signal?.addEventListener('abort', end)
    try {
      alive()
      if (last !== undefined) searchParams.set('after', String(last))
      const response = await fetch(at, { headers: { accept: 'text/event-stream', ...headers }, signal: dead.signal, cache: 'no-store' })
      const { status, body, headers: said } = response
      if (status !== 200 || !said.get('content-type')?.includes('event-stream')) {
        waitMs = Number(said.get('retry-after')) * 1_000 || 0
        if (status >= 500 || [408, 425, 429].includes(status)) throw status
        const { memo, code } = (await response.json().catch(() => ({}))) as { memo?: string; code?: string }
        throw new FollowError(memo ?? `no events, HTTP status ${status}`, status, code)
      }
      for await (const [id, data] of framesOf(body!, alive)) {
        failures = 0
        if (last !== undefined && id <= last) continue
        const event: unknown = data && JSON.parse(data)
        last = id
        clearTimeout(timer) // the reader may take its time
        if (event) yield event
        alive()
      }
    } catch (error) {
      if (error instanceof FollowError) throw error
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      end()
    }
    const backoff = Math.min(AGAIN_MOST_MS, AGAIN_MS * 2 ** failures) * (0.5 + Math.random() / 2)
    await sleep(Math.max(backoff, waitMs), signal)
  }
}

/** The id and the data of each event of a stream. Of a line that only says the place there is no data. */
async function* framesOf(body: ReadableStream<Uint8Array>, alive: () => void): AsyncGenerator<[id: number, data: string | undefined]> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    alive()
    const frames = (text + decoder.decode(read.value, { stream: true })).split('\n\n')
    text = frames.pop()!
    for (const frame of frames) {
      const [, id] = /^id: (.+)$/m.exec(frame) ?? []
      if (id) yield [Number(id), /^data: (.+)$/m.exec(frame)?.[1]]
    }
  }
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    if (signal?.aborted) done()
    signal?.addEventListener('abort', done)
  })
}
