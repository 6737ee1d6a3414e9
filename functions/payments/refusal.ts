import { STATUS_CODES } from 'node:http'
import { type ErrorCode, OverpoolError } from '../../shared/errors.ts'
import type { PoolDoor } from '../../shared/machine/accept.ts'
import { type DoorAnswer, JSON_HEADERS } from './http.ts'

/** Characters of a reason phrase. */
const MAX_REASON = 200

/** A sentence in the status line: ASCII only, and no longer than a wallet shows. */
export function reasonPhrase(memo: string): string {
  return memo.slice(0, MAX_REASON).replace(/[^\x20-\x7e]/g, '?')
}

/** Whether a failure says something about the payment, or about the state of the door. Others are faults of ours. */
export function isRefusal(error: unknown): error is OverpoolError {
  return error instanceof OverpoolError && (statusOf(error.code) < 500 || ['OVERLOADED', 'POOL_HALTED', 'CLOSED'].includes(error.code))
}

/** The sentence for the wallet. It names faults of the payment; details of our own faults go to the log only. */
export function sentence(error: unknown, status: number): string {
  if (error instanceof OverpoolError && (status < 500 || error.code === 'OVERLOADED')) return error.message
  if (error instanceof OverpoolError && error.code === 'POOL_HALTED')
    return 'This pool takes no payments at this moment. Please try again later.'
  return 'The payment could not be taken. Please send it again: it is recorded once, however often it is sent.'
}

/** The status of an answer to a failure. */
export function statusOfError(error: unknown): number {
  return error instanceof OverpoolError ? statusOf(error.code) : 500
}

/** A failure as ARC says it (RFC 9457): `code` is ours. */
export function problemOf(error: unknown, status = statusOfError(error), detail = sentence(error, status)): object {
  const code = error instanceof OverpoolError && status !== 500 ? error.code : undefined
  return { type: 'about:blank', title: STATUS_CODES[status], status, detail, extraInfo: detail, ...(code && { code }) }
}

/** @throws OverpoolError POOL_NOT_FOUND */
export function checkThere(pool: PoolDoor | undefined): asserts pool {
  if (!pool) throw new OverpoolError('POOL_NOT_FOUND', 'no pool of this name takes payments here')
}

/** @param own where this door is reached: its own pages may always. @throws OverpoolError ORIGIN_REFUSED: a page posts that may not */
export function checkOrigin({ origins }: PoolDoor, origin: string | undefined, own?: string): void {
  if (origin !== undefined && origins && !origins.includes(origin) && origin !== URL.parse(own ?? '')?.origin)
    throw new OverpoolError('ORIGIN_REFUSED', 'this pool takes no payments from this web page')
}

/** The refusal of a message that does not pay the price of a pool. */
export function notPaid({ path, price }: PoolDoor): OverpoolError {
  return new OverpoolError(
    'PRICE_NOT_PAID',
    `a payment into this pool costs ${price} satoshis, by HTTP 402: GET /${path} for the terms (BRC-121, BRC-166), and pay what they say`,
  )
}

export function statusOf(code: ErrorCode): number {
  switch (code) {
    case 'MALFORMED_PAYMENT':
    case 'BAD_CALLBACK':
    case 'BAD_REQUEST':
      return 400
    case 'CALLBACK_FORGED':
      return 401
    case 'PRICE_NOT_PAID':
      return 402
    case 'FILTER_REFUSED':
    case 'ORIGIN_REFUSED':
    case 'FOLLOWING_REFUSED':
      return 403
    case 'POOL_NOT_FOUND':
    case 'INVOICE_NOT_FOUND':
      return 404
    case 'METHOD_NOT_ALLOWED':
      return 405
    case 'PAYMENT_TOO_LARGE':
      return 413
    case 'UNSUPPORTED_MEDIA_TYPE':
      return 415
    case 'BAD_PAYMENT':
    case 'BAD_TRANSACTION':
    case 'PAYS_NOTHING':
      return 422
    case 'QUOTA_EXCEEDED':
      return 429
    case 'OVERLOADED':
    case 'POOL_HALTED':
    case 'FILTER_SILENT':
    case 'UNAVAILABLE':
    case 'CLOSED':
      return 503
    default:
      return 500
  }
}

/** What a follower is told of faults of ours. */
export const NO_EVENTS = 'The events cannot be sent at this moment. Please come again.'

/**
 * The answer to a failure: a status and a PaymentACK, since some wallets read only the status, others only `error`.
 * @param problem in place of the PaymentACK. @param ours the sentence for faults of ours, to a follower
 */
export function refusal(error: unknown, problem?: object, ours?: string): DoorAnswer {
  const code = error instanceof OverpoolError ? error.code : undefined
  const status = statusOfError(error)
  const headers: Record<string, string> = { ...JSON_HEADERS }
  if (status === 405) headers.allow = ours ? 'GET, OPTIONS' : problem ? 'GET, POST, OPTIONS' : 'POST, OPTIONS'
  if (status === 415) headers['accept-encoding'] = 'identity'
  if (status === 503) headers['retry-after'] = '1'
  if (error instanceof OverpoolError && error.retryAfterS !== undefined) headers['retry-after'] = String(error.retryAfterS)
  if (headers['retry-after'] !== undefined) headers['access-control-expose-headers'] = 'Retry-After' // a page of another origin may read it
  const memo = ours !== undefined && status >= 500 && !isRefusal(error) ? ours : sentence(error, status)
  return {
    status,
    reason: reasonPhrase(memo),
    headers,
    body: JSON.stringify(problem ?? { memo, error: 1, ...(status !== 500 && { code }) }),
  }
}
