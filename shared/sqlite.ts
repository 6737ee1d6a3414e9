import { EventEmitter } from 'node:events'
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { OverpoolError } from './errors.ts'

/** How often a change by another process (the CLI) is looked for while somebody waits, ms. */
const WATCH_MS = 25
/** Pages of the log before SQLite folds it into the file: the more, the fewer writes a busy page costs. 8,000 are 32 MB. */
const CHECKPOINT_PAGES = 8_000

type Row = Record<string, null | number | bigint | string | Uint8Array>
interface Waiting {
  work: () => unknown
  resolve: (value: never) => void
  reject: (error: unknown) => void
}

/**
 * One SQLite file, one connection, group commit: what is asked for while the event loop turns goes into one transaction, and its promise
 * resolves when that is on disk (`synchronous=FULL`, Promise 2). Emits 'commit' after each, and when another process has written.
 */
export class SqliteStore extends EventEmitter<{ commit: [] }> {
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  #waiting: Waiting[] = []
  #flush: NodeJS.Immediate | undefined
  #watchers = 0
  #watch: NodeJS.Timeout | undefined
  #version = 0
  #closed = false

  constructor(file: string) {
    super()
    this.setMaxListeners(0)
    // Not imported by name: on a Node without it the import of this very module would fail before anybody can say why.
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
    this.#db = new DatabaseSync(file, { timeout: 10_000 })
    this.#db.exec(
      `PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=${CHECKPOINT_PAGES}; PRAGMA journal_size_limit=67108864`,
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

  /** Runs `work` in the next transaction; resolves to what it returned when that is durable. If it throws, only its own changes are undone. */
  write<T>(work: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(closed())
      this.#waiting.push({ work, resolve, reject })
      this.#flush ??= setImmediate(() => this.#commit())
    })
  }

  #commit(): void {
    this.#flush = undefined
    const group = this.#waiting
    this.#waiting = []
    if (group.length) this.#transaction(group)
  }

  #transaction(group: Waiting[]): void {
    let results: unknown[]
    try {
      this.#db.exec('BEGIN IMMEDIATE')
      results = group.map(({ work }) => work())
      this.#db.exec('COMMIT')
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
    for (const [i, { resolve }] of group.entries()) resolve(results[i] as never)
    this.emit('commit')
  }

  /** Resolves at the next commit, by this process or another, after `ms`, or when the signal is aborted. */
  changed(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted || this.#closed) return resolve()
      const done = () => {
        clearTimeout(timer)
        this.off('commit', done)
        signal?.removeEventListener('abort', done)
        if (--this.#watchers === 0) clearInterval(this.#watch)
        resolve()
      }
      const timer = setTimeout(done, Math.min(ms, 2 ** 31 - 1))
      this.on('commit', done)
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
    this.emit('commit')
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
    this.#closed = true
    this.emit('commit')
    this.removeAllListeners()
    clearInterval(this.#watch)
    this.#db.close()
  }
}

function closed(): OverpoolError {
  return new OverpoolError('CLOSED', 'the machine is closed')
}
