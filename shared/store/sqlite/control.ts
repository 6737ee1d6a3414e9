import type { Block } from '../../ledger/block.ts'
import { lengthOf } from '../blocks.ts'
import { AS_JSON, type Control, kindByName, type NewPool, type PoolControl, type PoolPatch, STORED_NAMES } from '../control.ts'
import type { SqliteFile } from './file.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS pools (
    path TEXT PRIMARY KEY, key TEXT NOT NULL, discoveryKey TEXT NOT NULL, createdAt INTEGER NOT NULL, checkpoint INTEGER NOT NULL DEFAULT 0,
    coreLength INTEGER NOT NULL DEFAULT 0, treeHash TEXT, prunedBefore INTEGER NOT NULL DEFAULT 0, halted TEXT,
    wanted TEXT, rebuild TEXT, network TEXT, signed TEXT, begins TEXT, kind TEXT, repair TEXT, settings TEXT, hasStatuses TEXT, watch TEXT, chain TEXT);
`

/** Pools as rows. */
export class SqliteControl implements Control {
  readonly #file: SqliteFile

  constructor(file: SqliteFile) {
    this.#file = file
    file.exec(SCHEMA)
    for (const column of ['kind', 'repair', 'settings', 'hasStatuses', 'watch', 'chain']) file.addColumn('pools', column, 'TEXT')
  }

  create(pool: NewPool): Promise<PoolControl> {
    return this.#file.write(() => {
      this.#file.run(
        'INSERT OR IGNORE INTO pools (path, kind, key, discoveryKey, createdAt) VALUES (?, ?, ?, ?, ?)',
        pool.path,
        pool.kind,
        pool.key,
        pool.discoveryKey,
        pool.createdAt,
      )
      return this.#pool(pool.path)!
    })
  }

  async read(path: string): Promise<PoolControl | undefined> {
    return this.#pool(path)
  }

  #pool(path: string): PoolControl | undefined {
    const row = this.#file.get('SELECT * FROM pools WHERE path = ?', path)
    return row && poolOf(row)
  }

  async list(): Promise<PoolControl[]> {
    return this.#file.all('SELECT * FROM pools ORDER BY path').map(poolOf)
  }

  async update(path: string, patch: PoolPatch): Promise<void> {
    await this.#file.write(() => {
      const isBehind = patch.coreLength !== undefined && patch.coreLength < (this.#pool(path)?.coreLength ?? 0)
      for (const [field, value] of Object.entries(patch)) {
        if (isBehind && (field === 'coreLength' || field === 'treeHash')) continue // the tree hash goes with its length
        const column = STORED_NAMES[field as keyof PoolControl] ?? field
        const next = field === 'checkpoint' ? `max(${column}, ?)` : '?'
        this.#file.run(`UPDATE pools SET ${column} = ${next} WHERE path = ?`, columnOf(value), path)
      }
    })
  }

  async beginAnew(path: string, last: Block | undefined): Promise<void> {
    const { blocks, entries } = lengthOf(last)
    await this.#file.write(() => {
      this.#file.run('DELETE FROM dead WHERE pool = ? AND seq >= ?', path, entries)
      this.#file.run(
        'UPDATE cursors SET seq = ?, block = ?, attempts = 0, begun = NULL, stopped = NULL WHERE pool = ? AND seq >= ?',
        entries - 1,
        blocks,
        path,
        entries,
      )
      this.#file.run('DELETE FROM statuses WHERE pool = ?', path)
      const sql =
        'UPDATE pools SET rebuild = NULL, treeHash = NULL, coreLength = 0, checkpoint = iif(hasStatuses IS NULL, min(checkpoint, ?), 0), prunedBefore = min(prunedBefore, ?) WHERE path = ?'
      this.#file.run(sql, blocks, entries, path)
    })
  }
}

function columnOf(value: PoolPatch[keyof PoolPatch]): string | number | null {
  return typeof value === 'object' || typeof value === 'boolean' ? JSON.stringify(value) : (value ?? null)
}

const FIELDS = new Map(Object.entries(STORED_NAMES).map(([field, stored]) => [stored, field]))

function poolOf(row: object): PoolControl {
  const present = Object.entries(row).filter(([, value]) => value !== null)
  const fields = present.map(([column, value]) => [FIELDS.get(column) ?? column, value] as const)
  const pool = Object.fromEntries(
    fields.map(([field, value]) => [field, AS_JSON.has(field) ? JSON.parse(value) : value]),
  ) as unknown as PoolControl
  return { ...pool, kind: pool.kind ?? kindByName(pool.path) }
}
