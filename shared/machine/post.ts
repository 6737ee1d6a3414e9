import { type CheckedPayment, checkPayment } from '../bip270/payment.ts'
import { OverpoolError } from '../errors.ts'
import type { EntryId, PaymentFields } from '../ledger/kinds.ts'
import { toStorable } from '../ledger/values.ts'
import type { Poster } from './accept.ts'
import { handlerContext } from './context.ts'
import type { Payment } from './event.ts'
import { optionsOf } from './options.ts'

/** What `post` takes for a transaction: its hex, or an object that has it, such as a Transaction of @bsv/sdk (`toHex`) or of bsv 1 (`toString`). */
export type TransactionLike = string | { toHex(): string } | { toString(): string; toBuffer(): Uint8Array }
/** What `post` takes for a payment: a BIP270 Payment, or its transaction alone. */
export type PaymentLike = TransactionLike | ({ transaction: TransactionLike } & PaymentFields)

export interface PostOptions {
  path: string
  payment: PaymentLike
  /** names the post: a second one of this name is no second entry of the pool */
  id?: string
}

export interface Posted {
  payment: Payment
  /** txid, 64 hex */
  hash: string
  id: EntryId
}

/** A post whose payment has been read: nothing that the program does to its objects from now on changes it. */
export interface CheckedPost {
  path: unknown
  payment: CheckedPayment
}

/** @throws OverpoolError BAD_ARGUMENT, BAD_TRANSACTION, BAD_PAYMENT, PAYMENT_TOO_LARGE */
export function checkPost(options: PostOptions): CheckedPost {
  const { path, payment } = optionsOf(options, 'post')
  const { scanned, fields } = checkPayment(paymentOf(payment))
  return { path, payment: { scanned, fields: toStorable(fields) } }
}

/**
 * Runs a post as whoever the calling code is: a program, or a handler at an entry. Its number among the handler's posts is taken at once: what comes
 * first in the code is the first post, however the promises are awaited. A failure inside a handler is told to `failed`, since the handler may not look.
 */
export function asPoster<T>(
  options: { id?: string } | undefined,
  post: (poster: Poster) => Promise<T>,
  failed: (error: unknown) => void,
): Promise<T> {
  const name = options?.id
  const context = handlerContext.getStore()
  if (name !== undefined && (typeof name !== 'string' || !name))
    return Promise.reject(new OverpoolError('BAD_ARGUMENT', 'the id of a post is a string of at least one character'))
  if (!context) return post({ source: 'api', name })
  const { handler, cause, hops } = context
  const posting = post({ source: 'handler', handler, cause, hops, ordinal: context.ordinal++, name })
  if (!context.ended) context.posts.push(posting)
  posting.catch(failed)
  return posting
}

function paymentOf(payment: unknown): unknown {
  if (typeof payment !== 'object' || payment === null) return { transaction: payment }
  const { transaction } = payment as { transaction?: unknown }
  if (typeof transaction === 'object') return { ...payment, transaction: hexOf(transaction) }
  const hex = transaction === undefined ? hexOf(payment) : payment
  return hex === payment ? payment : { transaction: hex }
}

/** A transaction object as its hex, anything else as it is. `toString` gives it in the library of the original's time. */
function hexOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const object = value as { toHex?: unknown; toString(): string }
  try {
    if (typeof object.toHex === 'function') return object.toHex()
    return object.toString === Object.prototype.toString ? value : object.toString()
  } catch (cause) {
    throw new OverpoolError('BAD_PAYMENT', 'the transaction object could not be turned into hex', { cause })
  }
}
