import { EventEmitter } from 'node:events'
import { open } from 'node:fs/promises'
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { closed, OverpoolError } from '../../errors.ts'

/** How often a change by another process (the CLI) is looked for while somebody waits, ms. */
const WATCH_MS = 25
/** What is only ordered is on disk after this time at the latest, ms: a handler's last run is not done again because the power fails an hour later. */
const SYNC_MS = 1_000
/** Pages of the log before SQLite folds it into the file: the more, the fewer writes a busy page costs. 8,000 are 32 MB. */
const CHECKPOINT_PAGES = 8_000
/** Pages that SQLite itself holds in memory: few, since the system holds what was read and written lately as well. */
const CACHE_KIB = 8 * 1024

/**
 * When a write's promise resolves it is 'synced' to the disk, and survives a loss of power; or it is only 'ordered': it survives the death of the process, and a loss of
 * power may undo it with all that came after it. That spares what is done again anyway (Promise 4) the wait for the disk.
 */
export type Durability = 'synced' | 'ordered'

type Row = Record<string, null | number | bigint | string | Uint8Array>
interface Waiting {
  work: () => unknown
  durability: Durability
  resolve: (value: never) => void
  reject: (error: unknown) => void
}

/**
 * One SQLite file, one connection, group commit: what is asked for while the event loop turns goes into one transaction, and its promise resolves when that is on disk
 * (`synchronous=FULL`, Promise 2), unless nothing in it needs to be (`Durability`). Emits 'commit' after each and what was announced in it; all of that when another process
 * has written.
 */
export class SqliteFile extends EventEmitter<Record<string, []>> {
  readonly #path: string
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  #waiting: Waiting[] = []
  readonly #announced = new Set<string>()
  #flush: NodeJS.Immediate | undefined
  #flushNow = false
  #watchers = 0
  #watch: NodeJS.Timeout | undefined
  #version = 0
  #closed = false
  #durability: Durability = 'synced'
  #syncSoon: NodeJS.Timeout | undefined

