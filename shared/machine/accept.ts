import { randomBytes } from 'node:crypto'
import type { CheckedPayment } from '../bip270/payment.ts'
import type { CheckedSettings, Filter, FilterPayment } from '../config/config.ts'
import { OverpoolError } from '../errors.ts'
import { encodeEntry } from '../ledger/entry.ts'
import { idOfHandlerPost, idOfName, idOfPayment, idOfTransaction } from '../ledger/ids.ts'
import type { Cause, Entry, EntryId, PaymentFields } from '../ledger/kinds.ts'
import { encodeIngress } from '../ledger/messages.ts'
import { hex } from '../ledger/values.ts'
import type { Ingress } from '../queue/port.ts'
import { type Parsed, parseInSteps, parseTransaction, type ScannedTransaction } from '../transaction/index.ts'
import { turn } from '../turn.ts'
import { showGetters } from './event.ts'

/** A filter's time, ms. A wallet waits for it, and on AWS the function's own time is a little longer (cdk/payments.ts). */
const FILTER_MS = 10_000
/** Transactions up to this size, bytes, take a few milliseconds at most, whatever is done with them. */
const LARGE = 16 * 1024
const NONE = Symbol('no verdict')

/** What the door knows of a pool. */
export interface PoolDoor extends Pick<CheckedSettings, 'filter' | 'limits' | 'origins' | 'unique' | 'maxHops'> {
  path: string
  /** why the pool is halted, if it is */
  halted?: string
}

/** The poster: a wallet, a program (which may name its post), or a handler (on an entry). */
export type Poster =
  | { source: 'http' }
  | { source: 'api'; name?: string }
  | { source: 'handler'; handler: string; cause: Cause; ordinal: number; hops: number; name?: string }

export interface Accepted {
  id: EntryId
  hash: string
  /** the key of its receipt */
  key: string
}

export interface AcceptDeps {
  ingress: Ingress
  now: () => number
}

/** Takes a checked payment into a pool: filter, id, ingress. Resolves when it is held durably (Promise 2). */
export async function accept(
  pool: PoolDoor,
  { scanned, fields }: CheckedPayment,
  poster: Poster,
  { ingress, now }: AcceptDeps,
): Promise<Accepted> {
  if (pool.halted !== undefined) throw new OverpoolError('POOL_HALTED', `"${pool.path}" takes no posts: ${pool.halted}`)
  const hops = poster.source === 'handler' ? poster.hops + 1 : 0
  if (hops > pool.maxHops) {
    throw new OverpoolError(
      'LOOP_TOO_DEEP',
      `this post is ${hops} posts away from the one that began the loop; "${pool.path}" allows ${pool.maxHops} (maxHops)`,
    )
  }
  // Posts of a program enter the ledger in the order of its calls, so they do not take turns.
  const isLarge = poster.source === 'http' && scanned.bytes.length > LARGE
  if (isLarge) await turn()
  if (pool.filter) {
    const parsed = isLarge && readsParsed.get(pool.filter) !== false ? await parseInSteps(scanned) : undefined
    if (isLarge && !readsParsed.has(pool.filter)) readsParsed.set(pool.filter, false)
    await runFilter(pool.filter, filterPayment(pool.filter, scanned, fields, parsed))
  }
  if (isLarge) await turn()
  const id = entryId(pool, scanned.bytes, scanned.txid, fields, poster)
  const entry: Entry = {
    kind: 'tx',
    id,
    at: now(),
    tx: scanned.bytes,
    payment: fields,
    source: poster.source,
    hops,
    ...(poster.source === 'handler' && { cause: poster.cause }),
  }
  const named = poster.source === 'handler' || (poster.source === 'api' && poster.name !== undefined)
  const post = { pool: pool.path, id, txid: scanned.txid, named, entry: encodeEntry(entry) }
  await (ingress.post ? ingress.post(post) : ingress.send([{ body: encodeIngress(post), group: pool.path }]))
  return { id, hash: scanned.txid, key: named ? id : scanned.txid }
}

function entryId(pool: PoolDoor, tx: Uint8Array, txid: string, fields: PaymentFields, poster: Poster): EntryId {
  if (poster.source === 'http') return pool.unique === 'transaction' ? idOfTransaction(pool.path, txid) : idOfPayment(pool.path, tx, fields)
  if (poster.name !== undefined) return idOfName(pool.path, poster.name)
  if (poster.source === 'handler') return idOfHandlerPost(poster.handler, poster.cause, poster.ordinal)
  return randomBytes(32).toString('hex') as EntryId // each call is a new entry
}

/**
 * Whether a filter reads `parsed`, as its calls with large payments have shown. A large one takes up to half a second: it is computed in steps before the call, unless the
 * filter does without it.
 */
const readsParsed = new WeakMap<Filter, boolean>()

/** The payment as a filter gets it. `parsed` is computed when the filter reads it, if it was not before. */
function filterPayment(filter: Filter, scanned: ScannedTransaction, fields: PaymentFields, parsed: Parsed | undefined): FilterPayment {
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
async function runFilter(filter: Filter, payment: FilterPayment): Promise<void> {
  let verdict: unknown
  try {
    verdict = await verdictOf(filter, payment)
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
  const text = reason instanceof Error ? reason.message : typeof reason === 'string' ? reason : ''
  return text.slice(0, 200) || 'this pool does not take such a payment'
}

function refused(message: string, cause?: unknown): OverpoolError {
  return new OverpoolError('FILTER_REFUSED', message, { cause })
}
