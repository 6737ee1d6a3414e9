import { elapsed } from '../clock.ts'
import type { SqliteFile } from '../store/sqlite/file.ts'
import type { Message, Outgoing, Queue, ReceiveOptions } from './port.ts'

/** SQS drops a repeated deduplication id within this time; so do we. */
const DEDUPE_MS = 5 * 60_000

/** A receive takes no more bytes than this, except a single larger message. */
const RECEIVE_BYTES = 8 * 1024 * 1024

interface Row {
  id: number
  grp: string | null
  receives: number
  body: Uint8Array
}

/**
 * A queue in a table of the machine's SQLite file. A send is synced to disk, except to a FIFO queue: lost bells are rung again. A loss of power may undo a receive or a
 * delete: the message is received again. Its times are `elapsed`, so that none depends on a clock that can be set; `reclaim` ends those of an earlier start of the computer.
 */
export class SqliteQueue implements Queue {
  readonly fifo: boolean
  readonly #store: SqliteFile
  readonly #visibilityMs: number
  readonly #elapsed: () => number
  readonly #table: string
  readonly #sql: ReturnType<typeof statements>
  #nextPurge = 0

  constructor(store: SqliteFile, name: string, options: { fifo?: boolean; visibilityMs: number; elapsed?: () => number }) {
    this.#store = store
    this.fifo = options.fifo ?? false
    this.#visibilityMs = options.visibilityMs
    this.#elapsed = options.elapsed ?? elapsed
    const quoted = name.replaceAll('"', '""')
    this.#table = `"queue ${quoted}"`
    const seen = `"seen ${quoted}"`
    this.#sql = statements(this.#table, seen, this.fifo)
    store.exec(
      `CREATE TABLE IF NOT EXISTS ${this.#table} (id INTEGER PRIMARY KEY AUTOINCREMENT, visible INTEGER NOT NULL, receives INTEGER NOT NULL, grp TEXT, body BLOB NOT NULL)`,
    )
    if (!this.fifo) return
    store.exec(`CREATE TABLE IF NOT EXISTS ${seen} (dedupe TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID`)
    store.exec(`CREATE INDEX IF NOT EXISTS "visible ${quoted}" ON ${this.#table} (visible)`) // finds the groups in flight
  }

  // A waiting message has visibility time 0, so that it is due after a restart of the computer, too.
  async send(messages: Outgoing[]): Promise<void> {
    await this.#store.write(
      () => {
        const now = this.#elapsed()
        for (const { body, group, dedupe } of messages) {
          if (this.fifo && dedupe && !this.#isNew(dedupe, now)) continue
          this.#store.run(this.#sql.send, group ?? null, body)
        }
        this.#store.announce(this.#table)
      },
      this.fifo ? 'ordered' : 'synced',
    )
  }

