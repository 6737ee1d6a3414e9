import { type CheckedPayment, checkPayment } from '../bip270/payment.ts'
import { OverpoolError } from '../errors.ts'
import type { Payment } from '../ledger/event.ts'
import type { EntryId, PaymentFields } from '../ledger/kinds.ts'
import { toStorable } from '../ledger/values.ts'
import type { Poster } from './accept.ts'
import { handlerContext } from './context.ts'
import { optionsOf } from './options.ts'

/** A transaction, raw, in the extended format or in BEEF: its hex, its base64, its bytes, or an object that gives its hex, such as a Transaction of @bsv/sdk (`toHex`) or of bsv 1 (`toString`). */
export type TransactionLike = string | Uint8Array | readonly number[] | { toHex(): string } | { toString(): string; toBuffer(): Uint8Array }
/** A payment: a BIP270 Payment, or its transaction alone. */
export type PaymentLike = TransactionLike | ({ transaction: TransactionLike } & PaymentFields)

export interface PostOptions {
  path: string
  payment: PaymentLike
  /** names the post: a second post with this name makes no second entry in the pool */
  id?: string
}

export interface Posted {
  payment: Payment
  /** txid, 64 hex */
  hash: string
  id: EntryId
}

/** A post whose payment has been read: the program may change its objects from now on. */
export interface CheckedPost {
  path: unknown
  payment: CheckedPayment
}

/** @throws OverpoolError BAD_ARGUMENT, BAD_TRANSACTION, BAD_PAYMENT, PAYMENT_TOO_LARGE */
export function checkPost(options: PostOptions): CheckedPost {
  const { path, payment } = optionsOf(options, 'post')
  const { scanned, along, fields } = checkPayment(paymentOf(payment))
  return { path, payment: { scanned, fields: toStorable(fields), ...(along && { along }) } }
}

/**
 * Runs a post as the calling code: a program, or a handler on an entry. The ordinal among the handler's posts is taken at once, so the order of the calls in the code
 * counts, not the order of awaits. `failed` is called with a failure inside a handler, which the handler may not notice.
 */
export function asPoster<T>(
  options: { id?: string } | undefined,
  post: (poster: Poster) => Promise<T>,
  failed: (error: unknown) => void,
): Promise<T> {
  const name = options?.id
  const context = handlerContext.getStore()
  if (name !== undefined && (typeof name !== 'string' || !name || !name.isWellFormed()))
    return Promise.reject(
      new OverpoolError('BAD_ARGUMENT', 'the id of a post is a string of at least one character, without halves of surrogate pairs'),
    )
  if (!context) return post({ source: 'api', name })
  const { handler, pool, cause, hops } = context
  if (context.failed) {
    const over = new OverpoolError(
      'CALL_OVER',
      `handler ${handler} posts too late: its call with ${pool} #${cause.seq} has failed or timed out, and another call does its work; await every post, or raise timeoutMs`,
    )
    const refused = Promise.reject(over)
    refused.catch(failed)
    return refused
  }
  const posting = post({ source: 'handler', handler, cause, hops, ordinal: context.ordinal++, name })
  if (!context.ended) context.posts.push(posting)
  posting.catch(failed)
  return posting
}

/** A payment in any of its forms, as `checkPayment` takes it. */
export function paymentOf(payment: unknown): unknown {
  if (typeof payment !== 'object' || payment === null) return { transaction: payment }
  if (Array.isArray(payment) && typeof payment[0] === 'number') return { transaction: payment }
  const { transaction } = payment as { transaction?: unknown }
  if (typeof transaction === 'object') return { ...payment, transaction: textOrBytesOf(transaction) }
  const read = transaction === undefined ? textOrBytesOf(payment) : payment
  return read === payment ? payment : { transaction: read }
}

/** The hex of a transaction object, or the bytes; anything else as it is. The bsv library of 2019 gives it by `toString`. */
function textOrBytesOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  if (value instanceof Uint8Array) return textIn(value) ?? Uint8Array.from(value)
  const object = value as { toHex?: unknown; toString(): string }
  try {
    if (typeof object.toHex === 'function') return object.toHex()
    return object.toString === Object.prototype.toString ? value : object.toString()
  } catch (cause) {
    throw new OverpoolError('BAD_PAYMENT', 'the transaction object could not be turned into hex', { cause })
  }
}

/** The text of a file of hex or base64 that was read as bytes: no transaction consists of such characters. */
function textIn({ buffer, byteOffset, byteLength }: Uint8Array): string | undefined {
  const text = Buffer.from(buffer, byteOffset, byteLength).toString('latin1')
  return /^[\w+/=\s-]+$/.test(text) ? text.replace(/\s+/g, '') : undefined // base64 is often written in lines
}
