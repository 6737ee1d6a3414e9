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
import { parseTransaction } from '../transaction/index.ts'
import type { Copies } from './copies.ts'

/** A filter's time, ms. A wallet waits for it, and on AWS the function's own time is a little longer (cdk/payments.ts). */
const FILTER_MS = 10_000
const NONE = Symbol('no verdict')

/** What the door knows of a pool. */
export interface PoolDoor extends Pick<CheckedSettings, 'filter' | 'unique' | 'maxHops'> {
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
  /** needed only where a pool has a filter */
  copies?: Copies
}

/** Takes a checked payment into a pool: id, filter, ingress. Resolves when it is held durably (Promise 2). A copy of an earlier post passes without the filter. */
export async function accept(
  pool: PoolDoor,
  { scanned, fields }: CheckedPayment,
  poster: Poster,
  { ingress, now, copies }: AcceptDeps,
): Promise<Accepted> {
  if (pool.halted !== undefined) throw new OverpoolError('POOL_HALTED', `"${pool.path}" takes no posts: ${pool.halted}`)
  const hops = poster.source === 'handler' ? poster.hops + 1 : 0
  if (hops > pool.maxHops) {
    throw new OverpoolError(
      'LOOP_TOO_DEEP',
      `this post is ${hops} posts away from the one that began the loop; "${pool.path}" allows ${pool.maxHops} (maxHops)`,
    )
  }
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
  const named = isNamed(poster)
  const key = named ? id : scanned.txid
  const post = { pool: pool.path, id, txid: scanned.txid, named, entry: encodeEntry(entry) }
  const send = () => (ingress.post ? ingress.post(post) : ingress.send([{ body: encodeIngress(post), group: pool.path }]))
  if (pool.filter) {
    const asked = pool.filter
    const filter = () => runFilter(asked, { transaction: hex(scanned.bytes), ...fields, parsed: parseTransaction(scanned) })
    const txid = pool.unique === 'transaction' ? scanned.txid : undefined
    if (copies) await copies.takeOnce(pool.path, { key, id }, txid, { filter, send })
    else await filter().then(send)
  } else {
    await send()
  }
  return { id, hash: scanned.txid, key }
}

/** Whether the id of a post is not made from its payment. */
function isNamed(poster: Poster): boolean {
  return poster.source === 'handler' || (poster.source === 'api' && poster.name !== undefined)
}

function entryId(pool: PoolDoor, tx: Uint8Array, txid: string, fields: PaymentFields, poster: Poster): EntryId {
  if (pool.unique === 'transaction' && !isNamed(poster)) return idOfTransaction(pool.path, txid)
  if (poster.source === 'http') return idOfPayment(pool.path, tx, fields)
  if (poster.name !== undefined) return idOfName(pool.path, poster.name)
  if (poster.source === 'handler') return idOfHandlerPost(poster.handler, poster.cause, poster.ordinal)
  return randomBytes(32).toString('hex') as EntryId // each call is a new entry
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
