import { randomBytes } from 'node:crypto'
import type { CheckedPayment } from '../../shared/bip270/payment.ts'
import type { CheckedSettings, Filter, FilterPayment } from '../../shared/config.ts'
import { OverpoolError } from '../../shared/errors.ts'
import {
  type Cause,
  type Entry,
  type EntryId,
  encodeEntry,
  idOfHandlerPost,
  idOfName,
  idOfPayment,
  idOfTransaction,
  type PaymentFields,
} from '../../shared/ledger/entry.ts'
import { encodeIngress } from '../../shared/ledger/messages.ts'
import type { Ingress } from '../../shared/queue/port.ts'
import { parseTransaction } from '../../shared/transaction/index.ts'

/** What the door knows of a pool. */
export interface PoolDoor extends Pick<CheckedSettings, 'filter' | 'unique' | 'maxHops'> {
  path: string
}

/** Who posts: a wallet; a program, which may name its post; or a handler, on an entry. */
export type Poster =
  | { source: 'http' }
  | { source: 'api'; name?: string }
  | { source: 'handler'; handler: string; cause: Cause; ordinal: number; hops: number; name?: string }

export interface Accepted {
  id: EntryId
  hash: string
}

export interface AcceptDeps {
  ingress: Ingress
  now: () => number
}

/** Takes a checked payment into a pool: filter, id, ingress queue. Resolves when the queue holds it durably (Promise 2). */
export async function accept(
  pool: PoolDoor,
  { scanned, fields }: CheckedPayment,
  poster: Poster,
  { ingress, now }: AcceptDeps,
): Promise<Accepted> {
  const hops = poster.source === 'handler' ? poster.hops + 1 : 0
  if (hops > pool.maxHops) {
    throw new OverpoolError(
      'LOOP_TOO_DEEP',
      `this post is ${hops} posts away from the one that began the loop; "${pool.path}" allows ${pool.maxHops} (maxHops)`,
    )
  }
  if (pool.filter)
    await runFilter(pool.filter, { transaction: Buffer.from(scanned.bytes).toString('hex'), ...fields, parsed: parseTransaction(scanned) })
  const id = entryId(pool, scanned.bytes, scanned.txid, fields, poster)
  const entry: Entry = {
    id,
    at: now(),
    tx: scanned.bytes,
    payment: fields,
    source: poster.source,
    hops,
    ...(poster.source === 'handler' && { cause: poster.cause }),
  }
  const named = poster.source === 'handler' || (poster.source === 'api' && poster.name !== undefined)
  const body = encodeIngress({ pool: pool.path, id, txid: scanned.txid, named, entry: encodeEntry(entry) })
  await ingress.send([{ body, group: pool.path }])
  return { id, hash: scanned.txid }
}

function entryId(pool: PoolDoor, tx: Uint8Array, txid: string, fields: PaymentFields, poster: Poster): EntryId {
  if (poster.source === 'http') return pool.unique === 'transaction' ? idOfTransaction(pool.path, txid) : idOfPayment(pool.path, tx, fields)
  if (poster.name !== undefined) return idOfName(pool.path, poster.name)
  if (poster.source === 'handler') return idOfHandlerPost(poster.handler, poster.cause, poster.ordinal)
  return randomBytes(32).toString('hex') as EntryId // each call is an entry of its own
}

/** Runs either kind of filter; throws FILTER_REFUSED with its reason. */
async function runFilter(filter: Filter, payment: FilterPayment): Promise<void> {
  let verdict: unknown
  try {
    if (filter.length < 2) verdict = await filter(payment, () => {})
    else verdict = await new Promise((resolve, reject) => filter(payment, (error, valid) => (error ? reject(error) : resolve(valid))))
  } catch (reason) {
    throw refused(reasonText(reason), reason)
  }
  if (verdict === false) throw refused('this pool does not take such a payment')
}

function reasonText(reason: unknown): string {
  const text = reason instanceof Error ? reason.message : typeof reason === 'string' ? reason : ''
  return text.slice(0, 200) || 'this pool does not take such a payment'
}

function refused(message: string, cause?: unknown): OverpoolError {
  return new OverpoolError('FILTER_REFUSED', message, { cause })
}
