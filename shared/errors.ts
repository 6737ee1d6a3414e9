/** Every failure that this system names. A `switch` over it is checked by the compiler. */
export type ErrorCode =
  | 'BAD_TRANSACTION'
  | 'MALFORMED_PAYMENT'
  | 'BAD_PAYMENT'
  | 'PAYMENT_TOO_LARGE'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'METHOD_NOT_ALLOWED'
  | 'FILTER_REFUSED'
  | 'FILTER_SILENT'
  | 'OVERLOADED'
  | 'POOL_NOT_FOUND'
  | 'POOL_HALTED'
  | 'POOL_READ_ONLY'
  | 'ENTRY_NOT_FOUND'
  | 'HANDLER_NOT_FOUND'
  | 'MACHINE_NOT_FOUND'
  | 'LOOP_TOO_DEEP'
  | 'DEPLOYED' // on AWS: change the config and run `npx cdk deploy`
  | 'ACCESS_DENIED'
  | 'BAD_ARGUMENT'
  | 'BAD_CONFIG'
  | 'BAD_BLOCK'
  | 'BLOCK_DAMAGED' // its bytes in the ledger are not those that were written
  | 'BAD_MESSAGE'
  | 'PORT_IN_USE'
  | 'FOLDER_IN_USE'
  | 'NODE_TOO_OLD' // thrown by node-version.cjs, which every old Node can read
  | 'CLOSED'
  | 'UNAVAILABLE'

/** A failure with a code, a cause, and whether waiting helps. `message` is for people: no code tests it. */
export class OverpoolError extends Error {
  override readonly name = 'OverpoolError'
  readonly code: ErrorCode
  /** true: the same call may succeed later without any change */
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retryable?: boolean } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.retryable = options.retryable ?? false
  }
}

/** The error of a call after `close`. */
export function closed(): OverpoolError {
  return new OverpoolError('CLOSED', 'the machine is closed')
}

/** What went wrong, as a line for people. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : ''
  return error instanceof OverpoolError ? `${error.message} [${error.code}]${cause}` : `${error.message}${cause}`
}

/** The folder of this program's own files, as stack traces name it. */
const OURS = new URL('../', import.meta.url).href

/** The same with a stack trace for errors that are not ours, without the frames of this program. */
export function stackOf(error: unknown): string {
  if (error instanceof OverpoolError) return reasonOf(error)
  if (!(error instanceof Error)) return String(error)
  const lines = (error.stack ?? String(error)).split('\n')
  const theirs = lines.filter((line) => !line.includes(OURS) && !line.includes('node:internal/'))
  return (theirs.some((line) => /^ +at /.test(line)) ? theirs : lines).join('\n')
}
