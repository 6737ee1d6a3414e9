import { scanTransaction } from '../transaction/index.ts'
import type { Entry, EntryId } from './kinds.ts'

/** What is needed of an entry to find it again, and to see a second copy of it. */
export interface ScannedEntry {
  id: EntryId
  /** of an entry that records a transaction */
  txid?: string
  named: boolean
}

/**
 * The entries of a block, when all we have is the block. Whether an id was made from the transaction is not in it, so all but wallets' posts count as named.
 * Transactions are scanned (Promise 5), those to be broadcast as well: BAD_TRANSACTION if one is malformed.
 */
export function scanEntries(entries: Entry[]): ScannedEntry[] {
  return entries.map((entry) => {
    const { kind, id } = entry
    if (kind === 'tx') return { id, txid: scanTransaction(entry.tx).txid, named: entry.source !== 'http' }
    if (kind === 'commit') for (const one of entry.of) if ('tx' in one) scanTransaction(one.tx)
    return { id, named: true }
  })
}
