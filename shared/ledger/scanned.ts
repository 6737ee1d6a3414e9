import { scanTransaction } from '../transaction/index.ts'
import type { Entry, EntryId } from './kinds.ts'

/** The part of an entry that receipts and the check for repeats need. */
export interface ScannedEntry {
  id: EntryId
  /** of an entry that records a transaction */
  txid?: string
  named: boolean
}

/**
 * Scans the entries of a block. The block does not say whether an id was made from the transaction, so all posts but wallets' count as named.
 * Transactions are scanned (Promise 5), those to be broadcast as well: BAD_TRANSACTION if one is malformed.
 */
export function scanEntries(entries: Entry[]): ScannedEntry[] {
  return entries.map((entry) => {
    const { kind, id } = entry
    if (kind === 'tx') return { id, txid: scanTransaction(entry.tx).txid, named: entry.source !== 'http' }
    if (kind === 'commit') for (const asked of entry.of) if ('tx' in asked) scanTransaction(asked.tx)
    return { id, named: true }
  })
}
