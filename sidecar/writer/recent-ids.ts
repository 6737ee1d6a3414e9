import type { EntryId } from '../../shared/ledger/kinds.ts'
import type { ScannedEntry } from '../../shared/ledger/scanned.ts'

/** The ids and transactions of the newest blocks, for as long as their receipts may not be in the mirror (Promise 3). */
export class RecentIds {
  readonly #entries = new Map<EntryId, ScannedEntry>()
  readonly #transactions = new Map<string, ScannedEntry>()
  readonly #blocks: { n: number; entries: ScannedEntry[] }[] = []

  add(n: number, entries: ScannedEntry[]): void {
    this.#blocks.push({ n, entries })
    for (const entry of entries) {
      this.#entries.set(entry.id, entry)
      if (entry.txid !== undefined) this.#transactions.set(entry.txid, entry)
    }
  }

  get(id: EntryId): ScannedEntry | undefined {
    return this.#entries.get(id)
  }

  /** The newest entry of a transaction. */
  ofTransaction(txid: string): ScannedEntry | undefined {
    return this.#transactions.get(txid)
  }

  /** The block of an entry, and its place there. */
  placeOf(entry: ScannedEntry): { n: number; i: number } | undefined {
    for (const { n, entries } of this.#blocks) {
      const i = entries.indexOf(entry)
      if (i >= 0) return { n, i }
    }
    return undefined
  }

  /** Forgets the blocks before number `n`. */
  forget(n: number): void {
    while (this.#blocks[0] && this.#blocks[0].n < n) {
      for (const entry of this.#blocks.shift()!.entries) {
        this.#entries.delete(entry.id)
        if (entry.txid !== undefined && this.#transactions.get(entry.txid) === entry) this.#transactions.delete(entry.txid)
      }
    }
  }
}
