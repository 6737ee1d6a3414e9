import { OverpoolError, textOf } from '../errors.ts'
import { retriesWithin } from '../retry.ts'

/** A call that fails for a temporary reason is retried for this time, ms; then it is UNAVAILABLE, and the caller decides. */
export const GIVE_UP_MS = 10_000
/** Time of one attempt, ms. After a time-out it is unknown whether the server did it: every write here can be repeated. */
export const ATTEMPT_MS = 5_000
/** Waits between attempts, for `backoff`: shorter than for background work, since a wallet may wait for the answer. */
const FIRST_WAIT_MS = 25
const LONGEST_WAIT_MS = 2_000

export interface CallOptions {
  giveUpMs?: number
  attemptMs?: number
  /** ends the call early, with the signal's reason */
  signal?: AbortSignal
}

/**
 * Runs one request to AWS, with retries after throttling, 5xx, a broken connection or a time-out. What it throws in the end is UNAVAILABLE with the SDK's error as its
 * cause, retryable if waiting longer may help; or ACCESS_DENIED. Retries live here and not in the clients: make those with `maxAttempts: 1`, or the two multiply.
 */
export async function call<T>(
  what: string,
  request: (options: { abortSignal: AbortSignal }) => Promise<T>,
  options: CallOptions = {},
): Promise<T> {
  const { giveUpMs = GIVE_UP_MS, attemptMs = ATTEMPT_MS, signal } = options
  const waitForRetry = retriesWithin(giveUpMs, FIRST_WAIT_MS, LONGEST_WAIT_MS, signal)
  for (;;) {
    signal?.throwIfAborted()
    const timeout = AbortSignal.timeout(attemptMs)
    try {
      return await request({ abortSignal: signal ? AbortSignal.any([signal, timeout]) : timeout })
    } catch (cause) {
      signal?.throwIfAborted()
      const passes = timeout.aborted || isPassing(cause)
      if (!passes || !(await waitForRetry())) throw unavailable(what, cause, passes)
    }
  }
}

/**
 * Repeats a batch call until every item is done. `request` sends the items and resolves to those that are not done yet; they are sent again after growing waits. It
 * throws UNAVAILABLE when the time is over.
 */
export async function untilNoneIsLeft<T>(
  what: string,
  items: T[],
  request: (items: T[]) => Promise<T[]>,
  giveUpMs = GIVE_UP_MS,
): Promise<void> {
  const waitForRetry = retriesWithin(giveUpMs, FIRST_WAIT_MS, LONGEST_WAIT_MS)
  for (let left = items; left.length; ) {
    left = await request(left)
    if (left.length && !(await waitForRetry()))
      throw unavailable(what, new Error(`${left.length} of ${items.length} were left undone`), true)
  }
}

/** Maps items with at most `width` calls at a time. The first failure is thrown, and no further call begins. */
export async function parallel<T, R>(items: readonly T[], width: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length)
  let next = 0
  let failed = false
  const worker = async () => {
    while (next < items.length && !failed) {
      const i = next++
      try {
        results[i] = await work(items[i]!)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker))
  return results
}

export function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))
}

/** The error of a failed request; if AWS refuses the caller, with what the caller can do about it. */
export function unavailable(what: string, cause: unknown, retryable: boolean): OverpoolError {
  const name = cause instanceof Error ? cause.name : ''
  const [firstLine] = textOf(cause).split('\n') // the other lines of a signature error repeat the request
  if (NOT_KNOWN.test(name))
    return new OverpoolError(
      'ACCESS_DENIED',
      `${what} failed: AWS does not know these credentials, or they have run out: renew them (\`aws sso login\`), or name others by AWS_PROFILE (${firstLine})`,
      { cause },
    )
  if (NOT_ALLOWED.test(name))
    return new OverpoolError(
      'ACCESS_DENIED',
      `${what} failed: these AWS credentials do not permit it: ask for the permission that docs/deploy.md lists (${firstLine})`,
      { cause },
    )
  return new OverpoolError('UNAVAILABLE', `${what} failed: ${firstLine}`, { cause, retryable })
}

// The names of these errors differ from service to service.
const NOT_KNOWN =
  /^(ExpiredToken|UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId|SignatureDoesNotMatch|InvalidSignature|IncompleteSignature|MissingAuthenticationToken|CredentialsProviderError)/
const NOT_ALLOWED = /^(AccessDenied|Forbidden|NotAuthorized|403$)/

const PASSING_NAMES = /Throttl|SlowDown|ThroughputExceeded|LimitExceeded|OverLimit|TooManyRequests|RequestTimeout|TimeoutError/
const PASSING_CODES: ReadonlySet<unknown> = new Set(
  ['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN'], // of Node's sockets and resolver
)

/** Whether an error of this name is throttling, which passes by itself. */
export function passesByName(name: string): boolean {
  return PASSING_NAMES.test(name)
}

function isPassing(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, $retryable, $metadata } = error as {
    code?: unknown
    $retryable?: object
    $metadata?: { httpStatusCode?: number; clockSkewCorrected?: boolean }
  }
  const status = $metadata?.httpStatusCode ?? 0
  return (
    $retryable !== undefined ||
    status >= 500 ||
    status === 429 ||
    $metadata?.clockSkewCorrected === true ||
    PASSING_CODES.has(code) ||
    passesByName(error.name)
  )
}
