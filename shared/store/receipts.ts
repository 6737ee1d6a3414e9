import type { EntryId } from '../ledger/kinds.ts'

/**
 * Finds an entry by `key`: its txid, and for an entry whose id is not made from its transaction (a handler's post, a named one) a second
 * receipt by the id itself. It also stops a second copy of the entry (Promise 3).
 */
export interface Receipt {
  key: string
  id: EntryId
  /** of an entry that records a transaction; an entry of another kind has one receipt, by its id */
  txid?: string
  seq: number
  /** number of the block that holds the entry */
  block: number
}

/** What a receipt is found by. */
export type ReceiptKey = Pick<Receipt, 'key' | 'id'>

/** The receipts of every pool. */
export interface Receipts {
  /** Writes receipts; again is harmless. Their blocks are in the mirror already. */
  put(pool: string, receipts: Receipt[]): Promise<void>
  /**
   * The receipts with these keys and ids, in the order asked for. A caller that has read the entries gives the whole receipts that they should have: one that is
   * there as given need not be looked up in its block.
   */
  find(pool: string, keys: (ReceiptKey | Receipt)[]): Promise<(Receipt | undefined)[]>
  /** The entries of a transaction, oldest first, at most 100. */
  ofTransaction(pool: string, txid: string): Promise<Receipt[]>
}

/** `ofTransaction` gives at most so many of one transaction: a wallet can post the same one with any number of memos. */
export const MAX_RECEIPTS = 100
