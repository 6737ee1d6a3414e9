import { setImmediate as turn } from 'node:timers/promises'
import type { Block } from '../../ledger/block.ts'
import { type Blocks, PAGE_BYTES } from '../blocks.ts'
import type { SqliteFile } from './file.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS blocks (pool TEXT NOT NULL, n INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, bytes BLOB NOT NULL);
  CREATE UNIQUE INDEX IF NOT EXISTS blocks_n ON blocks (pool, n, first);
  CREATE INDEX IF NOT EXISTS blocks_first ON blocks (pool, first);
`

/** Blocks as rows. */
export class SqliteBlocks implements Blocks {
  readonly #file: SqliteFile

  constructor(file: SqliteFile) {
    this.#file = file
    file.exec(SCHEMA)
  }

  put(pool: string, block: Block): Promise<Block> {
    return this.#file.writeNow(() => this.#insert(pool, block)) // the writer has gathered
  }

  putAll(pool: string, blocks: Block[]): Promise<Block[]> {
    return this.#file.write(() => blocks.map((block) => this.#insert(pool, block)))
  }

  #insert(pool: string, block: Block): Block {
    const stands = this.#block('n = ?', pool, block.n)
    if (stands) return stands
    this.#file.run('INSERT INTO blocks VALUES (?, ?, ?, ?, ?)', pool, block.n, block.first, block.count, block.bytes)
    return block
  }

  async read(pool: string, from: number, limit = 64): Promise<Block[]> {
    const blocks: Block[] = []
    for (let n = from, bytes = 0; n < from + limit && bytes < PAGE_BYTES; n++) {
      const block = this.#block('n = ?', pool, n)
      if (!block) break
      blocks.push(block)
      bytes += block.bytes.length
    }
    // Who reads a whole pool, page after page, would let nobody else have a turn meanwhile: SQLite answers at once.
    if (blocks.length > 1) await turn()
    return blocks
  }

  async last(pool: string): Promise<Block | undefined> {
    return this.#file.get<Block>('SELECT n, first, count, bytes FROM blocks WHERE pool = ? ORDER BY n DESC LIMIT 1', pool)
  }

  async find(pool: string, seq: number): Promise<Block | undefined> {
    return this.holding(pool, seq)
  }

  /** The same, at once. */
  holding(pool: string, seq: number): Block | undefined {
    const block = this.#file.get<Block>(
      'SELECT n, first, count, bytes FROM blocks WHERE pool = ? AND first <= ? ORDER BY first DESC, n DESC LIMIT 1',
      pool,
      seq,
    )
    return block && seq < block.first + block.count ? block : undefined
  }

  #block(where: string, pool: string, value: number): Block | undefined {
    return this.#file.get<Block>(`SELECT n, first, count, bytes FROM blocks WHERE pool = ? AND ${where}`, pool, value)
  }
}
