import type { Clock } from '../../clock.ts'
import { type Leases, OthersLeases, type StoredLease } from '../leases.ts'
import type { SqliteFile } from './file.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS leases (shard TEXT PRIMARY KEY, owner TEXT NOT NULL, until INTEGER NOT NULL);
`

/** Leases as rows. */
export class SqliteLeases implements Leases {
  readonly #file: SqliteFile
  readonly #clock: Clock
  readonly #others: OthersLeases

  constructor(file: SqliteFile, clock: Clock) {
    this.#file = file
    this.#clock = clock
    this.#others = new OthersLeases(clock.elapsed)
    file.exec(SCHEMA)
  }

  take(shard: string, owner: string, ms: number): Promise<boolean> {
    return this.#file.write(() => {
      const stands = this.#file.get<StoredLease>('SELECT owner, until FROM leases WHERE shard = ?', shard)
      if (stands && stands.owner !== owner && !this.#others.hasStood(shard, stands, ms)) return false
      return this.#file.run('INSERT OR REPLACE INTO leases VALUES (?, ?, ?)', shard, owner, this.#clock.now() + ms) > 0
    })
  }

  async release(shard: string, owner: string): Promise<void> {
    await this.#file.write(() => this.#file.run('DELETE FROM leases WHERE shard = ? AND owner = ?', shard, owner))
  }
}
