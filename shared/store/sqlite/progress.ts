import { type Cursor, type DeadLetter, type Move, NO_CURSOR, type Progress } from '../progress.ts'
import type { StateCommit } from '../state.ts'
import type { SqliteFile } from './file.ts'
import type { SqliteState } from './state.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS cursors (
    handler TEXT NOT NULL, pool TEXT NOT NULL, seq INTEGER NOT NULL DEFAULT -1, block INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    begun INTEGER, stopped TEXT, redrive INTEGER NOT NULL DEFAULT 0, redriveSome INTEGER, paused TEXT, pausedAt INTEGER, PRIMARY KEY (handler, pool));
  CREATE TABLE IF NOT EXISTS dead (
    handler TEXT NOT NULL, pool TEXT NOT NULL, seq INTEGER NOT NULL, block INTEGER NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL, at INTEGER NOT NULL,
    asked INTEGER, PRIMARY KEY (handler, pool, seq));
`

type Nullable<T> = { [Field in keyof T]-?: T[Field] | null }

/** A row without the fields that say nothing. */
function said<T>(row: Nullable<T>): T {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)) as T
}

/** Cursors and dead letters as rows. */
export class SqliteProgress implements Progress {
  readonly #file: SqliteFile
  readonly #state: SqliteState

  constructor(file: SqliteFile, state: SqliteState) {
    this.#file = file
    this.#state = state
    file.exec(SCHEMA)
    file.addColumn('cursors', 'begun', 'INTEGER')
    file.addColumn('cursors', 'redriveSome', 'INTEGER')
    file.addColumn('cursors', 'paused', 'TEXT')
    file.addColumn('cursors', 'pausedAt', 'INTEGER')
    file.addColumn('dead', 'asked', 'INTEGER')
  }

  async readCursor(handler: string, pool: string): Promise<Cursor> {
    const row = this.#file.get<Nullable<Cursor>>(
      `SELECT seq, block, attempts, begun, stopped, nullif(redrive, 0) AS redrive, redriveSome, paused, pausedAt, version
       FROM cursors LEFT JOIN state_scopes ON state_scopes.handler = cursors.handler AND scope = pool WHERE cursors.handler = ? AND pool = ?`,
      handler,
      pool,
    )
    return row ? said(row) : NO_CURSOR
  }

  async writeCursor(handler: string, pool: string, cursor: Cursor): Promise<void> {
    await this.#file.write(() => this.#write(handler, pool, cursor), 'ordered')
  }

  /** Only inside a transaction. */
  #write(handler: string, pool: string, { seq, block, attempts, begun, stopped }: Cursor): void {
    this.#file.run(
      `INSERT INTO cursors (handler, pool, seq, block, attempts, begun, stopped) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET seq = excluded.seq, block = excluded.block, attempts = excluded.attempts, begun = excluded.begun, stopped = excluded.stopped WHERE excluded.seq >= seq`,
      handler,
      pool,
      seq,
      block,
      attempts,
      begun ?? null,
      stopped ?? null,
    )
  }

  async commit(handler: string, pool: string, of: Move | number | undefined, state: StateCommit): Promise<boolean> {
    return this.#file.write(() => {
      if (this.#state.version(handler, state.scope) !== state.version) return false
      if (typeof of === 'number') this.#deleteDead(handler, pool, of)
      else if (of) {
        if (this.#seq(handler, pool) !== of.from) return false
        this.#write(handler, pool, of.to)
        for (const seq of of.handled ?? []) this.#deleteDead(handler, pool, seq)
        if (of.givenUp) this.#putDead(handler, pool, of.givenUp)
      }
      this.#state.change(handler, state)
      return true
    }, 'ordered')
  }

  #seq(handler: string, pool: string): number {
    return this.#file.get<{ seq: number }>('SELECT seq FROM cursors WHERE handler = ? AND pool = ?', handler, pool)?.seq ?? -1
  }

  async askRedrive(handler: string, pool: string, at: number, seqs?: readonly number[]): Promise<void> {
    const field = seqs ? 'redriveSome' : 'redrive'
    await this.#file.write(() => {
      for (const seq of seqs ?? [])
        this.#file.run(
          'UPDATE dead SET asked = max(ifnull(asked, 0), ?) WHERE handler = ? AND pool = ? AND seq = ?',
          at,
          handler,
          pool,
          seq,
        )
      this.#file.run(
        `INSERT INTO cursors (handler, pool, ${field}) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET ${field} = max(ifnull(${field}, 0), excluded.${field})`,
        handler,
        pool,
        at,
      )
    })
  }

  async endRedrive(handler: string, pool: string, { redrive, redriveSome }: Pick<Cursor, 'redrive' | 'redriveSome'>): Promise<void> {
    await this.#file.write(() => {
      this.#file.run('UPDATE cursors SET redrive = 0 WHERE handler = ? AND pool = ? AND redrive <= ?', handler, pool, redrive ?? 0)
      this.#file.run(
        'UPDATE cursors SET redriveSome = NULL WHERE handler = ? AND pool = ? AND redriveSome <= ?',
        handler,
        pool,
        redriveSome ?? 0,
      )
    })
  }

  async setPaused(handler: string, pool: string, paused: { reason: string; at: number } | undefined): Promise<void> {
    await this.#file.write(() =>
      this.#file.run(
        `INSERT INTO cursors (handler, pool, paused, pausedAt) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET paused = excluded.paused, pausedAt = excluded.pausedAt`,
        handler,
        pool,
        paused?.reason ?? null,
        paused?.at ?? null,
      ),
    )
  }

  async listHandlers(pool: string): Promise<string[]> {
    return this.#file
      .all<{ handler: string }>('SELECT handler FROM cursors WHERE pool = ? ORDER BY handler', pool)
      .map(({ handler }) => handler)
  }

  async putDead(handler: string, pool: string, letter: DeadLetter): Promise<void> {
    await this.#file.write(() => this.#putDead(handler, pool, letter))
  }

  #putDead(handler: string, pool: string, { seq, block, error, attempts, at, asked }: DeadLetter): void {
    const sql = 'INSERT OR REPLACE INTO dead (handler, pool, seq, block, error, attempts, at, asked) VALUES (?, ?, ?, ?, ?, ?, ?, ?)'
    this.#file.run(sql, handler, pool, seq, block, error, attempts, at, asked ?? null)
  }

  async updateDead(handler: string, pool: string, { seq, error, attempts, at }: DeadLetter): Promise<void> {
    await this.#file.write(() =>
      this.#file.run(
        'UPDATE dead SET error = ?, attempts = ?, at = ? WHERE handler = ? AND pool = ? AND seq = ?',
        error,
        attempts,
        at,
        handler,
        pool,
        seq,
      ),
    )
  }

  async listDead(handler: string, pool: string): Promise<DeadLetter[]> {
    const sql = 'SELECT seq, block, error, attempts, at, asked FROM dead WHERE handler = ? AND pool = ? ORDER BY seq'
    return this.#file.all<Nullable<DeadLetter>>(sql, handler, pool).map(said)
  }

  async deleteDead(handler: string, pool: string, seq: number): Promise<void> {
    await this.#file.write(() => this.#deleteDead(handler, pool, seq))
  }

  #deleteDead(handler: string, pool: string, seq: number): void {
    this.#file.run('DELETE FROM dead WHERE handler = ? AND pool = ? AND seq = ?', handler, pool, seq)
  }
}
