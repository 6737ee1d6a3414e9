import type { Entry, EntryId } from '../../shared/ledger/entry.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'

/** What the writer knows of an entry that is in the ledger. */
export interface KnownEntry {
  id: EntryId
  txid: string
  named: boolean
}

/** How a block's entries are known when all we have is the block. Their ids' kind is not in it, so all but wallets' posts count as named. */
export function knownEntries(entries: Entry[]): KnownEntry[] {
  return entries.map(({ id, tx, source }) => ({ id, txid: scanTransaction(tx).txid, named: source !== 'http' }))
}

/** The ids of the newest blocks, for as long as their receipts may not be in the mirror (Promise 3). */
export class KnownIds {
  readonly #entries = new Map<EntryId, KnownEntry>()
  readonly #blocks: { n: number; entries: KnownEntry[] }[] = []

  add(n: number, entries: KnownEntry[]): void {
    this.#blocks.push({ n, entries })
    for (const entry of entries) this.#entries.set(entry.id, entry)
  }

  get(id: EntryId): KnownEntry | undefined {
    return this.#entries.get(id)
  }

  /** Forgets the blocks before number `n`. */
  forget(n: number): void {
    while (this.#blocks[0] && this.#blocks[0].n < n) for (const { id } of this.#blocks.shift()!.entries) this.#entries.delete(id)
  }
}
