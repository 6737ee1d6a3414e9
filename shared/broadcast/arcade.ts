import { systemClock } from '../clock.ts'
import { OverpoolError } from '../errors.ts'
import { askHttp, type HttpAnswer, unanswered } from '../http.ts'
import { backoff } from '../retry.ts'
import { extendedFormat } from '../transaction/index.ts'
import { askStatus, statusIn } from './arc.ts'
import { EventScanner, type Frame } from './events.ts'
import type { EventsOptions, Outgoing, Service, StreamEvent, Word } from './service.ts'
import { baseOf, below, callbackHeaders, checkAnswer, eachAfterItsParents, inPieces, isObject, jsonOf } from './wire.ts'
import { hashOf, wordOf } from './words.ts'

export interface ArcadeOptions {
  url: string
  apiKey?: string
  /** all transactions are sent with this token, and the event stream of this token tells what becomes of them. It is as secret as a key */
  streamToken?: string
}

const MAX_BATCH = 500
/** Half of the longest body that Arcade takes. */
const MAX_BATCH_BYTES = 16 * 1024 * 1024
const AT_ONCE = 8

/** Arcade sends a comment every 15 s: after this time without one the connection is dead, ms. */
const SILENT_MS = 60_000
const CONNECT_MS = 30_000
const RETRY_MS = 1_000
const LONGEST_RETRY_MS = 60_000

/**
 * Arcade, the successor of ARC for Teranode. With `streamToken`, its event stream tells what becomes of the transactions, and they go in batches. Without, a callback has a token
 * for each transaction, so each is sent by itself.
 * @throws OverpoolError BAD_CONFIG
 */
export function arcadeService({ url, apiKey, streamToken }: ArcadeOptions): Service {
  const base = baseOf('Arcade', url)
  const name = `arcade ${base.host}`
  const common: Record<string, string> = apiKey ? { authorization: `Bearer ${apiKey}` } : {}
  const subscription: Record<string, string> = streamToken ? { 'x-callbacktoken': streamToken, 'x-fullstatusupdates': 'true' } : {}

  const post = (path: string, body: Uint8Array, headers: Record<string, string>): Promise<HttpAnswer> =>
    askHttp(name, below(base, path), {
      method: 'POST',
      headers: { ...common, 'content-type': 'application/octet-stream', ...headers },
      body,
    })

  const sendOne = async (outgoing: Outgoing, headers: Record<string, string>): Promise<Word> => {
    const { txid } = outgoing
    const answer = await post('/tx', bytesOf(outgoing), headers)
    checkAnswer(name, answer)
    const said = statusIn(name, answer, txid)
    // Earlier versions take a transaction without a word on its status.
    return wordOf(answer.status < 300 ? { txStatus: 'RECEIVED', ...said } : said, { txid, status: answer.status })
  }

  const sendBatch = async (batch: Outgoing[]): Promise<Word[]> => {
    if (batch.length === 1) return [await sendOne(batch[0]!, subscription)]
    const answer = await post('/txs', Buffer.concat(batch.map(bytesOf)), subscription)
    checkAnswer(name, answer)
    const said = jsonOf(answer) as { submitted?: unknown } | undefined
    if (answer.status < 300 && said?.submitted === batch.length) return batch.map(({ txid }) => ({ txid, says: 'sent' }))
    // One bad transaction stops the whole batch: then each is judged by itself.
    return eachAfterItsParents(batch, AT_ONCE, (outgoing) => sendOne(outgoing, subscription))
  }

  async function* connection(token: string, lastEventId: string | undefined, signal: AbortSignal): AsyncGenerator<StreamEvent> {
    const silence = new AbortController()
    const over = () => silence.abort(new OverpoolError('UNAVAILABLE', `${name} does not send events any more`, { retryable: true }))
    let timer = setTimeout(over, CONNECT_MS)
    try {
      const address = below(base, '/events')
      address.searchParams.set('callbackToken', token)
      const response = await fetch(address, {
        headers: { ...common, accept: 'text/event-stream', ...(lastEventId && { 'last-event-id': lastEventId }) },
        signal: AbortSignal.any([signal, silence.signal]),
        redirect: 'manual',
      })
      if (response.status !== 200 || !response.headers.get('content-type')?.startsWith('text/event-stream')) {
        await response.body?.cancel()
        throw unanswered(name, response, `has no event stream (HTTP status ${response.status})`)
      }
      const scanner = new EventScanner()
      const text = new TextDecoder()
      for await (const chunk of response.body ?? []) {
        clearTimeout(timer)
        timer = setTimeout(over, SILENT_MS)
        for (const frame of scanner.push(text.decode(chunk, { stream: true }))) {
          const event = eventOf(frame)
          if (event) yield event
        }
      }
    } finally {
      clearTimeout(timer)
      silence.abort()
    }
  }

  return {
    name,
    async send(transactions, callback) {
      if (callback && !streamToken)
        return eachAfterItsParents(transactions, AT_ONCE, (outgoing) => sendOne(outgoing, callbackHeaders(callback, outgoing.txid)))
      const words: Word[] = []
      for (const batch of inPieces(transactions, MAX_BATCH, MAX_BATCH_BYTES)) words.push(...(await sendBatch(batch)))
      return words
    },
    ask: (txid) => askStatus(name, below(base, `/tx/${txid}`), txid, common),
    ...(streamToken !== undefined && { events: (options: EventsOptions) => events(streamToken, options) }),
  }

  async function* events(token: string, { lastEventId, signal, report }: EventsOptions): AsyncGenerator<StreamEvent> {
    for (let failures = 0; !signal.aborted; ) {
      let retryMs = 0
      try {
        for await (const event of connection(token, lastEventId, signal)) {
          failures = 0
          lastEventId = event.id ?? lastEventId
          yield event
        }
      } catch (error) {
        if (signal.aborted) return
        retryMs = 1000 * ((error instanceof OverpoolError && error.retryAfterS) || 0)
        report?.(
          error instanceof OverpoolError
            ? error
            : new OverpoolError('UNAVAILABLE', `${name} ended its event stream`, { cause: error, retryable: true }),
        )
      }
      await systemClock.sleep(Math.max(retryMs, backoff(++failures, RETRY_MS, LONGEST_RETRY_MS)), signal)
    }
  }
}

/** What a frame of the event stream says. A frame that cannot be read is an event that was lost. Frames of other types are none of ours. */
export function eventOf(frame: Frame): StreamEvent | undefined {
  const id = frame.id === undefined ? {} : { id: frame.id }
  if ('tooLong' in frame || frame.type === 'gap') return { ...id, gap: true }
  if (frame.type !== 'status' && frame.type !== 'message') return undefined
  const said = jsonOf({ body: Buffer.from(frame.data) })
  const txid = isObject(said) ? hashOf((said as { txid?: unknown }).txid) : undefined
  return txid ? { ...id, word: wordOf(said as object, { txid }) } : { ...id, gap: true }
}

/** Arcade looks up no ancestors, so it gets what is known of them. */
function bytesOf({ tx, spent }: Outgoing): Uint8Array {
  return spent ? extendedFormat(tx, spent) : tx
}
