import { type Cursor, type DeadLetter, NO_CURSOR, type Progress } from '../progress.ts'
import type { SqliteFile } from './file.ts'

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

  constructor(file: SqliteFile) {
    this.#file = file
    file.exec(SCHEMA)
    file.addColumn('cursors', 'begun', 'INTEGER')
    file.addColumn('cursors', 'redriveSome', 'INTEGER')
    file.addColumn('cursors', 'paused', 'TEXT')
    file.addColumn('cursors', 'pausedAt', 'INTEGER')
    file.addColumn('dead', 'asked', 'INTEGER')
  }

  async readCursor(handler: string, pool: string): Promise<Cursor> {
    const sql =
      'SELECT seq, block, attempts, begun, stopped, nullif(redrive, 0) AS redrive, redriveSome, paused, pausedAt FROM cursors WHERE handler = ? AND pool = ?'
    const row = this.#file.get<Nullable<Cursor>>(sql, handler, pool)
    return row ? said(row) : NO_CURSOR
  }

  async writeCursor(handler: string, pool: string, { seq, block, attempts, begun, stopped }: Cursor): Promise<void> {
    await this.#file.write(
      () =>
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
        ),
      'ordered',
    )
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

  async putDead(handler: string, pool: string, { seq, block, error, attempts, at, asked }: DeadLetter): Promise<void> {
    const sql = 'INSERT OR REPLACE INTO dead (handler, pool, seq, block, error, attempts, at, asked) VALUES (?, ?, ?, ?, ?, ?, ?, ?)'
    await this.#file.write(() => this.#file.run(sql, handler, pool, seq, block, error, attempts, at, asked ?? null))
  }

  async listDead(handler: string, pool: string): Promise<DeadLetter[]> {
    const sql = 'SELECT seq, block, error, attempts, at, asked FROM dead WHERE handler = ? AND pool = ? ORDER BY seq'
    return this.#file.all<Nullable<DeadLetter>>(sql, handler, pool).map(said)
  }

  async deleteDead(handler: string, pool: string, seq: number): Promise<void> {
    await this.#file.write(() => this.#file.run('DELETE FROM dead WHERE handler = ? AND pool = ? AND seq = ?', handler, pool, seq))
  }
}
