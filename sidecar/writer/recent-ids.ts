import type { EntryId } from '../../shared/ledger/kinds.ts'
import type { ScannedEntry } from '../../shared/ledger/scanned.ts'

/** The ids of the newest blocks, for as long as their receipts may not be in the mirror (Promise 3). */
export class RecentIds {
  readonly #entries = new Map<EntryId, ScannedEntry>()
  readonly #blocks: { n: number; entries: ScannedEntry[] }[] = []

  add(n: number, entries: ScannedEntry[]): void {
    this.#blocks.push({ n, entries })
    for (const entry of entries) this.#entries.set(entry.id, entry)
  }

  get(id: EntryId): ScannedEntry | undefined {
    return this.#entries.get(id)
  }

  /** Forgets the blocks before number `n`. */
  forget(n: number): void {
    while (this.#blocks[0] && this.#blocks[0].n < n) for (const { id } of this.#blocks.shift()!.entries) this.#entries.delete(id)
  }
}
