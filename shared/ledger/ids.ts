import { hash } from 'node:crypto'
import { encode } from 'cborg'
import type { Cause, EntryId, PaymentFields } from './kinds.ts'
import { toStorable } from './values.ts'

// Entry ids (Promise 3). The id of each kind begins with its own word, so ids of different kinds never collide.

/** The id of a wallet's post: the same pool and payment give the same id, so a retry is no second entry. */
export function idOfPayment(pool: string, transaction: Uint8Array, fields: PaymentFields): EntryId {
  const rest = Object.keys(fields).length ? encode(toStorable(fields)) : EMPTY
  const begin = Buffer.from(`http\0${pool}\0${transaction.length}\0`)
  return hash('sha256', Buffer.concat([begin, transaction, rest])) as EntryId
}

/** The id of a post into a pool with `unique: 'transaction'`: one transaction is one entry, even if the payment's other fields differ. */
export function idOfTransaction(pool: string, txid: string): EntryId {
  return hash('sha256', `transaction\0${pool}\0${txid}`) as EntryId
}

/** The id of a payment of an invoice: the same transaction pays the same invoice once, even if the payment's other fields differ. */
export function idOfInvoicePayment(pool: string, invoice: string, txid: string): EntryId {
  return hash('sha256', `invoice\0${pool}\0${invoice}\0${txid}`) as EntryId
}

/** The id of what becomes of an invoice without a payment: it is cancelled once, and expires once. */
export function idOfInvoiceChange(pool: string, invoice: string, state: string): EntryId {
  return hash('sha256', `invoice change\0${pool}\0${invoice}\0${state}`) as EntryId
}

/** The id of a post inside a handler: run again on the same entry, it makes the same posts. */
export function idOfHandlerPost(handler: string, cause: Cause, ordinal: number): EntryId {
  return hash('sha256', `handler\0${handler}\0${cause.key}\0${cause.seq}\0${ordinal}`) as EntryId
}

/** The id of a post that its user named. */
export function idOfName(pool: string, name: string): EntryId {
  return hash('sha256', `name\0${pool}\0${name}`) as EntryId
}

/** The id of a transaction that the chain follower appends. @param blockHash 64 hex */
export function idOfChainEntry(blockHash: string, txid: string): EntryId {
  return hash('sha256', `chain\0${blockHash}\0${txid}`) as EntryId
}

/** The id of a transaction's status: the same status at the same place of the chain is one entry. @param place block hash, or '' if it is in no block */
export function idOfStatus(txid: string, status: string, place: string): EntryId {
  return hash('sha256', `status\0${txid}\0${status}\0${place}`) as EntryId
}

/** The id of a block of the chain. @param blockHash 64 hex @param after id of the pool's block or reorganisation before it, '' for none: the chain may come back to a block that it has left */
export function idOfChainBlock(blockHash: string, after: string): EntryId {
  return hash('sha256', `block\0${blockHash}\0${after}`) as EntryId
}

/** The id of a reorganisation: from one tip of the chain to the last block that stays. Both hashes 64 hex. @param after as of a block */
export function idOfReorg(from: string, to: string, after: string): EntryId {
  return hash('sha256', `reorg\0${from}\0${to}\0${after}`) as EntryId
}

const EMPTY = new Uint8Array(0)
