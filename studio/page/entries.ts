import type { EntriesPage, EntryRow, FoundPage } from '../shapes.ts'
import { get } from './api.ts'

/** Rows of one question. */
const PAGE = 100
/** Questions at one time. */
const AT_ONCE = 2
/** What has become of transactions is asked again after this time, ms, while the pool grows. */
const STALE_MS = 1_000
/** Pages that are kept. */
const MAX_PAGES = 400

/** Entries of a pool, fetched as they come into view. */
export class EntrySource {
  readonly #path: string
  readonly #changed: () => void
  readonly #pages = new Map<number, { rows: EntryRow[]; at: number; end: number }>()
  readonly #asked = new Set<number>()
  #wanted: [number, number] = [0, 0]
  #end = 0
  #isOver = false

  constructor(path: string, changed: () => void) {
    this.#path = path
    this.#changed = changed
  }

  row(seq: number): EntryRow | undefined {
    const page = this.#pages.get(Math.floor(seq / PAGE))
    if (!page) return undefined
    const guess = page.rows[seq % PAGE]
    return guess?.seq === seq ? guess : page.rows.find((row) => row.seq === seq)
  }

  /** Whether an entry was asked for and is not there: the log of a peer may lack some. */
  isMissing(seq: number): boolean {
    const page = this.#pages.get(Math.floor(seq / PAGE))
    return page !== undefined && seq < page.end && !this.row(seq)
  }

  /** These entries are in view; those that were in view before need not be fetched any more. @param end number of the next entry of the pool */
  want(from: number, to: number, end: number): void {
    this.#wanted = [Math.max(0, from), to]
    this.#end = end
    this.#pump()
  }

  close(): void {
    this.#isOver = true
  }

  #pump(): void {
    const [from, to] = this.#wanted
    for (let page = Math.floor((to - 1) / PAGE); page >= 0 && (page + 1) * PAGE > from; page--) {
      if (this.#asked.size >= AT_ONCE) return
      if (!this.#asked.has(page) && this.#needs(page)) void this.#fetch(page)
    }
  }

  #needs(page: number): boolean {
    const known = this.#pages.get(page)
    if (!known) return true
    if (known.end >= this.#end) return false
    return known.end < Math.min(this.#end, (page + 1) * PAGE) || Date.now() - known.at > STALE_MS
  }

  async #fetch(page: number): Promise<void> {
    this.#asked.add(page)
    try {
      const { rows, end } = await get<EntriesPage>('entries', { pool: this.#path, from: page * PAGE, to: (page + 1) * PAGE })
      this.#pages.set(page, { rows, at: Date.now(), end })
      for (const oldest of this.#pages.keys()) if (this.#pages.size > MAX_PAGES) this.#pages.delete(oldest)
    } catch {
      await new Promise((resolve) => setTimeout(resolve, STALE_MS)) // the banner says that nothing answers
    }
    this.#asked.delete(page)
    if (this.#isOver) return
    this.#changed()
    this.#pump()
  }
}

/** Entries of a pool that match, the newest first, looked for as they come into view. */
export class SearchSource {
  readonly rows: EntryRow[] = []
  /** the search has come back to this entry; undefined: it is at its end */
  before: number | undefined
  error: unknown
  readonly #query: { pool: string; q: string; kinds: string }
  readonly #changed: () => void
  /** entries from this one on have not been looked at */
  #end: number
  #isBusy = false
  #isOver = false

  /** @param end number of the next entry of the pool */
  constructor(query: { pool: string; q: string; kinds: string }, end: number, changed: () => void) {
    this.#query = query
    this.#changed = changed
    this.#end = end
    this.before = end
  }

  close(): void {
    this.#isOver = true
  }

  /** Looks further until there are so many rows. */
  async want(rows: number): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    while (!this.#isOver && this.before !== undefined && this.rows.length < rows) {
      const found = await this.#ask({ before: this.before })
      if (!found) break
      this.rows.push(...found.rows)
      this.before = found.before
      this.#changed()
    }
    this.#isBusy = false
  }

  /** Looks at what has come since. */
  async grow(end: number): Promise<void> {
    if (end <= this.#end || this.#isBusy || this.#isOver) return
    this.#isBusy = true
    const fresh: EntryRow[] = []
    const since = this.#end
    let before: number | undefined = end
    while (before !== undefined && !this.#isOver) {
      const found: FoundPage | undefined = await this.#ask({ before, since })
      if (!found) break
      fresh.push(...found.rows)
      before = found.before
    }
    this.#isBusy = false
    if (before !== undefined) return
    this.#end = end
    this.rows.unshift(...fresh)
    this.#changed()
  }

  async #ask(range: { before: number; since?: number }): Promise<FoundPage | undefined> {
    try {
      const { pool, q, kinds } = this.#query
      return await get<FoundPage>('search', { pool, q: q || undefined, kinds: kinds || undefined, ...range })
    } catch (error) {
      this.error = error
      this.#changed()
      return undefined
    }
  }
}
