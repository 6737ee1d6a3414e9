import { randomBytes } from 'node:crypto'
import { checkPayment } from '../bip270/payment.ts'
import type { ReadTransaction } from '../chain/any-format.ts'
import { OverpoolError } from '../errors.ts'
import { encodeEntry } from '../ledger/entry-codec.ts'
import type { TxEvent } from '../ledger/event.ts'
import { idOfHandlerPost, idOfName, idOfStatus } from '../ledger/ids.ts'
import type { CommitEntry, Committed, EntryId, StatusEntry } from '../ledger/kinds.ts'
import { encodeIngress, type IngressMessage } from '../ledger/messages.ts'
import { hexBytes } from '../ledger/values.ts'
import type { Ingress } from '../queue/port.ts'
import { hopsOf, type PoolDoor, type Poster } from './accept.ts'
import { optionsOf } from './options.ts'
import { paymentOf, type TransactionLike } from './post.ts'

/** A transaction to broadcast: the event of an entry, an entry by its pool and txid, or the transaction itself. */
export type Broadcastable = TxEvent | { path: string; hash: string } | TransactionLike

export interface BroadcastOptions {
  /** the pool that keeps the request and what becomes of it; default: the pool of the first entry, or inside a handler that of its entry */
  path?: string
  /** names the request: a second one with this name is not made in the pool */
  id?: string
}

/** A request to broadcast, which is in the ledger. */
export interface Broadcast {
  path: string
  id: EntryId
  /** the txids, in order */
  hashes: string[]
}

/** One request may name this many transactions. */
export const MAX_COMMITTED = 1_000

interface Deps {
  ingress: Ingress
  now: () => number
}

/** Takes a request to broadcast into a pool. Resolves when it is held durably. */
export async function acceptCommit(pool: PoolDoor, of: Committed[], poster: Poster, { ingress, now }: Deps): Promise<EntryId> {
  const hops = hopsOf(pool, poster)
  if (poster.source === 'http') throw new OverpoolError('ACCESS_DENIED', 'wallets post payments; they do not have them broadcast')
  const id = commitId(pool.path, poster)
  const entry: CommitEntry = {
    kind: 'commit',
    id,
    at: now(),
    source: poster.source,
    hops,
    ...(poster.source === 'handler' && { cause: poster.cause }),
    of,
  }
  await send({ pool: pool.path, id, kind: 'commit', named: true, entry: encodeEntry(entry) }, ingress)
  return id
}

/** Each call of a program is a new request. */
function commitId(pool: string, poster: Exclude<Poster, { source: 'http' }>): EntryId {
  if (poster.name !== undefined) return idOfName(pool, `broadcast\0${poster.name}`)
  if (poster.source === 'handler') return idOfHandlerPost(poster.handler, poster.cause, poster.ordinal)
  return randomBytes(32).toString('hex') as EntryId
}

/**
 * What somebody says about a transaction. Two things tell it from an earlier equal saying: `mark`, such as a service's own time, and `since`, the entry that it follows on: the
 * status that was known, or the request to broadcast.
 */
export type Saying = Pick<
  StatusEntry,
  'of' | 'status' | 'height' | 'blockHash' | 'proof' | 'final' | 'undone' | 'reason' | 'by' | 'cause' | 'source'
> & {
  hops?: number
  mark?: string
  since?: number
}

/** Hands sayings to the pool's writer, which writes those that change what is known. Resolves when all are held durably. */
export async function acceptStatuses(pool: string, sayings: readonly Saying[], { ingress, now }: Deps): Promise<void> {
  const posts = sayings.map((saying) => statusPost(pool, saying, now()))
  if (ingress.post) await Promise.all(posts.map((post) => ingress.post!(post)))
  else if (posts.length) await ingress.send(posts.map((post) => ({ body: encodeIngress(post), group: pool })))
}

function statusPost(pool: string, { mark = '', since, hops = 0, ...said }: Saying, at: number): IngressMessage {
  const place = [
    said.blockHash ?? said.undone ?? '',
    said.proof ? 'proof' : '',
    said.final ? 'final' : '',
    said.reason ?? '',
    mark,
    since ?? '',
  ].join('\0')
  const id = idOfStatus(said.of.txid, said.status, place)
  const entry: StatusEntry = { kind: 'status', id, at, hops, ...said }
  return { pool, id, kind: 'status', named: true, entry: encodeEntry(entry) }
}

function send(post: IngressMessage, ingress: Ingress): Promise<void> {
  return ingress.post ? ingress.post(post) : ingress.send([{ body: encodeIngress(post), group: post.pool }])
}

/** What a call of `broadcast` names, read at once: the program may change its objects from now on. */
export interface CheckedBroadcast {
  path: unknown
  of: Named[]
}

/** An entry of a pool, or the bytes of a transaction. */
type Named = { path: string; txid: string; seq?: number; tx?: Uint8Array } | Pick<ReadTransaction, 'scanned' | 'along'>

/** @throws OverpoolError BAD_ARGUMENT, BAD_TRANSACTION */
export function checkBroadcast(what: Broadcastable | readonly Broadcastable[], options: BroadcastOptions | undefined): CheckedBroadcast {
  const { path } = optionsOf(options, 'broadcast(…, { path })')
  const list = Array.isArray(what) && typeof what[0] !== 'number' ? (what as Broadcastable[]) : [what as Broadcastable]
  if (!list.length || list.length > MAX_COMMITTED)
    throw new OverpoolError('BAD_ARGUMENT', `broadcast takes an entry, a transaction, or a list of 1 to ${MAX_COMMITTED} of them`)
  return { path, of: list.map(named) }
}

function named(one: Broadcastable): Named {
  // Transaction objects have a `hash` too: a method of @bsv/sdk's, a getter of bsv 1's. Neither is their own property.
  const isEntry = typeof one === 'object' && one !== null && ('path' in one || Object.hasOwn(one, 'hash'))
  if (!isEntry) {
    const { scanned, along } = checkPayment(paymentOf(one))
    return { scanned, along }
  }
  const { path, hash } = one as TxEvent | { path: string; hash: string }
  if (typeof path !== 'string' || typeof hash !== 'string' || !/^[\da-f]{64}$/i.test(hash))
    throw new OverpoolError('BAD_ARGUMENT', 'an entry to broadcast is an event, or { path, hash } with its txid of 64 hex characters')
  const txid = hash.toLowerCase()
  return 'seq' in one ? { path, txid, seq: one.seq, tx: hexBytes(one.payment.transaction) } : { path, txid }
}
