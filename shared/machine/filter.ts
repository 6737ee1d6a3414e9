import type { CheckedPayment } from '../bip270/payment.ts'
import type { Filter, FilterPayment } from '../config/config.ts'
import { messageOf, OverpoolError } from '../errors.ts'
import { showGetters } from '../ledger/event.ts'
import { hex } from '../ledger/values.ts'
import { type Parsed, parseInSteps, parseTransaction } from '../transaction/index.ts'
import { codeContext } from './context.ts'

/** A filter's time, ms. A wallet waits for it, and on AWS the function's own time is a little longer (cdk/payments.ts). */
const FILTER_MS = 10_000
const NONE = Symbol('no verdict')

export interface FilteredPool {
  path: string
  filter?: Filter
  /** called with an error that code of the filter threw where nothing could catch it; without it, such an error ends the process */
  filterThrewLate?: (error: unknown) => void
}

/**
 * Whether a filter reads `parsed`, as its calls with large payments have shown. A large one takes up to half a second: it is computed in steps before the call, unless the
 * filter does without it.
 */
const readsParsed = new WeakMap<Filter, boolean>()

/**
 * Asks a filter about a payment.
 * @param inSteps others have their turn while `parsed` of a large payment is computed
 * @throws OverpoolError FILTER_REFUSED, FILTER_SILENT
 */
export async function askFilter(pool: FilteredPool, payment: CheckedPayment, inSteps = false): Promise<void> {
  const { filter } = pool
  if (!filter) return
  const parsed = inSteps && readsParsed.get(filter) !== false ? await parseInSteps(payment.scanned) : undefined
  if (inSteps && !readsParsed.has(filter)) readsParsed.set(filter, false)
  await runFilter(pool, filter, filterPayment(filter, payment, parsed))
}

/** The payment as a filter gets it. `parsed` is computed when the filter reads it, if it was not before. */
function filterPayment(filter: Filter, { scanned, fields }: CheckedPayment, parsed: Parsed | undefined): FilterPayment {
  return showGetters({
    transaction: hex(scanned.bytes),
    ...fields,
    get parsed() {
      readsParsed.set(filter, true)
      return (parsed ??= parseTransaction(scanned))
    },
    set parsed(value) {
      parsed = value
    },
  })
}

/** Runs either kind of filter. @throws OverpoolError FILTER_REFUSED with its reason; FILTER_SILENT if it, or a service that it calls, does not answer */
async function runFilter({ path, filterThrewLate: threwLate }: FilteredPool, filter: Filter, payment: FilterPayment): Promise<void> {
  let verdict: unknown
  try {
    const name = `the filter of ${path}`
    verdict = await (threwLate ? codeContext.run({ name, threwLate }, verdictOf, filter, payment) : verdictOf(filter, payment))
  } catch (reason) {
    if (isServiceFailure(reason)) throw silent(reason)
    throw refused(reasonText(reason), reason)
  }
  if (verdict === false) throw refused('this pool does not take such a payment')
  if (verdict === NONE) throw silent()
}

/** Whether a service that the filter calls has failed. That says nothing about the payment: it must not become a final refusal, nor show the wallet our services. */
function isServiceFailure(reason: unknown): boolean {
  if (reason instanceof OverpoolError) return reason.retryable || reason.code === 'ACCESS_DENIED'
  const errors = reason instanceof Error ? [reason, reason.cause] : [] // `fetch` puts the failure into its cause
  return errors.some((error) => error instanceof AggregateError || (error instanceof Error && ('$metadata' in error || 'syscall' in error)))
}

function silent(cause?: unknown): OverpoolError {
  return new OverpoolError('FILTER_SILENT', 'the filter of this pool has not answered; please try again', { cause, retryable: true })
}

function verdictOf(filter: Filter, payment: FilterPayment): Promise<unknown> {
  let timer: NodeJS.Timeout
  return new Promise<unknown>((resolve, reject) => {
    timer = setTimeout(() => resolve(NONE), FILTER_MS)
    const returned = filter(payment, (error, valid) => (error ? reject(error) : resolve(valid)))
    // Not `resolve(returned)`: the time-out could not end the wait for a promise that never settles.
    if (filter.length < 2) Promise.resolve(returned).then(resolve, reject)
    // The original's form answers by its callback. An async one that throws, or resolves to something, has answered, too.
    else if (returned instanceof Promise) returned.then((said) => said !== undefined && resolve(said), reject)
  }).finally(() => clearTimeout(timer))
}

function reasonText(reason: unknown): string {
  const text = reason instanceof Error ? messageOf(reason) : typeof reason === 'string' ? reason : ''
  return text.slice(0, 200) || 'this pool does not take such a payment'
}

function refused(message: string, cause?: unknown): OverpoolError {
  return new OverpoolError('FILTER_REFUSED', message, { cause })
}