  constructor(path: string) {
    super()
    this.setMaxListeners(0)
    this.#path = path
    // Not imported by name: on a Node without it the import of this very module would fail before anybody can say why.
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
    this.#db = new DatabaseSync(path, { timeout: 10_000 })
    this.#db.exec(
      `PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-${CACHE_KIB}; PRAGMA wal_autocheckpoint=${CHECKPOINT_PAGES}; PRAGMA journal_size_limit=67108864`,
    )
  }

  /** Runs schema statements at once. */
  exec(sql: string): void {
    this.#db.exec(sql)
  }

  all<T extends object = Row>(sql: string, ...values: SQLInputValue[]): T[] {
    return this.#statement(sql).all(...values) as T[]
  }

  get<T extends object = Row>(sql: string, ...values: SQLInputValue[]): T | undefined {
    return this.#statement(sql).get(...values) as T | undefined
  }

  /** Only inside `write`. Returns the number of rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(sql).run(...values).changes)
  }

  /** The rows, one after another, for who may not want them all. Run nothing else meanwhile. */
  iterate<T extends object = Row>(sql: string, ...values: SQLInputValue[]): IterableIterator<T> {
    return this.#statement(sql).iterate(...values) as unknown as IterableIterator<T>
  }

  /** Only inside `write`: those who wait for this topic have something to look at when it is on disk. */
  announce(topic: string): void {
    this.#announced.add(topic)
  }

  /** Runs `work` in the next transaction; resolves to what it returned when that is durable as asked. If it throws, only its own changes are undone. */
  write<T>(work: () => T, durability: Durability = 'synced'): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(closed())
      this.#waiting.push({ work, durability, resolve, reject })
      this.#flush ??= setImmediate(() => this.#commit())
    })
  }

  /**
   * The same, without waiting for the event loop's turn, for who has gathered already: the transaction begins when all promises that can move have moved, and takes with it
   * whatever else waits.
   */
  writeNow<T>(work: () => T): Promise<T> {
    const written = this.write(work)
    if (!this.#flushNow) {
      this.#flushNow = true
      process.nextTick(() => this.#commit())
    }
    return written
  }

  #commit(): void {
    clearImmediate(this.#flush)
    this.#flush = undefined
    this.#flushNow = false
    const group = this.#waiting
    this.#waiting = []
    if (group.length) this.#transaction(group)
  }

  #transaction(group: Waiting[]): void {
    let results: unknown[]
    try {
      this.#setDurability(group.some(({ durability }) => durability === 'synced') ? 'synced' : 'ordered')
      this.#statement('BEGIN IMMEDIATE').run()
      results = group.map(({ work }) => work())
      this.#statement('COMMIT').run()
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      // One of them failed, and all were undone: each alone, so that a failure is its own.
      if (group.length > 1) for (const one of group) this.#transaction([one])
      else
        group[0]!.reject(
          error instanceof OverpoolError
            ? error
            : new OverpoolError('UNAVAILABLE', 'the ledger file could not be written', { cause: error, retryable: true }),
        )
      return
    }
    if (this.#durability === 'ordered') this.#syncSoon ??= setTimeout(() => void this.#syncLog(), SYNC_MS).unref()
    for (const [i, { resolve }] of group.entries()) resolve(results[i] as never)
    const topics = ['commit', ...this.#announced]
    this.#announced.clear()
    for (const topic of topics) this.emit(topic)
  }

  /** What the next commit waits for. SQLite takes it between transactions only. */
  #setDurability(durability: Durability): void {
    if (durability === this.#durability) return
    this.#db.exec(`PRAGMA synchronous=${durability === 'synced' ? 'FULL' : 'NORMAL'}`)
    this.#durability = durability
  }

  /** Beside the event loop; a commit that is synced has mostly come first, and done it. */
  async #syncLog(): Promise<void> {
    this.#syncSoon = undefined
    try {
      await using log = await open(`${this.#path}-wal`)
      await log.datasync()
    } catch {
      // The next commit that is synced says what is wrong with the disk.
    }
  }

  /** Resolves when this process has announced the topic ('commit': has written anything), or another one anything; after `ms`; or when the signal is aborted. */
  changed(topic: string, ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted || this.#closed) return resolve()
      const done = () => {
        clearTimeout(timer)
        this.off(topic, done)
        signal?.removeEventListener('abort', done)
        if (--this.#watchers === 0) clearInterval(this.#watch)
        resolve()
      }
      const timer = setTimeout(done, Math.min(ms, 2 ** 31 - 1))
      this.on(topic, done)
      signal?.addEventListener('abort', done)
      // What another process wrote since anybody looked last is told of at the first look: whoever waits may just have missed it.
      if (this.#watchers++ === 0) this.#watch = setInterval(() => this.#look(), WATCH_MS)
    })
  }

  // `PRAGMA data_version` changes when another connection has committed, and only then.
  #look(): void {
    const version = this.#dataVersion()
    if (version === this.#version) return
    this.#version = version
    this.#wakeAll()
  }

  #wakeAll(): void {
    for (const topic of this.eventNames()) this.emit(topic)
  }

  #dataVersion(): number {
    return this.get<{ data_version: number }>('PRAGMA data_version')!.data_version
  }

  #statement(sql: string): StatementSync {
    if (this.#closed) throw closed()
    let statement = this.#statements.get(sql)
    if (!statement) this.#statements.set(sql, (statement = this.#db.prepare(sql)))
    return statement
  }

  /** Commits what waits, and closes the file. */
  close(): void {
    if (this.#closed) return
    clearImmediate(this.#flush)
    this.#commit()
    if (this.#syncSoon) this.#db.exec('PRAGMA wal_checkpoint(PASSIVE)') // which syncs the log, also where another process goes on
    clearTimeout(this.#syncSoon)
    this.#closed = true
    this.#wakeAll()
    this.removeAllListeners()
    clearInterval(this.#watch)
    this.#db.close()
  }
}
