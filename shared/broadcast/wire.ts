import { OverpoolError } from '../errors.ts'
import { type HttpAnswer, unanswered } from '../http.ts'
import { extendedFormat, scanTransaction } from '../transaction/index.ts'
import type { Callback, Outgoing, Word } from './service.ts'

/** The URL of a service without a slash at its end. @throws OverpoolError BAD_CONFIG */
export function baseOf(kind: string, url: string): URL {
  const parsed = URL.parse(url.replace(/\/+$/, ''))
  if (!parsed || !/^https?:$/.test(parsed.protocol))
    throw new OverpoolError('BAD_CONFIG', `the url of ${kind} is one with http:// or https://`)
  if (parsed.username || parsed.password || parsed.search)
    throw new OverpoolError('BAD_CONFIG', `the url of ${kind} at ${parsed.host} holds a key; give \`apiKey\` instead`)
  return parsed
}

/** A path below the URL of a service. */
export function below(base: URL, path: string): URL {
  return new URL(`${base.pathname.replace(/\/$/, '')}${path}`, base)
}

/** The form that needs no look-up on the service's side, if there is one: the extended format, BEEF, or the raw transaction. */
export function richest({ tx, spent, beef }: Outgoing): Uint8Array {
  return spent ? extendedFormat(tx, spent) : (beef ?? tx)
}

/** Lists of at most so many transactions and, unless a single one is longer, so many bytes. */
export function inPieces(transactions: Outgoing[], most: number, mostBytes: number): Outgoing[][] {
  const pieces: Outgoing[][] = []
  let bytes = 0
  for (const outgoing of transactions) {
    const size = (outgoing.spent ? 2 : 1) * (outgoing.beef ?? outgoing.tx).length
    const last = pieces.at(-1)
    if (last && last.length < most && bytes + size <= mostBytes) {
      last.push(outgoing)
      bytes += size
    } else {
      pieces.push([outgoing])
      bytes = size
    }
  }
  return pieces
}

/**
 * Sends each transaction by itself: a few at a time, and each after those of the list that it spends. When one of them fails, the others are still sent.
 * @throws the first error
 */
export async function eachAfterItsParents(
  transactions: Outgoing[],
  most: number,
  send: (outgoing: Outgoing) => Promise<Word>,
): Promise<Word[]> {
  const running = new Map<string, Promise<Word>>()
  const slots: Promise<unknown>[] = Array.from({ length: most }, () => Promise.resolve())
  const words = transactions.map((outgoing, n) => {
    // Its parents stand before it in the list, and so does what its slot waits for: nothing waits in a circle.
    const before = new Set([slots[n % most]!])
    for (const { txid } of scanTransaction(outgoing.tx).readInputs()) {
      const parent = running.get(txid)
      if (parent) before.add(parent)
    }
    const word = Promise.allSettled(before).then(() => send(outgoing))
    slots[n % most] = word
    running.set(outgoing.txid, word)
    return word
  })
  const settled = await Promise.allSettled(words)
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}

/** The JSON of an answer, or undefined. */
export function jsonOf({ body }: Pick<HttpAnswer, 'body'>): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Statuses that say something of the service or of the way to it, and nothing of a transaction. */
const ABOUT_THE_SERVICE = new Set([401, 402, 403, 404, 405, 408, 421, 425, 429])

/** @throws OverpoolError UNAVAILABLE for an answer that says nothing of a transaction */
export function checkAnswer(name: string, answer: HttpAnswer): void {
  const { status } = answer
  if (status === 401 || status === 403) throw unanswered(name, answer, `refuses the key (HTTP status ${status}): check \`apiKey\``)
  if (status < 200 || (status >= 300 && status < 400) || status >= 500 || ABOUT_THE_SERVICE.has(status)) throw unanswered(name, answer)
}

export function callbackHeaders({ url, token }: Callback, txid: string): Record<string, string> {
  return { 'x-callbackurl': url, 'x-callbacktoken': token(txid), 'x-fullstatusupdates': 'true' }
}
