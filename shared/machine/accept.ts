import { randomBytes } from 'node:crypto'
import type { CheckedPayment } from '../bip270/payment.ts'
import type { CheckedSettings } from '../config/config.ts'
import { OverpoolError } from '../errors.ts'
import { encodeEntry } from '../ledger/entry-codec.ts'
import { idOfHandlerPost, idOfInvoicePayment, idOfName, idOfPayment, idOfTransaction } from '../ledger/ids.ts'
import type { Cause, Entry, EntryId, EntryInvoice, PaymentFields } from '../ledger/kinds.ts'
import { encodeIngress, type IngressMessage } from '../ledger/messages.ts'
import type { Ingress } from '../queue/port.ts'
import type { Ancestors } from '../store/ancestors.ts'
import { turn } from '../turn.ts'
import type { Copies } from './copies.ts'
import { askFilter, type FilteredPool } from './filter.ts'

/** Transactions up to this size, bytes, take a few milliseconds at most, whatever is done with them. */
const LARGE = 16 * 1024

/** What the door knows of a pool. */
export interface PoolDoor
  extends FilteredPool,
    Pick<CheckedSettings, 'limits' | 'origins' | 'unique' | 'verify' | 'maxHops' | 'request' | 'page' | 'price' | 'paymail'> {
  /** why the pool is halted, if it is */
  halted?: string
}

/** The poster: a wallet (`same`: the fields by which a copy of its payment is known, if not all of them), a program (which may name its post), or a handler (on an entry). */
export type Poster =
  | { source: 'http'; same?: PaymentFields }
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
  /** takes what has come along with a transaction; needed only where something can */
  ancestors?: Pick<Ancestors, 'put'>
}

/**
 * Takes a checked payment into a pool: id, filter, what came along, ingress. Resolves when it is held durably (Promise 2). A copy of an earlier post passes without the filter.
 * What came along is kept before the payment is: whoever handles the entry finds it.
 * @param invoice what the payment is to the invoice that it pays, judged alone
 */
export async function accept(
  pool: PoolDoor,
  payment: CheckedPayment,
  poster: Poster,
  { ingress, now, copies, ancestors }: AcceptDeps,
  invoice?: EntryInvoice,
): Promise<Accepted> {
  const hops = hopsOf(pool, poster)
  const { scanned, along, fields } = payment
  if (pool.verify === 'signed' && poster.source === 'http') await (await import('./signed.ts')).checkSigned(payment)
  // Posts of a program enter the ledger in the order of its calls, so they do not take turns.
  const takesTurns = poster.source === 'http' && scanned.bytes.length > LARGE
  if (takesTurns) await turn()
  const id = entryId(pool, scanned.bytes, scanned.txid, fields, poster, invoice)
  const named = isNamed(poster)
  const key = named ? id : scanned.txid
  if (takesTurns) await turn()
  const entry: Entry = {
    kind: 'tx',
    id,
    at: now(),
    tx: scanned.bytes,
    payment: fields,
    ...(along && ancestors && { along: true }),
    ...(invoice && { invoice }),
    source: poster.source,
    hops,
    ...(poster.source === 'handler' && { cause: poster.cause }),
  }
  const post = { pool: pool.path, id, txid: scanned.txid, named, entry: encodeEntry(entry), ...(invoice && { kind: 'tx' }) }
  // A payment of an invoice is in the queue before anybody decides that the invoice is paid: so no invoice is paid by what is lost with this process.
  const give = () => (!invoice && ingress.post ? ingress.post(post) : enqueue(post, ingress))
  const send = along && ancestors ? () => ancestors.put(along).then(give) : give
  const filter = () => askFilter(pool, payment, takesTurns)
  if (pool.filter && copies) {
    const txid = pool.unique === 'transaction' ? scanned.txid : undefined
    // A wallet's post is named by its payment already, unless the transaction alone counts: a large one is hashed once.
    const said = poster.source === 'http' && txid === undefined ? id : idOfPayment(pool.path, scanned.bytes, fields)
    await copies.takeOnce(pool.path, { key, id }, said, txid, { filter, send })
  } else {
    if (pool.filter) await filter()
    await send()
  }
  return { id, hash: scanned.txid, key }
}

/** Puts a post into the queue. Resolves when it is held durably. */
export function enqueue(post: IngressMessage, ingress: Pick<Ingress, 'send' | 'enqueue'>): Promise<void> {
  return ingress.enqueue ? ingress.enqueue(post) : ingress.send([{ body: encodeIngress(post), group: post.pool }])
}

/** How many posts lie between a new one and the post that began the loop. @throws OverpoolError POOL_HALTED, LOOP_TOO_DEEP */
export function hopsOf(pool: Pick<PoolDoor, 'path' | 'halted' | 'maxHops'>, poster: Poster): number {
  if (pool.halted !== undefined) throw new OverpoolError('POOL_HALTED', `"${pool.path}" takes no posts: ${pool.halted}`)
  const hops = poster.source === 'handler' ? poster.hops + 1 : 0
  if (hops <= pool.maxHops) return hops
  throw new OverpoolError(
    'LOOP_TOO_DEEP',
    `this post is ${hops} posts away from the one that began the loop; "${pool.path}" allows ${pool.maxHops} (maxHops)`,
  )
}

/** Whether the id of a post is not made from its payment. */
function isNamed(poster: Poster): boolean {
  return poster.source === 'handler' || (poster.source === 'api' && poster.name !== undefined)
}

function entryId(
  pool: PoolDoor,
  tx: Uint8Array,
  txid: string,
  fields: PaymentFields,
  poster: Poster,
  invoice: EntryInvoice | undefined,
): EntryId {
  if (pool.unique === 'transaction' && !isNamed(poster)) return idOfTransaction(pool.path, txid)
  if (invoice) return idOfInvoicePayment(pool.path, invoice.id, txid)
  if (poster.source === 'http') return idOfPayment(pool.path, tx, poster.same ?? fields)
  if (poster.name !== undefined) return idOfName(pool.path, poster.name)
  if (poster.source === 'handler') return idOfHandlerPost(poster.handler, poster.cause, poster.ordinal)
  return randomBytes(32).toString('hex') as EntryId // each call is a new entry
}
