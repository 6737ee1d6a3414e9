import { scanTransaction } from '../transaction/index.ts'
import type { Entry, EntryId } from './kinds.ts'
import { statusIn, type TxStatus } from './status.ts'

/** The part of an entry that receipts and the check for repeats need. */
export interface ScannedEntry {
  id: EntryId
  /** if it is not a transaction */
  kind?: string
  /** of an entry that records a transaction */
  txid?: string
  named: boolean
  /** what it says about a transaction's status */
  status?: TxStatus & { txid: string }
}

/**
 * Scans the entries of a block. The block does not say whether an id was made from the transaction, so all posts but wallets' count as named.
 * Transactions are scanned (Promise 5), those to be broadcast as well: BAD_TRANSACTION if one is malformed.
 */
export function scanEntries(entries: Entry[]): ScannedEntry[] {
  return entries.map((entry) => {
    const { kind, id } = entry
    const status = statusIn(entry)
    if (kind === 'tx') {
      const { txid } = scanTransaction(entry.tx)
      return { id, txid, named: entry.source !== 'http', ...(status && { status: { txid, ...status } }) }
    }
    if (kind === 'commit') for (const asked of entry.of) if ('tx' in asked) scanTransaction(asked.tx)
    return { id, kind, named: true, ...(status && kind === 'status' && { status: { txid: entry.of.txid, ...status } }) }
  })
}

/** A publisher's word for a proof is no proof: its blocks and their headers are not known here. */
export function asHeard({ status, ...entry }: ScannedEntry): ScannedEntry {
  if (!status) return entry
  const { proven: _, ...heard } = status
  return { ...entry, status: heard }
}
