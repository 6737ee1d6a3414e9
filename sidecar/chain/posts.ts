import type { PlacedHeader } from '../../shared/chain/header.ts'
import type { Clock } from '../../shared/clock.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import { idOfChainBlock, idOfChainEntry, idOfInvoicePayment, idOfReorg, idOfStatus } from '../../shared/ledger/ids.ts'
import type { BlockEntry, EntryId, EntryInvoice, ReorgEntry, StatusEntry, TxEntry } from '../../shared/ledger/kinds.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'
import type { ScannedTransaction } from '../../shared/transaction/index.ts'
import type { Found } from './find.ts'
import type { Place } from './followed-pools.ts'

// The entries that the follower of the chain writes. Each id is made of what the chain says, so a block that is read again gives the same entries.

const BY = 'chain'

/** A transaction that is in no block yet. */
export function heardPost(pool: string, { txid, bytes: tx }: ScannedTransaction, clock: Clock): IngressMessage {
  return txPost(pool, idOfStatus(txid, 'mempool', ''), txid, { source: 'mempool', tx }, clock)
}

/** A transaction of a block. */
export function minedPost(
  pool: string,
  { scanned, txid, index, proof }: Found,
  { height, hash }: PlacedHeader,
  clock: Clock,
): IngressMessage {
  return txPost(
    pool,
    idOfChainEntry(hash, txid),
    txid,
    { source: 'chain', tx: scanned.bytes, height, blockHash: hash, index, proof },
    clock,
  )
}

/** A transaction that pays an invoice, as a wallet would have posted it: with the same id, so that both are one entry. Of its block a status tells. */
export function invoicePost(
  pool: string,
  { txid, bytes: tx }: ScannedTransaction,
  invoice: EntryInvoice,
  source: 'mempool' | 'chain',
  clock: Clock,
): IngressMessage {
  const id = idOfInvoicePayment(pool, invoice.id, txid)
  const entry: TxEntry = { kind: 'tx', id, at: clock.now(), hops: 0, payment: {}, source, tx, invoice }
  return { pool, id, kind: 'tx', txid, named: false, entry: encodeEntry(entry) }
}

function txPost(
  pool: string,
  id: EntryId,
  txid: string,
  fields: Pick<TxEntry, 'source' | 'tx' | 'height' | 'blockHash' | 'index' | 'proof'>,
  clock: Clock,
): IngressMessage {
  const entry: TxEntry = { kind: 'tx', id, at: clock.now(), hops: 0, payment: {}, ...fields }
  return { pool, id, kind: 'tx', txid, named: true, entry: encodeEntry(entry) }
}

/**
 * A block that was read.
 * @param count its transactions that the pool has or wants
 * @param after id of the block or the reorganisation before it in the pool, '' if it is the first
 */
export function blockPost(
  pool: string,
  { height, hash, bytes: header }: PlacedHeader,
  count: number,
  after: string,
  clock: Clock,
): IngressMessage {
  const id = idOfChainBlock(hash, after)
  const entry: BlockEntry = { kind: 'block', id, at: clock.now(), source: BY, hops: 0, height, hash, header, count }
  return { pool, id, kind: 'block', named: true, entry: encodeEntry(entry) }
}

/**
 * Blocks that are no longer on the best chain.
 * @param from the last one of them
 * @param to the block that they came after
 * @param after id of the block or the reorganisation before it in the pool
 */
export function reorgPost(
  pool: string,
  from: PlacedHeader,
  to: PlacedHeader,
  undone: readonly PlacedHeader[],
  after: string,
  clock: Clock,
): IngressMessage {
  const id = idOfReorg(from.hash, to.hash, after)
  const entry: ReorgEntry = {
    kind: 'reorg',
    id,
    at: clock.now(),
    source: BY,
    hops: 0,
    from: { height: from.height, hash: from.hash },
    to: { height: to.height, hash: to.hash },
    undone: undone.map(({ hash }) => hash),
  }
  return { pool, id, kind: 'reorg', named: true, entry: encodeEntry(entry) }
}

/** @param since the entry with the status that this one follows on: it tells a status from an equal one before a reorganisation */
export function statusPost(
  pool: string,
  {
    of: { cause, ...of },
    ...said
  }: { of: Place } & Pick<StatusEntry, 'status' | 'height' | 'blockHash' | 'proof' | 'final' | 'undone' | 'reason' | 'by'>,
  since: number | undefined,
  clock: Clock,
): IngressMessage {
  const id = idOfStatus(of.txid, said.status, `${said.blockHash ?? said.undone ?? ''}\0${since ?? ''}`)
  const entry: StatusEntry = { kind: 'status', id, at: clock.now(), source: BY, hops: 0, by: BY, of, ...(cause && { cause }), ...said }
  return { pool, id, kind: 'status', named: true, entry: encodeEntry(entry) }
}
