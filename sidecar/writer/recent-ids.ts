import type { Entry, EntryId } from '../../shared/ledger/entry.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'

/** What the writer knows of an entry that is in the ledger. */
export interface RecentEntry {
  id: EntryId
  txid: string
  named: boolean
}

/** How a block's entries are known when all we have is the block. Their ids' kind is not in it, so all but wallets' posts count as named. */
export function recentEntries(entries: Entry[]): RecentEntry[] {
  return entries.map(({ id, tx, source }) => ({ id, txid: scanTransaction(tx).txid, named: source !== 'http' }))
}

/** The ids of the newest blocks, for as long as their receipts may not be in the mirror (Promise 3). */
export class RecentIds {
  readonly #entries = new Map<EntryId, RecentEntry>()
  readonly #blocks: { n: number; entries: RecentEntry[] }[] = []

  add(n: number, entries: RecentEntry[]): void {
    this.#blocks.push({ n, entries })
    for (const entry of entries) this.#entries.set(entry.id, entry)
  }

  get(id: EntryId): RecentEntry | undefined {
    return this.#entries.get(id)
  }

  /** Forgets the blocks before number `n`. */
  forget(n: number): void {
    while (this.#blocks[0] && this.#blocks[0].n < n) for (const { id } of this.#blocks.shift()!.entries) this.#entries.delete(id)
  }
}
