import type { EntryId } from '../ledger/kinds.ts'

/**
 * Finds an entry by `key`: its txid. An entry whose id is not made from its transaction (a handler's post, a named one) has a second
 * receipt by its id. Receipts also stop a second copy of an entry (Promise 3).
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

/** The key to find a receipt by. */
export type ReceiptKey = Pick<Receipt, 'key' | 'id'>

/** The receipts of every pool. */
export interface Receipts {
  /** Writes receipts, whose blocks are in the mirror already. A second call is harmless. */
  put(pool: string, receipts: Receipt[]): Promise<void>
  /**
   * The receipts with these keys and ids, in this order. A caller that has read the entries may pass whole receipts: one that is stored exactly so need not be checked
   * against its block.
   */
  find(pool: string, keys: (ReceiptKey | Receipt)[]): Promise<(Receipt | undefined)[]>
  /** The entries of a transaction, oldest first, at most 100. */
  ofTransaction(pool: string, txid: string): Promise<Receipt[]>
  /** The oldest entry of each of these transactions, in this order. */
  oldest(pool: string, txids: string[]): Promise<(Receipt | undefined)[]>
}

/** `ofTransaction` returns at most this many: a wallet can post the same transaction with any number of memos. */
export const MAX_RECEIPTS = 100
