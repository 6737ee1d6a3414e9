import { setImmediate as turn } from 'node:timers/promises'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { OverpoolError } from '../errors.ts'
import { type Block, entryReader } from '../ledger/block.ts'
import type { Entry } from '../ledger/entry.ts'
import { scanTransaction } from '../transaction/index.ts'
import {
  AS_JSON,
  type Cursor,
  type DeadLetter,
  lengthOf,
  MAX_RECEIPTS,
  type Mirror,
  NO_CURSOR,
  PAGE_BYTES,
  type PoolControl,
  type PoolPatch,
  type Receipt,
} from './port.ts'
import type { SqliteStore } from './sqlite-file.ts'

interface Place {
  seq: number
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS pools (
    path TEXT PRIMARY KEY, key TEXT NOT NULL, discoveryKey TEXT NOT NULL, createdAt INTEGER NOT NULL, checkpoint INTEGER NOT NULL DEFAULT 0,
    coreLength INTEGER NOT NULL DEFAULT 0, treeHash TEXT, prunedBefore INTEGER NOT NULL DEFAULT 0, halted TEXT,
    wanted TEXT, rebuild TEXT, network TEXT, signed TEXT, begins TEXT);
  CREATE TABLE IF NOT EXISTS blocks (pool TEXT NOT NULL, n INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, bytes BLOB NOT NULL);
  CREATE UNIQUE INDEX IF NOT EXISTS blocks_n ON blocks (pool, n, first);
  CREATE INDEX IF NOT EXISTS blocks_first ON blocks (pool, first);
  CREATE TABLE IF NOT EXISTS receipts (pool INTEGER NOT NULL, key INTEGER NOT NULL, id INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (pool, key, id, seq)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS cursors (
    handler TEXT NOT NULL, pool TEXT NOT NULL, seq INTEGER NOT NULL DEFAULT -1, block INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    stopped TEXT, redrive INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (handler, pool));
  CREATE TABLE IF NOT EXISTS dead (
    handler TEXT NOT NULL, pool TEXT NOT NULL, seq INTEGER NOT NULL, block INTEGER NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (handler, pool, seq));
  CREATE TABLE IF NOT EXISTS leases (shard TEXT PRIMARY KEY, owner TEXT NOT NULL, until INTEGER NOT NULL);
`

/** The block that was read last for one call: what is looked for together mostly lies together. */
interface Read {
  block?: Block
  entry?: (i: number) => Entry | undefined
}

/** Receipts that are looked for by one statement. */
const AT_ONCE = 32
const PLACES_OF_ONE = placesOf(1)
const PLACES_OF_MANY = placesOf(AT_ONCE)

function placesOf(count: number): string {
  const values = new Array(count).fill('(?, ?, ?)').join(', ')
  return `WITH wanted (i, key, id) AS (VALUES ${values}) SELECT i, seq FROM wanted CROSS JOIN receipts r ON r.pool = ? AND r.key = wanted.key AND r.id = wanted.id`
}

/** A block of fewer bytes is written as it is: compressed it would be hardly smaller. */
const COMPRESS_BYTES = 1_024
/** A zstd frame begins with these bytes (RFC 8878). No block does, since a block is a map in CBOR. */
const ZSTD_MAGIC = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)
const ZSTD_LEVEL = 1

/**
 * The mirror in the machine's SQLite file. A block is compressed there where that makes it smaller. A receipt is kept as 48 bits of its key, 48 of its id and the sequence number, and is
 * checked against the block it points to: the block holds the whole truth already, and a small index stays fast when it grows.
 */
export class SqliteMirror implements Mirror {
  readonly #store: SqliteStore
  readonly #now: () => number
  readonly #poolNumbers = new Map<string, number>()

  constructor(store: SqliteStore, now: () => number = Date.now) {
    this.#store = store
    this.#now = now
    store.exec(SCHEMA)
  }

  putBlock(pool: string, block: Block): Promise<Block> {
    return this.#store.write(() => this.#put(pool, block))
  }

  putBlocks(pool: string, blocks: Block[]): Promise<Block[]> {
    return this.#store.write(() => blocks.map((block) => this.#put(pool, block)))
  }

  #put(pool: string, block: Block): Block {
    const stands = this.#block('n = ?', pool, block.n)
    if (stands) return stands
    this.#store.run('INSERT INTO blocks VALUES (?, ?, ?, ?, ?)', pool, block.n, block.first, block.count, compressed(block))
    return block
  }

  async readBlocks(pool: string, from: number, limit = 64): Promise<Block[]> {
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

  async lastBlock(pool: string): Promise<Block | undefined> {
    return whole(this.#store.get<Block>('SELECT n, first, count, bytes FROM blocks WHERE pool = ? ORDER BY n DESC LIMIT 1', pool))
  }

  async findBlock(pool: string, seq: number): Promise<Block | undefined> {
    return this.#holding(pool, seq)
  }

  #holding(pool: string, seq: number): Block | undefined {
    const block = this.#store.get<Block>(
      'SELECT n, first, count, bytes FROM blocks WHERE pool = ? AND first <= ? ORDER BY first DESC, n DESC LIMIT 1',
      pool,
      seq,
    )
    return block && seq < block.first + block.count ? whole(block) : undefined
  }

  #block(where: string, pool: string, value: number): Block | undefined {
    return whole(this.#store.get<Block>(`SELECT n, first, count, bytes FROM blocks WHERE pool = ? AND ${where}`, pool, value))
  }

  async putReceipts(pool: string, receipts: Receipt[]): Promise<void> {
    // sorted, so that neighbours go into the same page of the index
    const rows = receipts.map(({ key, id, seq }) => ({ key: prefixOf(key), id: prefixOf(id), seq })).sort((a, b) => a.key - b.key)
    const number = this.#poolNumber(pool)
    if (number < 0) throw new OverpoolError('POOL_NOT_FOUND', `no pool named "${pool}" in this mirror`)
    await this.#store.write(() => {
      for (const { key, id, seq } of rows) this.#store.run('INSERT OR IGNORE INTO receipts VALUES (?, ?, ?, ?)', number, key, id, seq)
    }, 'ordered')
  }

  async findReceipts(pool: string, wanted: (Pick<Receipt, 'key' | 'id'> | Receipt)[]): Promise<(Receipt | undefined)[]> {
    const number = this.#poolNumber(pool)
    const found = new Array<Receipt | undefined>(wanted.length)
    const read: Read = {}
    // In the order of the entries, so that each block is read once.
    for (const { i, seq } of this.#places(number, wanted).sort((a, b) => a.seq - b.seq)) {
      if (found[i]) continue
      const asked = wanted[i]!
      // Who asks has read this very entry: its block need not be read again to see that the receipt is its own.
      if ('seq' in asked && asked.seq === seq) {
        found[i] = asked
        continue
      }
      const receipt = this.#completed(pool, asked.key, seq, read)
      if (receipt?.id === asked.id) found[i] = receipt
    }
    return found
  }

  /** Where receipts that begin like these point to. Many are looked for by one statement: calling it costs more than the look-up. */
  #places(pool: number, wanted: Pick<Receipt, 'key' | 'id'>[]): (Place & { i: number })[] {
    const values = wanted.map(({ key, id }, i) => [i, prefixOf(key), prefixOf(id)] as const)
    const whole = values.length - (values.length % AT_ONCE)
    const places = values.slice(whole).flatMap((value) => this.#store.all<Place & { i: number }>(PLACES_OF_ONE, ...value, pool))
    for (let from = 0; from < whole; from += AT_ONCE)
      places.push(...this.#store.all<Place & { i: number }>(PLACES_OF_MANY, ...values.slice(from, from + AT_ONCE).flat(), pool))
    return places
  }

  async receiptsOf(pool: string, txid: string): Promise<Receipt[]> {
    const places = this.#store.all<Place>(
      'SELECT seq FROM receipts WHERE pool = ? AND key = ? ORDER BY seq LIMIT ?',
      this.#poolNumber(pool),
      prefixOf(txid),
      MAX_RECEIPTS,
    )
    const read: Read = {}
    return places.flatMap(({ seq }) => this.#completed(pool, txid, seq, read) ?? [])
  }

  /** The receipt of the entry at this place, if its key is the whole one and not only begins like it. */
  #completed(pool: string, key: string, seq: number, read: Read): Receipt | undefined {
    if (!read.block || seq < read.block.first || seq >= read.block.first + read.block.count) {
      read.block = this.#holding(pool, seq)
      read.entry = read.block && entryReader(read.block)
    }
    const { block } = read
    const entry = block && read.entry!(seq - block.first)
    if (!entry) return undefined
    const { txid } = scanTransaction(entry.tx)
    return txid === key || entry.id === key ? { key, id: entry.id, txid, seq, block: block.n } : undefined
  }

  /** The row number of a pool: a receipt carries it instead of the name. */
  #poolNumber(pool: string): number {
    let number = this.#poolNumbers.get(pool)
    if (number === undefined) {
      number = this.#store.get<{ rowid: number }>('SELECT rowid FROM pools WHERE path = ?', pool)?.rowid ?? -1
      if (number >= 0) this.#poolNumbers.set(pool, number)
    }
    return number
  }

  createPool(pool: Pick<PoolControl, 'path' | 'key' | 'discoveryKey' | 'createdAt'>): Promise<PoolControl> {
    return this.#store.write(() => {
      this.#store.run(
        'INSERT OR IGNORE INTO pools (path, key, discoveryKey, createdAt) VALUES (?, ?, ?, ?)',
        pool.path,
        pool.key,
        pool.discoveryKey,
        pool.createdAt,
      )
      return this.#pool(pool.path)!
    })
  }

  async readPool(path: string): Promise<PoolControl | undefined> {
    return this.#pool(path)
  }

  #pool(path: string): PoolControl | undefined {
    const row = this.#store.get('SELECT * FROM pools WHERE path = ?', path)
    return row && poolOf(row)
  }

  async listPools(): Promise<PoolControl[]> {
    return this.#store.all('SELECT * FROM pools ORDER BY path').map(poolOf)
  }

  async updatePool(path: string, patch: PoolPatch): Promise<void> {
    await this.#store.write(() => {
      const isBehind = patch.coreLength !== undefined && patch.coreLength < (this.#pool(path)?.coreLength ?? 0)
      for (const [field, value] of Object.entries(patch)) {
        if (isBehind && (field === 'coreLength' || field === 'treeHash')) continue // the tree hash goes with its length
        const next = field === 'checkpoint' ? `max(${field}, ?)` : '?'
        this.#store.run(`UPDATE pools SET ${field} = ${next} WHERE path = ?`, columnOf(value), path)
      }
    })
  }

  async beginAnew(path: string, last: Block | undefined): Promise<void> {
    const { blocks, entries } = lengthOf(last)
    await this.#store.write(() => {
      this.#store.run('DELETE FROM dead WHERE pool = ? AND seq >= ?', path, entries)
      this.#store.run(
        'UPDATE cursors SET seq = ?, block = ?, attempts = 0, stopped = NULL WHERE pool = ? AND seq >= ?',
        entries - 1,
        blocks,
        path,
        entries,
      )
      const sql =
        'UPDATE pools SET rebuild = NULL, treeHash = NULL, coreLength = 0, checkpoint = min(checkpoint, ?), prunedBefore = min(prunedBefore, ?) WHERE path = ?'
      this.#store.run(sql, blocks, entries, path)
    })
  }

  async readCursor(handler: string, pool: string): Promise<Cursor> {
    const row = this.#store.get<{ seq: number; block: number; attempts: number; stopped: string | null; redrive: number }>(
      'SELECT seq, block, attempts, stopped, redrive FROM cursors WHERE handler = ? AND pool = ?',
      handler,
      pool,
    )
    if (!row) return NO_CURSOR
    const { stopped, redrive, ...cursor } = row
    return { ...cursor, ...(stopped !== null && { stopped }), ...(redrive && { redrive }) }
  }

  async writeCursor(handler: string, pool: string, { seq, block, attempts, stopped }: Cursor): Promise<void> {
    await this.#store.write(
      () =>
        this.#store.run(
          `INSERT INTO cursors (handler, pool, seq, block, attempts, stopped) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET seq = excluded.seq, block = excluded.block, attempts = excluded.attempts, stopped = excluded.stopped WHERE excluded.seq >= seq`,
          handler,
          pool,
          seq,
          block,
          attempts,
          stopped ?? null,
        ),
      'ordered',
    )
  }

  async askRedrive(handler: string, pool: string, at: number): Promise<void> {
    await this.#store.write(() =>
      this.#store.run(
        'INSERT INTO cursors (handler, pool, redrive) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET redrive = max(redrive, excluded.redrive)',
        handler,
        pool,
        at,
      ),
    )
  }

  async endRedrive(handler: string, pool: string, at: number): Promise<void> {
    await this.#store.write(() =>
      this.#store.run('UPDATE cursors SET redrive = 0 WHERE handler = ? AND pool = ? AND redrive <= ?', handler, pool, at),
    )
  }

  async listHandlers(pool: string): Promise<string[]> {
    return this.#store
      .all<{ handler: string }>('SELECT handler FROM cursors WHERE pool = ? ORDER BY handler', pool)
      .map(({ handler }) => handler)
  }

  async putDead(handler: string, pool: string, { seq, block, error, attempts, at }: DeadLetter): Promise<void> {
    await this.#store.write(() =>
      this.#store.run('INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?)', handler, pool, seq, block, error, attempts, at),
    )
  }

  async listDead(handler: string, pool: string): Promise<DeadLetter[]> {
    return this.#store.all(
      'SELECT seq, block, error, attempts, at FROM dead WHERE handler = ? AND pool = ? ORDER BY seq',
      handler,
      pool,
    ) as unknown as DeadLetter[]
  }

  async deleteDead(handler: string, pool: string, seq: number): Promise<void> {
    await this.#store.write(() => this.#store.run('DELETE FROM dead WHERE handler = ? AND pool = ? AND seq = ?', handler, pool, seq))
  }

  takeLease(shard: string, owner: string, ms: number): Promise<boolean> {
    return this.#store.write(() => {
      const now = this.#now()
      const sql =
        'INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE owner = excluded.owner OR until <= ?'
      return this.#store.run(sql, shard, owner, now + ms, now) > 0
    })
  }

  async releaseLease(shard: string, owner: string): Promise<void> {
    await this.#store.write(() => this.#store.run('DELETE FROM leases WHERE shard = ? AND owner = ?', shard, owner))
  }

  async close(): Promise<void> {} // the store belongs to who opened it
}

/** The bytes of a block as they are written. */
function compressed({ count, bytes }: Block): Uint8Array {
  if (!count || bytes.length < COMPRESS_BYTES) return bytes
  const frame = zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } })
  return frame.length < bytes.length ? frame : bytes
}

/** A block as it was before it was compressed. */
function whole<T extends Block | undefined>(block: T): T {
  // What a peer signed that is no block (count 0) may begin in any way, and is never compressed.
  if (!block?.count || !isFrame(block.bytes)) return block
  try {
    return { ...block, bytes: zstdDecompressSync(block.bytes, { chunkSize: 2 * block.bytes.length }) } // which it mostly fits into
  } catch {
    return block // damaged: whoever decodes it says so, and says which block it is
  }
}

function isFrame(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, ZSTD_MAGIC.length), ZSTD_MAGIC) === 0
}

/** The first 48 bits of a key: the most that a JavaScript number and six bytes of SQLite hold exactly. */
function prefixOf(key: string): number {
  return Number.parseInt(key.slice(0, 12), 16)
}

function columnOf(value: PoolPatch[keyof PoolPatch]): string | number | null {
  return typeof value === 'object' || typeof value === 'boolean' ? JSON.stringify(value) : (value ?? null)
}

function poolOf(row: object): PoolControl {
  const present = Object.entries(row).filter(([, value]) => value !== null)
  return Object.fromEntries(
    present.map(([field, value]) => [field, AS_JSON.has(field) ? JSON.parse(value) : value]),
  ) as unknown as PoolControl
}
