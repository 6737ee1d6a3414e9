import { AsyncResource } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import { statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { closed, OverpoolError } from '../../errors.ts'

/** How often it checks for changes by another process (the CLI) while a caller waits, ms. */
const WATCH_MS = 25
/** Ordered writes are on disk after this time at the latest, ms, so that a power failure an hour later does not repeat a handler's last run. */
const SYNC_MS = 1_000
/** Pages of the log before SQLite copies it into the file. The more pages, the fewer writes of a busy page. 8,000 are 32 MB. */
const CHECKPOINT_PAGES = 8_000
/** SQLite's page cache. It is small, since the system caches the same pages. */
const CACHE_KIB = 8 * 1024
/** A value of this size is not kept in memory after it was written. */
const LARGE_BYTES = 256 * 1024

/**
 * The durability of a write when its promise resolves. 'synced': it is on disk and survives a loss of power. 'ordered': it survives the death of the process, but a loss of
 * power may undo it together with all later writes. Work that can be repeated (Promise 4) need not wait for the disk.
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
 * One SQLite file with one connection and group commit. Writes of one turn of the event loop share a transaction. Their promises resolve when it is on disk
 * (`synchronous=FULL`, Promise 2), unless all of them are only 'ordered'. It emits 'commit' and the announced topics after each transaction, and all topics when another
 * process has written.
 */
export class SqliteFile extends EventEmitter<Record<string, []>> {
  /** whether Node waits for those who wait for a change */
  keepsAlive = true
  readonly path: string
  /** the file and its log by their inodes, as they were when they were opened */
  readonly #inodes = new Map<string, number>()
  /** one of them is no longer in its place */
  #isGone = false
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  #waiting: Waiting[] = []
  readonly #announced = new Set<string>()
  #flush: NodeJS.Immediate | undefined
  /** A commit is no part of the call that happens to cause it: what it throws, and how long the disk takes, is not that call's fault. */
  readonly #commitAll = AsyncResource.bind(() => this.#commit())
  #flushNow = false
  #flushLater: NodeJS.Timeout | undefined
  #watchers = 0
  #watch: NodeJS.Timeout | undefined
  #version = 0
  #closed = false
  #durability: Durability = 'synced'
  #syncSoon: NodeJS.Timeout | undefined

  constructor(path: string) {
    super()
    this.setMaxListeners(0)
    this.path = path
    // Not imported by name: on an old Node the import of this module would fail before the sentence that says why.
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
    this.#db = new DatabaseSync(path, { timeout: 10_000 })
    this.#db.exec(
      `PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-${CACHE_KIB}; PRAGMA wal_autocheckpoint=${CHECKPOINT_PAGES}; PRAGMA journal_size_limit=67108864`,
    )
    this.#checkThere()
  }

  /** Runs schema statements at once. */
  exec(sql: string): void {
    this.#db.exec(sql)
  }

  /** Adds a column that a file of an earlier version lacks. Another process may do so at the same time, so it looks again while nobody else can write. */
  addColumn(table: string, column: string, type: 'TEXT' | 'INTEGER'): void {
    const isThere = () => this.all<{ name: string }>(`PRAGMA table_info(${table})`).some(({ name }) => name === column)
    if (isThere()) return
    this.exec('BEGIN IMMEDIATE')
    try {
      if (!isThere()) this.exec(`ALTER TABLE ${table} ADD COLUMN ${column} ${type}`)
      this.exec('COMMIT')
    } catch (error) {
      if (this.#db.isTransaction) this.exec('ROLLBACK')
      throw error
    }
  }

  all<T extends object = Row>(sql: string, ...values: SQLInputValue[]): T[] {
    return this.#statement(sql).all(...values) as T[]
  }

  get<T extends object = Row>(sql: string, ...values: SQLInputValue[]): T | undefined {
    return this.#statement(sql).get(...values) as T | undefined
  }

  /** Only inside `write`. Returns the number of rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    const statement = this.#statement(sql)
    const { changes } = statement.run(...values)
    // SQLite keeps a copy of bound values until others are bound. This binds none, and runs nothing.
    if (values.some((value) => typeof value === 'object' && value !== null && value.byteLength >= LARGE_BYTES)) statement.iterate()
    return Number(changes)
  }

  /** The rows, one after another, for a caller that may stop early. Run no other statement meanwhile. */
  iterate<T extends object = Row>(sql: string, ...values: SQLInputValue[]): IterableIterator<T> {
    return this.#statement(sql).iterate(...values) as unknown as IterableIterator<T>
  }

  /** Only inside `write`: wakes the waiters of this topic after the commit. */
  announce(topic: string): void {
    this.#announced.add(topic)
  }

  /** Runs `work` in the next transaction. Resolves to its result when that has the durability asked for. If it throws, only its own changes are undone. */
  write<T>(work: () => T, durability: Durability = 'synced'): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(closed())
      this.#waiting.push({ work, durability, resolve, reject })
      this.#flush ??= setImmediate(this.#commitAll)
    })
  }

  /**
   * The same without waiting for the next turn of the event loop, for a caller that has gathered its work. The transaction begins after the pending promise callbacks, and
   * includes all other waiting writes.
   */
  writeNow<T>(work: () => T): Promise<T> {
    const written = this.write(work)
    if (!this.#flushNow) {
      this.#flushNow = true
      process.nextTick(this.#commitAll)
    }
    return written
  }

  /** The same for work that nobody waits for: it joins the next transaction, or gets one of its own after `ms`. It has the durability 'ordered' at least. */
  writeLater<T>(work: () => T, ms: number): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(closed())
      this.#waiting.push({ work, durability: 'ordered', resolve, reject })
      this.#flushLater ??= setTimeout(this.#commitAll, ms).unref()
    })
  }

  #commit(): void {
    clearImmediate(this.#flush)
    clearTimeout(this.#flushLater)
    this.#flushLater = undefined
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
      this.#checkThere() // SQLite goes on writing to a file that was unlinked
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      // One failed, and all were undone: now each runs alone, so that only that one fails.
      if (group.length > 1) for (const one of group) this.#transaction([one])
      else
        group[0]!.reject(
          error instanceof OverpoolError
            ? error
            : new OverpoolError('UNAVAILABLE', `${this.path} could not be written`, { cause: error, retryable: true }),
        )
      return
    }
    if (this.#durability === 'ordered') this.#syncSoon ??= setTimeout(() => void this.#syncLog(), SYNC_MS).unref()
    for (const [i, { resolve }] of group.entries()) resolve(results[i] as never)
    const topics = ['commit', ...this.#announced]
    this.#announced.clear()
    for (const topic of topics) this.emit(topic)
  }

  /** Sets the durability of the next commit. SQLite allows it between transactions only. */
  #setDurability(durability: Durability): void {
    if (durability === this.#durability) return
    this.#db.exec(`PRAGMA synchronous=${durability === 'synced' ? 'FULL' : 'NORMAL'}`)
    this.#durability = durability
  }

  /** Syncs the log in the background. Usually a synced commit has done so before. */
  async #syncLog(): Promise<void> {
    this.#syncSoon = undefined
    try {
      const log = await open(`${this.path}-wal`)
      await log.datasync().finally(() => log.close())
    } catch {
      // The next synced commit reports what is wrong with the disk.
    }
  }

  /** Resolves when this process announces the topic ('commit': any write), when another process writes, after `ms`, or when the signal is aborted. */
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
      if (!this.keepsAlive) timer.unref()
      this.on(topic, done)
      signal?.addEventListener('abort', done)
      // The first check reports writes of other processes since the last one: the new waiter may just have missed them.
      if (this.#watchers++ === 0) this.#watch = setInterval(() => this.#look(), WATCH_MS)
      if (!this.keepsAlive) this.#watch?.unref()
    })
  }

  // `PRAGMA data_version` changes when another connection has committed, and only then.
  #look(): void {
    const version = this.#looksGone() ? Number.NaN : this.#dataVersion() // when it is gone, the waiters are woken to ask again, and fail
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

  /** Whether the file or its log was removed or replaced. What is written from then on would be lost with this process. */
  #looksGone(): boolean {
    for (const path of [this.path, `${this.path}-wal`]) {
      const inode = statSync(path, { throwIfNoEntry: false })?.ino
      const opened = this.#inodes.get(path) ?? inode // SQLite makes the log at the first write
      if (inode !== opened) return (this.#isGone = true)
      if (inode !== undefined) this.#inodes.set(path, inode)
    }
    return (this.#isGone = false)
  }

  #checkThere(): void {
    if (!this.#looksGone()) return
    const why = `${this.path}, or its log beside it (-wal), was removed or replaced while it was in use: put the same files back, or stop the machine and restore a backup`
    throw new OverpoolError('UNAVAILABLE', why, { retryable: true })
  }

  #statement(sql: string): StatementSync {
    if (this.#closed) throw closed()
    if (this.#isGone) this.#checkThere()
    let statement = this.#statements.get(sql)
    if (!statement) this.#statements.set(sql, (statement = this.#db.prepare(sql)))
    return statement
  }

  /** Commits the waiting writes, and closes the file. */
  close(): void {
    if (this.#closed) return
    clearImmediate(this.#flush)
    this.#commit()
    if (this.#syncSoon) this.#db.exec('PRAGMA wal_checkpoint(PASSIVE)') // this syncs the log, even if another process goes on
    clearTimeout(this.#syncSoon)
    this.#closed = true
    this.#wakeAll()
    this.removeAllListeners()
    clearInterval(this.#watch)
    this.#db.close()
  }
}