  #isNew(dedupe: string, now: number): boolean {
    const isNew = this.#store.run(this.#sql.see, dedupe, now + DEDUPE_MS, now) > 0
    if (now >= this.#nextPurge) {
      this.#nextPurge = now + DEDUPE_MS
      this.#store.run(this.#sql.purge, now)
    }
    return isNew
  }

  async receive({ max, waitMs, signal }: ReceiveOptions): Promise<Message[]> {
    const end = this.#elapsed() + waitMs
    while (true) {
      const now = this.#elapsed() // the same time for both questions: what is due, and when the next message is due
      if (this.#store.get(this.#sql.isDue, ...this.#at(now))) {
        const messages = await this.#store.write(() => this.#take(max), 'ordered')
        if (messages.length) return messages
        continue
      }
      const left = end - now
      if (left <= 0 || signal?.aborted) return []
      await this.#store.changed(this.#table, Math.min(left, this.#untilNextReturns(now)), signal)
    }
  }

  /** The query for due messages of a FIFO queue takes the time twice. */
  #at(now: number): number[] {
    return this.fifo ? [now, now] : [now]
  }

  #take(max: number): Message[] {
    const now = this.#elapsed()
    const rows: Row[] = []
    let bytes = 0
    for (const row of this.#store.iterate<Row>(this.#sql.due, ...this.#at(now), max)) {
      bytes += row.body.length
      if (bytes > RECEIVE_BYTES && rows.length) break
      rows.push(row)
    }
    this.#store.run(this.#sql.take, now + this.#visibilityMs, JSON.stringify(rows.map(({ id }) => id)))
    return rows.map(({ id, grp, receives, body }) => ({
      body,
      group: grp ?? undefined,
      handle: `${id}:${receives + 1}`,
      receives: receives + 1,
    }))
  }

  /** ms until a message in flight, or given back with a delay, is due; Infinity if there is none. */
  #untilNextReturns(now: number): number {
    const { next } = this.#store.get<{ next: number | null }>(this.#sql.nextReturn, now)!
    return next === null ? Number.POSITIVE_INFINITY : next - now
  }

  async delete(messages: Message[]): Promise<void> {
    await this.#store.write(() => {
      for (const { handle } of messages) this.#store.run(this.#sql.delete, ...idAndReceives(handle))
      if (this.fifo) this.#store.announce(this.#table) // the next messages of their groups are due
    }, 'ordered')
  }

  async giveBack(messages: Message[], delayMs: number): Promise<void> {
    await this.#store.write(() => {
      const visible = delayMs > 0 ? this.#elapsed() + delayMs : 0
      for (const { handle } of messages) this.#store.run(this.#sql.giveBack, visible, ...idAndReceives(handle))
      this.#store.announce(this.#table)
    }, 'ordered')
  }

  async depth(): Promise<{ waiting: number; inFlight: number }> {
    const now = this.#elapsed()
    return this.#store.get<{ waiting: number; inFlight: number }>(this.#sql.depth, now, now)!
  }

  async check(): Promise<void> {
    await this.#store.write(() => {
      this.#store.run(this.#sql.send, null, new Uint8Array(0))
      this.#store.run(this.#sql.unsend)
    })
  }

  /**
   * Makes all messages in flight due, and forgets which have been sent. A machine that starts, and knows that it is alone, must call it: the times of an earlier one may be of
   * another start of the computer.
   */
  async reclaim(): Promise<void> {
    await this.#store.write(() => {
      this.#store.run(this.#sql.reclaim)
      if (this.fifo) this.#store.run(this.#sql.forget)
    })
  }
}

/** Built once: each payment runs several statements, and a text that is built anew must be looked up anew. */
function statements(table: string, seen: string, fifo: boolean) {
  const heldGroups = `SELECT grp FROM ${table} WHERE visible > ? AND grp IS NOT NULL`
  const due = `FROM ${table} WHERE visible <= ? ${fifo ? `AND (grp IS NULL OR grp NOT IN (${heldGroups}))` : ''}`
  return {
    send: `INSERT INTO ${table} (visible, receives, grp, body) VALUES (0, 0, ?, ?)`,
    see: `INSERT INTO ${seen} VALUES (?, ?) ON CONFLICT (dedupe) DO UPDATE SET until = excluded.until WHERE until <= ?`,
    purge: `DELETE FROM ${seen} WHERE until <= ?`,
    isDue: `SELECT 1 ${due} LIMIT 1`,
    due: `SELECT id, grp, receives, body ${due} ORDER BY id LIMIT ?`,
    take: `UPDATE ${table} SET visible = ?, receives = receives + 1 WHERE id IN (SELECT value FROM json_each(?))`,
    nextReturn: `SELECT min(visible) AS next FROM ${table} WHERE visible > ?`,
    delete: `DELETE FROM ${table} WHERE id = ? AND receives = ?`,
    giveBack: `UPDATE ${table} SET visible = ? WHERE id = ? AND receives = ?`,
    depth: `SELECT count(*) FILTER (WHERE visible <= ?) AS waiting, count(*) FILTER (WHERE visible > ?) AS inFlight FROM ${table}`,
    forget: `DELETE FROM ${seen}`,
    unsend: `DELETE FROM ${table} WHERE id = last_insert_rowid()`,
    reclaim: `UPDATE ${table} SET visible = 0 WHERE visible > 0`,
  }
}

function idAndReceives(handle: string): [number, number] {
  const [id, receives] = handle.split(':')
  return [Number(id), Number(receives)]
}
