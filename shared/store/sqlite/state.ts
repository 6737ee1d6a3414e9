import type { JournalChange, JournalPage, State, StateChange, StateCommit, StateRange, StateValue } from '../state.ts'
import type { SqliteFile } from './file.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS state (
    handler TEXT NOT NULL, scope TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (handler, scope, key)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS state_scopes (
    handler TEXT NOT NULL, scope TEXT NOT NULL, version INTEGER NOT NULL, changes INTEGER NOT NULL, PRIMARY KEY (handler, scope)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS state_journal (
    handler TEXT NOT NULL, scope TEXT NOT NULL, n INTEGER NOT NULL, version INTEGER NOT NULL, pool TEXT NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL, before BLOB, after BLOB,
    height INTEGER, block_hash TEXT, undoes TEXT, PRIMARY KEY (handler, scope, n)) WITHOUT ROWID;
`
/** Changes that a page of the journal holds. */
const PAGE = 256
/** The journal keeps the changes of so many entries at least, and of so many blocks of the chain. */
const KEPT_ENTRIES = 10_000
const KEPT_BLOCKS = 100
/** The journal is shortened when so many changes were added. */
const SHORTENED_EVERY = 1_024

interface Row {
  n: number
  version: number
  pool: string
  seq: number
  key: string
  before: Uint8Array | null
  after: Uint8Array | null
  height: number | null
  block_hash: string | null
  undoes: string | null
}

/** Values as rows; a commit changes them and the cursor in one transaction (`SqliteProgress.commit`). */
export class SqliteState implements State {
  readonly commitBytes = 1024 * 1024
  readonly maxBytes = Number.POSITIVE_INFINITY
  readonly #file: SqliteFile

  constructor(file: SqliteFile) {
    this.#file = file
    file.exec(SCHEMA)
  }

  async open(handler: string, scope: string): Promise<number> {
    return this.version(handler, scope)
  }

  async look(handler: string, scope: string): Promise<{ version: number; unfinished: StateChange[] }> {
    return { version: this.version(handler, scope), unfinished: [] }
  }

  version(handler: string, scope: string): number {
    return this.#scope(handler, scope)?.version ?? 0
  }

  #scope(handler: string, scope: string): { version: number; changes: number } | undefined {
    return this.#file.get('SELECT version, changes FROM state_scopes WHERE handler = ? AND scope = ?', handler, scope)
  }

  async get(handler: string, scope: string, key: string): Promise<Uint8Array | undefined> {
    return this.#file.get<{ value: Uint8Array }>('SELECT value FROM state WHERE handler = ? AND scope = ? AND key = ?', handler, scope, key)
      ?.value
  }

  async list(handler: string, scope: string, { prefix = '', after = '', limit }: StateRange): Promise<StateValue[]> {
    const found: StateValue[] = []
    const rows = this.#file.iterate<{ key: string; value: Uint8Array }>(
      'SELECT key, value FROM state WHERE handler = ? AND scope = ? AND key > ? AND key >= ? ORDER BY key LIMIT ?',
      handler,
      scope,
      after,
      prefix,
      limit,
    )
    for (const { key, value } of rows) {
      if (!key.startsWith(prefix)) break // the keys with this prefix stand together
      found.push({ key, value })
    }
    return found
  }

  async journal(handler: string, scope: string, page?: string): Promise<JournalPage> {
    const rows = this.#file.all<Row>(
      'SELECT n, version, pool, seq, key, before, after, height, block_hash, undoes FROM state_journal WHERE handler = ? AND scope = ? AND n < ? ORDER BY n DESC LIMIT ?',
      handler,
      scope,
      page === undefined ? Number.MAX_SAFE_INTEGER : Number(page),
      PAGE,
    )
    return { changes: rows.map(changeOf), isFirst: rows.at(-1)?.n === 0, ...(rows.length === PAGE && { next: String(rows.at(-1)!.n) }) }
  }

  /** Changes the values. Only inside a transaction. */
  change(handler: string, { scope, version, changes }: StateCommit): void {
    const last = this.#scope(handler, scope)?.changes ?? 0
    for (const [i, change] of changes.entries()) this.#note(handler, scope, last + i, { ...change, version: version + 1 })
    for (const [key, value] of new Map(changes.map(({ key, after }) => [key, after]))) {
      if (value) this.#file.run('INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)', handler, scope, key, value)
      else this.#file.run('DELETE FROM state WHERE handler = ? AND scope = ? AND key = ?', handler, scope, key)
    }
    const all = last + changes.length
    this.#file.run('INSERT OR REPLACE INTO state_scopes VALUES (?, ?, ?, ?)', handler, scope, version + 1, all)
    if (Math.floor(last / SHORTENED_EVERY) !== Math.floor(all / SHORTENED_EVERY)) this.#shorten(handler, scope, changes.at(-1)!)
  }

  #note(
    handler: string,
    scope: string,
    n: number,
    { version, pool, seq, key, before, after, height, blockHash, undoes }: JournalChange,
  ): void {
    this.#file.run(
      'INSERT INTO state_journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      handler,
      scope,
      n,
      version,
      pool,
      seq,
      key,
      before ?? null,
      after ?? null,
      height ?? null,
      blockHash ?? null,
      undoes ? JSON.stringify(undoes) : null,
    )
  }

  /** Forgets the changes of old entries that no reorganisation of `KEPT_BLOCKS` takes back. */
  #shorten(handler: string, scope: string, { pool, seq }: StateChange): void {
    const of = [handler, scope] as const
    const first = (where: string, ...values: (string | number)[]) =>
      this.#file.get<{ n: number | null }>(
        `SELECT min(n) AS n FROM state_journal WHERE handler = ? AND scope = ? AND ${where}`,
        ...of,
        ...values,
      )?.n
    const tip = this.#file.get<{ height: number | null }>(
      'SELECT max(height) AS height FROM state_journal WHERE handler = ? AND scope = ?',
      ...of,
    )?.height
    const ofEntries = first('pool = ? AND seq > ?', pool, seq - KEPT_ENTRIES)
    const ofBlocks = typeof tip === 'number' ? first('height > ?', tip - KEPT_BLOCKS) : undefined
    const from = Math.min(ofEntries ?? 0, ofBlocks ?? Number.MAX_SAFE_INTEGER)
    this.#file.run('DELETE FROM state_journal WHERE handler = ? AND scope = ? AND n < ?', ...of, from)
  }
}

function changeOf({ version, pool, seq, key, before, after, height, block_hash, undoes }: Row): JournalChange {
  return {
    version,
    pool,
    seq,
    key,
    before: before ?? undefined,
    after: after ?? undefined,
    ...(height !== null && { height }),
    ...(block_hash !== null && { blockHash: block_hash }),
    ...(undoes !== null && { undoes: JSON.parse(undoes) as string[] }),
  }
}
