import { cut } from './printed.ts'

/** Every failure that this system names. A `switch` over it is checked by the compiler. */
export type ErrorCode =
  | 'BAD_TRANSACTION'
  | 'MALFORMED_PAYMENT'
  | 'BAD_PAYMENT'
  | 'PAYMENT_TOO_LARGE'
  | 'BAD_CALLBACK'
  | 'CALLBACK_FORGED'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'METHOD_NOT_ALLOWED'
  | 'FILTER_REFUSED'
  | 'ORIGIN_REFUSED'
  | 'FOLLOWING_REFUSED' // the pool does not let this client follow it
  | 'BAD_REQUEST' // a query of the events that the door cannot make sense of
  | 'QUOTA_EXCEEDED'
  | 'PRICE_NOT_PAID' // the pool has a price, and the message does not pay it
  | 'BUDGET_EXCEEDED' // payingFetch: the call costs more than it may
  | 'WALLET_UNAVAILABLE' // the wallet that a payment goes to, or comes from, does not answer
  | 'PAYMENT_REFUSED' // payingFetch: the server does not take the payment, and no second one is made
  | 'FILTER_SILENT'
  | 'OVERLOADED'
  | 'POOL_NOT_FOUND'
  | 'POOL_HALTED'
  | 'POOL_READ_ONLY'
  | 'ENTRY_NOT_FOUND'
  | 'INVOICE_NOT_FOUND'
  | 'INVOICE_PAID' // it cannot be cancelled any more
  | 'PAYS_NOTHING' // it was sent as a payment of an invoice, and has none of its outputs
  | 'NO_BROADCASTER' // the machine knows no network to broadcast to
  | 'HANDLER_NOT_FOUND'
  | 'MACHINE_NOT_FOUND'
  | 'LOOP_TOO_DEEP'
  | 'FORWARD_FAILED' // the program that entries are forwarded to does not take one
  | 'FORWARD_GONE' // it is no longer at its address: no entry will be taken there
  | 'CALL_OVER' // a post of a handler's call that has failed or timed out
  | 'DEPLOYED' // on AWS: change the config and run `npx cdk deploy`
  | 'ACCESS_DENIED'
  | 'BAD_ARGUMENT'
  | 'BAD_CONFIG'
  | 'BAD_BLOCK'
  | 'CHAIN_LIES' // a source of the chain contradicts what this machine has checked
  | 'BLOCK_DAMAGED' // its bytes in the ledger are not those that were written
  | 'BAD_MESSAGE'
  | 'BAD_HEADER' // of a block of the chain
  | 'BAD_PROOF' // a Merkle path
  | 'PORT_IN_USE'
  | 'FOLDER_IN_USE'
  | 'NODE_TOO_OLD' // thrown by node-version.cjs, which every old Node can read
  | 'OVERTAKEN' // another process has written into the pool meanwhile
  | 'CLOSED'
  | 'UNAVAILABLE'

/** A failure with a code, a cause, and whether waiting helps. `message` is for people: no code tests it. */
export class OverpoolError extends Error {
  override readonly name = 'OverpoolError'
  readonly code: ErrorCode
  /** true: the same call may succeed later without any change */
  readonly retryable: boolean
  /** when it may succeed, in so many seconds */
  readonly retryAfterS?: number

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retryable?: boolean; retryAfterS?: number } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.retryable = options.retryable ?? false
    if (options.retryAfterS !== undefined) this.retryAfterS = options.retryAfterS
  }
}

/** The error of a call after `close`. */
export function closed(): OverpoolError {
  return new OverpoolError('CLOSED', 'the machine is closed')
}

/** The error of a call that names a handler which has never worked on the pool. @param known those that have */
export function handlerNotFound(handler: string, pool: string, known: string[]): OverpoolError {
  return new OverpoolError('HANDLER_NOT_FOUND', `no handler "${handler}" has worked on "${pool}"; there are: ${known.join(', ') || 'none'}`)
}

/** A text that an error quotes may be as long as a payment. This many characters of it are enough to know it by. */
const MAX_QUOTED = 1_000
/** A stack with its message, characters. */
const MAX_STACK = 10_000

/** What went wrong, as a line for people. */
export function reasonOf(error: unknown): string {
  return said(error, () => {
    const whole = messageOf(error)
    const why = error instanceof Error && error.cause instanceof Error ? messageOf(error.cause) : whole
    const message = cut(whole, MAX_QUOTED)
    const cause = why === whole ? '' : ` (${cut(why, MAX_QUOTED)})`
    return error instanceof OverpoolError ? `${message} [${error.code}]${cause}` : `${message}${cause}`
  })
}

/** The folder of this program's own files, as stack traces name it. */
const OURS = new URL('../', import.meta.url).href

/** The same with a stack trace for errors that are not ours, without the frames of this program. */
export function stackOf(error: unknown): string {
  return said(error, () => {
    if (error instanceof OverpoolError || !(error instanceof Error)) return reasonOf(error)
    const message = messageOf(error)
    const stack = String(error.stack ?? textOf(error)).replace(message, () => cut(message, MAX_QUOTED))
    const lines = cut(stack, MAX_STACK).split('\n')
    const theirs = lines.filter((line) => !line.includes(OURS) && !line.includes('node:internal/'))
    return (theirs.some((line) => /^ +at /.test(line)) ? theirs : lines).join('\n')
  })
}

/** The message of an error; any other thrown value as text. */
export function messageOf(thrown: unknown): string {
  return said(thrown, () => String(thrown instanceof Error ? thrown.message : thrown))
}

/** A thrown value as text: of an error, its name and message. */
export function textOf(thrown: unknown): string {
  return said(thrown, () => String(thrown))
}

/** A text about a thrown value. That may be anything, also an object that cannot be turned into text, or whose getters throw. */
function said(thrown: unknown, text: () => string): string {
  try {
    return text()
  } catch {
    return `a thrown ${typeof thrown}`
  }
}
