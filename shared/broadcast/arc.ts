import { askHttp, type HttpAnswer, unanswered } from '../http.ts'
import type { Callback, Outgoing, Service, Word } from './service.ts'
import { baseOf, below, callbackHeaders, checkAnswer, eachAfterItsParents, inPieces, isObject, jsonOf, richest } from './wire.ts'
import { hashOf, wordOf } from './words.ts'

export interface ArcOptions {
  /** without `/v1`: https://arc.taal.com */
  url: string
  apiKey?: string
}

const MAX_BATCH = 100
const MAX_BATCH_BYTES = 4 * 1024 * 1024
const AT_ONCE = 8
/** ARC itself waits up to 5 s for the network. */
const TIMEOUT_MS = 30_000

/**
 * ARC (TAAL, GorillaPool …). With a callback, each transaction is sent by itself, because a request has one token and each transaction a token of its own; without, they go in
 * batches. X-CallbackBatch is not asked for: a batched callback carries the token of one of its transactions only.
 * @throws OverpoolError BAD_CONFIG
 */
export function arcService({ url, apiKey }: ArcOptions): Service {
  const base = baseOf('ARC', url)
  const name = `arc ${base.host}`
  const common: Record<string, string> = { accept: 'application/json', ...(apiKey && { authorization: `Bearer ${apiKey}` }) }

  const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<HttpAnswer> =>
    askHttp(name, below(base, path), {
      method: 'POST',
      headers: { ...common, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
      timeoutMs: TIMEOUT_MS,
    })

  const sendOne = async (outgoing: Outgoing, callback?: Callback): Promise<Word> => {
    const { txid } = outgoing
    const answer = await post('/v1/tx', { rawTx: hexOf(outgoing) }, callback && callbackHeaders(callback, txid))
    checkAnswer(name, answer)
    return wordOf(statusIn(name, answer, txid), { txid, status: answer.status })
  }

  const sendBatch = async (batch: Outgoing[]): Promise<Word[]> => {
    if (batch.length === 1) return [await sendOne(batch[0]!)]
    const answer = await post(
      '/v1/txs',
      batch.map((outgoing) => ({ rawTx: hexOf(outgoing) })),
    )
    checkAnswer(name, answer)
    const said = jsonOf(answer)
    // One bad transaction may fail the whole batch: then each is judged by itself.
    if (answer.status !== 200 || !Array.isArray(said)) return eachAfterItsParents(batch, AT_ONCE, sendOne)
    const byTxid = new Map(said.filter(isObject).map((one) => [hashOf((one as { txid?: unknown }).txid), one]))
    return batch.map(({ txid }, n) => {
      // An answer without a txid is about the transaction in its place.
      const inPlace = said.length === batch.length && isObject(said[n]) && !hashOf((said[n] as { txid?: unknown }).txid) ? said[n] : {}
      return wordOf(byTxid.get(txid) ?? inPlace, { txid, status: answer.status })
    })
  }

  return {
    name,
    async send(transactions, callback) {
      if (callback) return eachAfterItsParents(transactions, AT_ONCE, (outgoing) => sendOne(outgoing, callback))
      const words: Word[] = []
      for (const batch of inPieces(transactions, MAX_BATCH, MAX_BATCH_BYTES)) words.push(...(await sendBatch(batch)))
      return words
    },
    ask: (txid) => askStatus(name, below(base, `/v1/tx/${txid}`), txid, common),
  }
}

/** What ARC or Arcade says of a transaction now. */
export async function askStatus(name: string, url: URL, txid: string, headers: Record<string, string>): Promise<Word> {
  const answer = await askHttp(name, url, { headers })
  if (answer.status === 404) return wordOf({}, { txid, status: 404 })
  checkAnswer(name, answer)
  if (answer.status !== 200) throw unanswered(name, answer)
  return wordOf(statusIn(name, answer, txid), { txid, status: 200 })
}

/** What an answer holds of a transaction. @throws OverpoolError UNAVAILABLE if it is of another one, or nothing of that kind */
export function statusIn(name: string, answer: HttpAnswer, txid: string): object {
  const said = jsonOf(answer)
  const about = isObject(said) ? (hashOf((said as { txid?: unknown }).txid) ?? txid) : undefined
  if (about === txid) return said as object
  throw unanswered(
    name,
    answer,
    about ? `answers about another transaction, ${about}` : 'answers with something that is no status of a transaction',
  )
}

function hexOf(outgoing: Outgoing): string {
  return Buffer.from(richest(outgoing)).toString('hex')
}
