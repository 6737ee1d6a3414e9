import { createHmac } from 'node:crypto'
import { OverpoolError } from '../errors.ts'
import { isSameText } from '../same-text.ts'
import type { Callback, Word } from './service.ts'
import { isObject, jsonOf } from './wire.ts'
import { hashOf, wordOf } from './words.ts'

/** ARC batches up to 50 callbacks. */
const MAX_CALLBACKS = 50
/** Longest body, bytes. The longest part of a callback is a Merkle path, a few thousand bytes. */
export const MAX_CALLBACK_BYTES = 1024 * 1024

/** The token of a transaction, which services send back with each callback on it. Only a holder of the secret can make it. */
export function callbackToken(secret: string, txid: string): string {
  return createHmac('sha256', secret).update(txid).digest('base64url')
}

/** Has services call back at the door of a machine. @param door its public address */
export function callbackTo(door: string, secret: string): Callback {
  return { url: `${door.replace(/\/$/, '')}/_/arc`, token: (txid) => callbackToken(secret, txid) }
}

/** The token by which Arcade's event stream knows a machine. */
export function streamTokenOf(secret: string): string {
  return createHmac('sha256', secret).update('overpool events').digest('base64url')
}

/**
 * Reads a callback of ARC or Arcade, and checks that it comes from somebody who was given the token of the transaction.
 *
 * A request has one token, so a batched callback can prove one transaction: words on others are left out, and those are asked for later as if nothing had come. Callbacks come
 * unbatched, because the services here never send X-CallbackBatch.
 * A callback that is sent again is read again: the ledger drops a status that it has.
 * @param authorization the header: `Bearer` and the token
 * @returns at least one word; two words on one transaction stay in their order
 * @throws OverpoolError BAD_CALLBACK, or CALLBACK_FORGED if the token is of none of its transactions
 */
export function readCallback(body: Uint8Array, authorization: string | undefined, secret: string): Word[] {
  if (body.length > MAX_CALLBACK_BYTES) throw bad(`it is longer than ${MAX_CALLBACK_BYTES} bytes`)
  const said = jsonOf({ body: Buffer.from(body.buffer, body.byteOffset, body.length) })
  const batch = isObject(said) && 'callbacks' in said ? said.callbacks : said
  const callbacks = Array.isArray(batch) ? batch : [batch]
  if (callbacks.length === 0 || callbacks.length > MAX_CALLBACKS)
    throw bad(`it holds ${callbacks.length} callbacks; 1 to ${MAX_CALLBACKS} are read`)
  const words = callbacks.map((callback: unknown) => {
    const txid = isObject(callback) ? hashOf((callback as { txid?: unknown }).txid) : undefined
    if (!txid) throw bad('it is no JSON object with a `txid`')
    return wordOf(callback as object, { txid })
  })
  const token = /^Bearer ([\w-]{1,100})$/i.exec(authorization ?? '')?.[1] ?? ''
  const proven = words.filter(({ txid }) => isSameText(token, callbackToken(secret, txid)))
  if (proven.length) return proven
  throw new OverpoolError('CALLBACK_FORGED', 'the token of the callback is not the one of its transaction')
}

function bad(why: string): OverpoolError {
  return new OverpoolError('BAD_CALLBACK', `bad callback: ${why}`)
}
