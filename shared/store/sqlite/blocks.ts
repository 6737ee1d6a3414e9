import { setImmediate as turn } from 'node:timers/promises'
import zlib from 'node:zlib' // not by name: on a Node without zstd such an import fails before the sentence that Node is too old
import type { OverpoolError } from '../../errors.ts'
import { type Block, LOST } from '../../ledger/block.ts'
import { type Blocks, PAGE_BYTES, type StoredBlock } from '../blocks.ts'
import { checksumOf, damagedBlock, haltDamaged } from '../checksum.ts'
import type { Control } from '../control.ts'
import type { SqliteFile } from './file.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS blocks (pool TEXT NOT NULL, n INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, bytes BLOB NOT NULL, checksum INTEGER);
  CREATE UNIQUE INDEX IF NOT EXISTS blocks_n ON blocks (pool, n, first);
  CREATE INDEX IF NOT EXISTS blocks_first ON blocks (pool, first);
  CREATE TABLE IF NOT EXISTS damaged (pool TEXT NOT NULL, n INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, bytes BLOB NOT NULL, checksum INTEGER, PRIMARY KEY (pool, n));
`
const SELECT = 'SELECT n, first, count, bytes, checksum FROM blocks WHERE pool = ?'

/** A block as it lies in the file. An earlier version wrote no checksum. */
interface Row extends Block {
  checksum: number | null
}

const INSERT = 'INSERT INTO blocks (pool, n, first, count, bytes, checksum) VALUES (?, ?, ?, ?, ?, ?)'

const SET_ASIDE =
  'INSERT OR REPLACE INTO damaged SELECT pool, n, first, count, bytes, checksum FROM blocks WHERE pool = ? AND n = ? AND bytes != ?'

/** A smaller block is written as it is: compression would hardly make it smaller. */
const COMPRESS_BYTES = 1_024
/** A zstd frame begins with these bytes (RFC 8878). No block does, since a block is a map in CBOR. */
const ZSTD_MAGIC = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)
const ZSTD_LEVEL = 1

/** Blocks as rows, compressed where that makes them smaller. */
export class SqliteBlocks implements Blocks {
  readonly #file: SqliteFile
  readonly #control: Control

  constructor(file: SqliteFile, control: Control) {
    this.#file = file
    this.#control = control
    file.exec(SCHEMA)
    file.addColumn('blocks', 'checksum', 'INTEGER')
  }

  put(pool: string, block: Block): Promise<Block> {
    return this.#file.writeNow(() => this.#insert(pool, block)) // the writer has gathered posts already
  }

  putAll(pool: string, blocks: Block[]): Promise<Block[]> {
    return this.#file.write(() => blocks.map((block) => this.#insert(pool, block)))
  }

  #insert(pool: string, block: Block): Block {
    const stands = this.#block(pool, block.n)
    if (stands) return stands
    this.#write(pool, block)
    return block
  }

  #write(pool: string, block: Block): void {
    const { n, first, count } = block
    const bytes = compressed(block)
    this.#file.run(INSERT, pool, n, first, count, bytes, checksumOf(pool, block, bytes))
  }

  async read(pool: string, from: number, limit = 64): Promise<Block[]> {
    const blocks: Block[] = []
    for (let n = from, bytes = 0; n < from + limit && bytes < PAGE_BYTES; n++) {
      const row = this.#file.get<Row>(`${SELECT} AND n = ?`, pool, n)
      const found = row && wholeBytes(pool, row)
      if (!row || (!found && blocks.length)) break
      const block = this.#whole(pool, row, found)
      blocks.push(block)
      bytes += block.bytes.length
    }
    // SQLite answers at once: without this turn, a reader of a whole pool would block the event loop.
    if (blocks.length > 1) await turn()
    return blocks
  }

  async last(pool: string): Promise<Block | undefined> {
    const row = this.#file.get<Row>(`${SELECT} ORDER BY n DESC LIMIT 1`, pool)
    return row && this.#whole(pool, row)
  }

  async find(pool: string, seq: number): Promise<Block | undefined> {
    return this.holding(pool, seq)
  }

  /** The same, synchronously. */
  holding(pool: string, seq: number): Block | undefined {
    const row = this.#file.get<Row>(`${SELECT} AND first <= ? ORDER BY first DESC, n DESC LIMIT 1`, pool, seq)
    return row && seq < row.first + row.count ? this.#whole(pool, row) : undefined
  }

  #block(pool: string, n: number): Block | undefined {
    const row = this.#file.get<Row>(`${SELECT} AND n = ?`, pool, n)
    return row && this.#whole(pool, row)
  }

  /** A block with its bytes decompressed. It throws BLOCK_DAMAGED. */
  #whole(pool: string, row: Row, bytes = wholeBytes(pool, row)): Block {
    const { n, first, count } = row
    if (!bytes) throw this.damaged(pool, n)
    return { n, first, count, bytes }
  }

  damaged(pool: string, n: number, cause?: unknown): OverpoolError {
    const error = damagedBlock(pool, n, cause)
    void haltDamaged(this, this.#control, pool, n, error)
    return error
  }

  async inspect(pool: string, from: number, limit: number): Promise<StoredBlock[]> {
    const stored: StoredBlock[] = []
    let size = 0
    for (const row of this.#file.iterate<Row>(`${SELECT} AND n >= ? ORDER BY n LIMIT ?`, pool, from, limit)) {
      const { n, first, count, checksum } = row
      stored.push({ n, first, count, bytes: wholeBytes(pool, row), isChecked: checksum !== null })
      if ((size += row.bytes.length) >= PAGE_BYTES) break
    }
    await turn()
    return stored
  }

  async replace(pool: string, block: Block): Promise<void> {
    await this.#file.write(() => this.#replace(pool, block))
  }

  #replace(pool: string, block: Block): void {
    this.#file.run('DELETE FROM blocks WHERE pool = ? AND n = ?', pool, block.n)
    this.#write(pool, block)
  }

  async lose(pool: string, block: Omit<Block, 'bytes'>): Promise<string | undefined> {
    const kept = await this.#file.write(() => {
      const kept = this.#file.run(SET_ASIDE, pool, block.n, LOST)
      this.#replace(pool, { ...block, bytes: LOST })
      return kept
    })
    return kept ? `the table "damaged" of ${this.#file.path}` : undefined
  }
}

/** The bytes of a block as they are written. */
function compressed({ count, bytes }: Block): Uint8Array {
  if (!count || bytes.length < COMPRESS_BYTES) return bytes
  const frame = zlib.zstdCompressSync(bytes, { params: { [zlib.constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } })
  return frame.length < bytes.length ? frame : bytes
}

/** The bytes of a block as they were before they were written; undefined if they are damaged. */
function wholeBytes(pool: string, row: Row): Uint8Array | undefined {
  const { count, bytes, checksum } = row
  if (checksum !== null && checksum !== checksumOf(pool, row, bytes)) return undefined
  // An invalid block of a peer (count 0) may begin with any bytes, and is never compressed.
  if (!count || !isFrame(bytes)) return bytes
  try {
    return zlib.zstdDecompressSync(bytes, { chunkSize: 2 * bytes.length }) // usually large enough for the result
  } catch {
    return undefined
  }
}

function isFrame(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, ZSTD_MAGIC.length), ZSTD_MAGIC) === 0
}
