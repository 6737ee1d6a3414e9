import { type Cursor, type DeadLetter, NO_CURSOR, type Progress } from '../progress.ts'
import type { SqliteFile } from './file.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS cursors (
    handler TEXT NOT NULL, pool TEXT NOT NULL, seq INTEGER NOT NULL DEFAULT -1, block INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    begun INTEGER, stopped TEXT, redrive INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (handler, pool));
  CREATE TABLE IF NOT EXISTS dead (
    handler TEXT NOT NULL, pool TEXT NOT NULL, seq INTEGER NOT NULL, block INTEGER NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (handler, pool, seq));
`

/** Cursors and dead letters as rows. */
export class SqliteProgress implements Progress {
  readonly #file: SqliteFile

  constructor(file: SqliteFile) {
    this.#file = file
    file.exec(SCHEMA)
    file.addColumn('cursors', 'begun', 'INTEGER')
  }

  async readCursor(handler: string, pool: string): Promise<Cursor> {
    const row = this.#file.get<{
      seq: number
      block: number
      attempts: number
      begun: number | null
      stopped: string | null
      redrive: number
    }>('SELECT seq, block, attempts, begun, stopped, redrive FROM cursors WHERE handler = ? AND pool = ?', handler, pool)
    if (!row) return NO_CURSOR
    const { begun, stopped, redrive, ...cursor } = row
    return { ...cursor, ...(begun !== null && { begun }), ...(stopped !== null && { stopped }), ...(redrive && { redrive }) }
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

  async askRedrive(handler: string, pool: string, at: number): Promise<void> {
    await this.#file.write(() =>
      this.#file.run(
        'INSERT INTO cursors (handler, pool, redrive) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET redrive = max(redrive, excluded.redrive)',
        handler,
        pool,
        at,
      ),
    )
  }

  async endRedrive(handler: string, pool: string, at: number): Promise<void> {
    await this.#file.write(() =>
      this.#file.run('UPDATE cursors SET redrive = 0 WHERE handler = ? AND pool = ? AND redrive <= ?', handler, pool, at),
    )
  }

  async listHandlers(pool: string): Promise<string[]> {
    return this.#file
      .all<{ handler: string }>('SELECT handler FROM cursors WHERE pool = ? ORDER BY handler', pool)
      .map(({ handler }) => handler)
  }

  async putDead(handler: string, pool: string, { seq, block, error, attempts, at }: DeadLetter): Promise<void> {
    await this.#file.write(() =>
      this.#file.run('INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?)', handler, pool, seq, block, error, attempts, at),
    )
  }

  async listDead(handler: string, pool: string): Promise<DeadLetter[]> {
    return this.#file.all(
      'SELECT seq, block, error, attempts, at FROM dead WHERE handler = ? AND pool = ? ORDER BY seq',
      handler,
      pool,
    ) as unknown as DeadLetter[]
  }

  async deleteDead(handler: string, pool: string, seq: number): Promise<void> {
    await this.#file.write(() => this.#file.run('DELETE FROM dead WHERE handler = ? AND pool = ? AND seq = ?', handler, pool, seq))
  }
}
