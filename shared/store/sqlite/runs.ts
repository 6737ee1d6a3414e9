import zlib from 'node:zlib' // not by name: on a Node without zstd such an import fails before the sentence that Node is too old
import { newestFirst, type PackedRun, packRuns, RUNS_LISTED, type Run, type Runs, type RunsQuery, unpackRuns } from '../runs.ts'
import type { SqliteFile } from './file.ts'

/**
 * A row is a batch of the runs of one handler in one pool, since a row for each run would cost the handler more than its call. `flush`: all rows with one number were written
 * together. `failed` is a ring of its own: errors must not be driven out by the successes of a busy hour. `until`: when the last run of the batch ended.
 */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, flush INTEGER NOT NULL, failed INTEGER NOT NULL, handler TEXT NOT NULL, pool TEXT NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, until INTEGER NOT NULL, count INTEGER NOT NULL, body BLOB NOT NULL);
  CREATE INDEX IF NOT EXISTS runs_pool ON runs (pool, id);
  CREATE INDEX IF NOT EXISTS runs_ring ON runs (failed, id);
`

/** Runs are gathered for this time after the first of them, ms; then they join a transaction of the machine's, or get one of their own after this time again. */
const FLUSH_MS = 250
/** They are written at once when there are so many, or so many characters of errors and console lines. */
const FLUSH_RUNS = 2_000
const FLUSH_CHARS = 1024 * 1024
/** What the file keeps of each ring, the newest: runs, and bytes as they are stored. */
export const KEPT = { runs: 100_000, bytes: 16 * 1024 * 1024 }

interface Row {
  id: number
  flush: number
  handler: string
  body: Uint8Array
}

/** What a ring holds. */
interface Held {
  count: number
  bytes: number
}

/** The runs of handlers as a ring in the machine's file. Its writes wait for no disk: they have the durability 'ordered'. */
export class SqliteRuns implements Runs {
  readonly #file: SqliteFile
  readonly #kept: Held
  #gathered: Run[] = []
  #chars = 0
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<unknown> = Promise.resolve()
  /** batches that are on their way into the file */
  #pending = 0
  /** of each ring; read at the first write */
  #held: [ok: Held, failed: Held] | undefined

  /** @param kept what each ring keeps at most */
  constructor(file: SqliteFile, kept = { count: KEPT.runs, bytes: KEPT.bytes }) {
    this.#file = file
    this.#kept = kept
    file.exec(SCHEMA)
  }

  add(run: Run): void {
    this.#gathered.push(run)
    if (run.error !== undefined) this.#chars += run.error.length
    for (const line of run.console) this.#chars += line.length
    if (this.#gathered.length >= FLUSH_RUNS || this.#chars >= FLUSH_CHARS) this.#write()
    else this.#timer ??= setTimeout(() => this.#write(), FLUSH_MS).unref()
  }

  #write(atOnce = false): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const gathered = this.#gathered
    this.#gathered = []
    this.#chars = 0
    if (!gathered.length) return
    const insert = () => this.#insert(gathered)
    // A full disk stops the posts as well, and is reported there: the runs of that time are lost.
    this.#pending++
    const written = atOnce ? this.#file.write(insert, 'ordered') : this.#file.writeLater(insert, FLUSH_MS)
    this.#writing = written.catch(() => (this.#held = undefined)).finally(() => this.#pending--)
  }

  async flush(): Promise<void> {
    const waits = this.#pending > 0
    this.#write(true)
    if (waits) await this.#file.write(() => {}, 'ordered').catch(() => {}) // a batch that waits for a transaction joins this one
    await this.#writing
  }

  #insert(runs: Run[]): void {
    const held = (this.#held ??= [this.#read(0), this.#read(1)])
    const { flush } = this.#file.get<{ flush: number }>('SELECT ifnull(max(id), 0) + 1 AS flush FROM runs')!
    for (const batch of Map.groupBy(runs, ringOf).values()) {
      const failed = batch[0]!.outcome === 'ok' ? 0 : 1
      const body = pack(batch)
      const seqs = batch.map(({ seq }) => seq)
      this.#file.run(
        'INSERT INTO runs (flush, failed, handler, pool, first, last, until, count, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
        flush,
        failed,
        batch[0]!.handler,
        batch[0]!.pool,
        seqs.reduce((least, seq) => Math.min(least, seq)),
        seqs.reduce((most, seq) => Math.max(most, seq)),
        Math.ceil(batch.reduce((latest, run) => Math.max(latest, endOf(run)), 0)),
        batch.length,
        body,
      )
      held[failed].count += batch.length
      held[failed].bytes += body.length
    }
    for (const failed of [0, 1] as const) this.#forgetOldest(failed, held[failed])
  }

  #read(failed: 0 | 1): Held {
    return this.#file.get<{ count: number; bytes: number }>(
      'SELECT ifnull(sum(count), 0) AS count, ifnull(sum(length(body)), 0) AS bytes FROM runs WHERE failed = ?',
      failed,
    )!
  }

  #forgetOldest(failed: 0 | 1, held: Held): void {
    while (held.count > this.#kept.count || held.bytes > this.#kept.bytes) {
      const sql = 'SELECT id, count, length(body) AS bytes FROM runs WHERE failed = ? ORDER BY id LIMIT 1'
      const oldest = this.#file.get<Held & { id: number }>(sql, failed)
      if (!oldest) return
      this.#file.run('DELETE FROM runs WHERE id = ?', oldest.id)
      held.count -= oldest.count
      held.bytes -= oldest.bytes
    }
  }

  async list({ pool, handler, seq, since = 0, limit = RUNS_LISTED }: RunsQuery): Promise<Run[]> {
    const sql = `SELECT id, flush, handler, body FROM runs
      WHERE pool = ?1 AND (?2 IS NULL OR handler = ?2) AND (?3 IS NULL OR ?3 BETWEEN first AND last) AND until >= ?4 ORDER BY id DESC`
    const found: Run[] = []
    let together: Run[] = []
    let flush: number | undefined
    for (const row of this.#file.iterate<Row>(sql, pool, handler ?? null, seq ?? null, since)) {
      if (row.flush !== flush) {
        found.push(...together.sort(newestFirst))
        together = []
        flush = row.flush
        if (found.length >= limit) break
      }
      const runs = unpack(row, pool)
      together.push(...runs.filter((run) => (seq === undefined || run.seq === seq) && endOf(run) >= since))
    }
    return [...found, ...together.sort(newestFirst)].slice(0, limit)
  }
}

function ringOf({ handler, pool, outcome }: Run): string {
  return `${outcome === 'ok' ? 0 : 1} ${handler} ${pool}`
}

function endOf({ startedAt, ms }: Run): number {
  return startedAt + ms
}

function pack(runs: Run[]): Uint8Array {
  const level = { [zlib.constants.ZSTD_c_compressionLevel]: 1 }
  return zlib.zstdCompressSync(JSON.stringify(packRuns(runs)), { params: level })
}

/** A damaged batch counts as empty: it is a record for people, and nothing depends on it. */
function unpack({ handler, body }: Row, pool: string): Run[] {
  try {
    return unpackRuns(handler, pool, JSON.parse(zlib.zstdDecompressSync(body).toString()) as PackedRun[])
  } catch {
    return []
  }
}
