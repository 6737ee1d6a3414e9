import type { SqliteStore } from '../sqlite.ts'
import type { Message, Outgoing, Queue, ReceiveOptions } from './port.ts'

/** SQS drops a repeated deduplication id within this time; so do we. */
const DEDUPE_MS = 5 * 60_000

/** A receive takes no more bytes than this, except a single larger message. */
const RECEIVE_BYTES = 8 * 1024 * 1024

interface Row {
  id: number
  grp: string | null
  size: number
  receives: number
}

/** A queue in a table of the machine's SQLite file. */
export class SqliteQueue implements Queue {
  readonly fifo: boolean
  readonly #store: SqliteStore
  readonly #visibilityMs: number
  readonly #now: () => number
  readonly #table: string
  readonly #seen: string
  #nextPurge = 0

  constructor(store: SqliteStore, name: string, options: { fifo?: boolean; visibilityMs: number; now?: () => number }) {
    this.#store = store
    this.fifo = options.fifo ?? false
    this.#visibilityMs = options.visibilityMs
    this.#now = options.now ?? Date.now
    this.#table = `"queue ${name.replaceAll('"', '""')}"`
    this.#seen = `"seen ${name.replaceAll('"', '""')}"`
    store.exec(
      `CREATE TABLE IF NOT EXISTS ${this.#table} (id INTEGER PRIMARY KEY AUTOINCREMENT, visible INTEGER NOT NULL, receives INTEGER NOT NULL, grp TEXT, body BLOB NOT NULL)`,
    )
    if (!this.fifo) return
    store.exec(`CREATE TABLE IF NOT EXISTS ${this.#seen} (dedupe TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID`)
    store.exec(`CREATE INDEX IF NOT EXISTS "visible ${name.replaceAll('"', '""')}" ON ${this.#table} (visible)`) // finds the groups in flight
  }

  // What waits is visible since ever, not since a moment: a clock that is set back must not hide it.
  async send(messages: Outgoing[]): Promise<void> {
    await this.#store.write(() => {
      const now = this.#now()
      for (const { body, group, dedupe } of messages) {
        if (this.fifo && dedupe && !this.#isNew(dedupe, now)) continue
        this.#store.run(`INSERT INTO ${this.#table} (visible, receives, grp, body) VALUES (0, 0, ?, ?)`, group ?? null, body)
      }
    })
  }

  #isNew(dedupe: string, now: number): boolean {
    const isNew =
      this.#store.run(
        `INSERT INTO ${this.#seen} VALUES (?, ?) ON CONFLICT (dedupe) DO UPDATE SET until = excluded.until WHERE until <= ?`,
        dedupe,
        now + DEDUPE_MS,
        now,
      ) > 0
    if (now >= this.#nextPurge) {
      this.#nextPurge = now + DEDUPE_MS
      this.#store.run(`DELETE FROM ${this.#seen} WHERE until <= ?`, now)
    }
    return isNew
  }

  async receive({ max, waitMs, signal }: ReceiveOptions): Promise<Message[]> {
    const end = this.#now() + waitMs
    while (true) {
      const now = this.#now() // one moment for both questions: what is due, and if nothing, when something will be
      if (this.#due(1, now).length) {
        const messages = await this.#store.write(() => this.#take(max))
        if (messages.length) return messages
        continue
      }
      const left = end - now
      if (left <= 0 || signal?.aborted) return []
      await this.#store.changed(Math.min(left, this.#untilNextReturns(now)), signal)
    }
  }

  /** The messages that can be given out now, oldest first. */
  #due(max: number, now: number): Row[] {
    const held = this.fifo ? `AND (grp IS NULL OR grp NOT IN (SELECT grp FROM ${this.#table} WHERE visible > ? AND grp IS NOT NULL))` : ''
    return this.#store.all<Row>(
      `SELECT id, grp, length(body) AS size, receives FROM ${this.#table} WHERE visible <= ? ${held} ORDER BY id LIMIT ?`,
      ...(held ? [now, now] : [now]),
      max,
    )
  }

  #take(max: number): Message[] {
    const now = this.#now()
    const visible = now + this.#visibilityMs
    let bytes = 0
    const rows = this.#due(max, now).filter(({ size }, i) => (bytes += size) <= RECEIVE_BYTES || i === 0)
    return rows.map(({ id, grp, receives }) => {
      const { body } = this.#store.get<{ body: Uint8Array }>(`SELECT body FROM ${this.#table} WHERE id = ?`, id)!
      this.#store.run(`UPDATE ${this.#table} SET visible = ?, receives = receives + 1 WHERE id = ?`, visible, id)
      return { body, group: grp ?? undefined, handle: `${id}:${receives + 1}`, receives: receives + 1 }
    })
  }

  /** ms until a message that is given out, or held back, can come again; Infinity if there is none. */
  #untilNextReturns(now: number): number {
    const { next } = this.#store.get<{ next: number | null }>(`SELECT min(visible) AS next FROM ${this.#table} WHERE visible > ?`, now)!
    return next === null ? Number.POSITIVE_INFINITY : next - now
  }

  async delete(messages: Message[]): Promise<void> {
    await this.#store.write(() => {
      for (const { handle } of messages)
        this.#store.run(`DELETE FROM ${this.#table} WHERE id = ? AND receives = ?`, ...idAndReceives(handle))
    })
  }

  async giveBack(messages: Message[], delayMs: number): Promise<void> {
    await this.#store.write(() => {
      const visible = delayMs > 0 ? this.#now() + delayMs : 0
      for (const { handle } of messages)
        this.#store.run(`UPDATE ${this.#table} SET visible = ? WHERE id = ? AND receives = ?`, visible, ...idAndReceives(handle))
    })
  }

  async depth(): Promise<{ waiting: number; inFlight: number }> {
    const now = this.#now()
    const row = this.#store.get<{ waiting: number; inFlight: number }>(
      `SELECT count(*) FILTER (WHERE visible <= ?) AS waiting, count(*) FILTER (WHERE visible > ?) AS inFlight FROM ${this.#table}`,
      now,
      now,
    )
    return { waiting: row!.waiting, inFlight: row!.inFlight }
  }

  /** Takes back all that was given out: for a machine that starts and knows that it is alone, so that it need not wait for a dead one's messages. */
  async reclaim(): Promise<void> {
    await this.#store.write(() => this.#store.run(`UPDATE ${this.#table} SET visible = 0 WHERE visible > 0`))
  }

  async close(): Promise<void> {} // the store belongs to who opened it
}

function idAndReceives(handle: string): [number, number] {
  const [id, receives] = handle.split(':')
  return [Number(id), Number(receives)]
}
