import type { Leases } from '../leases.ts'
import type { SqliteFile } from './file.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS leases (shard TEXT PRIMARY KEY, owner TEXT NOT NULL, until INTEGER NOT NULL);
`

/** Leases as rows. */
export class SqliteLeases implements Leases {
  readonly #file: SqliteFile
  readonly #now: () => number

  constructor(file: SqliteFile, now: () => number) {
    this.#file = file
    this.#now = now
    file.exec(SCHEMA)
  }

  take(shard: string, owner: string, ms: number): Promise<boolean> {
    return this.#file.write(() => {
      const now = this.#now()
      const sql =
        'INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE owner = excluded.owner OR until <= ?'
      return this.#file.run(sql, shard, owner, now + ms, now) > 0
    })
  }

  async release(shard: string, owner: string): Promise<void> {
    await this.#file.write(() => this.#file.run('DELETE FROM leases WHERE shard = ? AND owner = ?', shard, owner))
  }
}
