import { setImmediate as turn } from 'node:timers/promises'
import zlib from 'node:zlib' // not by name: on a Node without zstd such an import fails before the sentence that Node is too old
import type { Block } from '../../ledger/block.ts'
import { type Blocks, PAGE_BYTES } from '../blocks.ts'
import type { SqliteFile } from './file.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS blocks (pool TEXT NOT NULL, n INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, bytes BLOB NOT NULL);
  CREATE UNIQUE INDEX IF NOT EXISTS blocks_n ON blocks (pool, n, first);
  CREATE INDEX IF NOT EXISTS blocks_first ON blocks (pool, first);
`

/** A smaller block is written as it is: compression would hardly make it smaller. */
const COMPRESS_BYTES = 1_024
/** A zstd frame begins with these bytes (RFC 8878). No block does, since a block is a map in CBOR. */
const ZSTD_MAGIC = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)
const ZSTD_LEVEL = 1

/** Blocks as rows, compressed where that makes them smaller. */
export class SqliteBlocks implements Blocks {
  readonly #file: SqliteFile

  constructor(file: SqliteFile) {
    this.#file = file
    file.exec(SCHEMA)
  }

  put(pool: string, block: Block): Promise<Block> {
    return this.#file.writeNow(() => this.#insert(pool, block)) // the writer has gathered posts already
  }

  putAll(pool: string, blocks: Block[]): Promise<Block[]> {
    return this.#file.write(() => blocks.map((block) => this.#insert(pool, block)))
  }

  #insert(pool: string, block: Block): Block {
    const stands = this.#block('n = ?', pool, block.n)
    if (stands) return stands
    this.#file.run('INSERT INTO blocks VALUES (?, ?, ?, ?, ?)', pool, block.n, block.first, block.count, compressed(block))
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
    // SQLite answers at once: without this turn, a reader of a whole pool would block the event loop.
    if (blocks.length > 1) await turn()
    return blocks
  }

  async last(pool: string): Promise<Block | undefined> {
    return whole(this.#file.get<Block>('SELECT n, first, count, bytes FROM blocks WHERE pool = ? ORDER BY n DESC LIMIT 1', pool))
  }

  async find(pool: string, seq: number): Promise<Block | undefined> {
    return this.holding(pool, seq)
  }

  /** The same, synchronously. */
  holding(pool: string, seq: number): Block | undefined {
    const block = this.#file.get<Block>(
      'SELECT n, first, count, bytes FROM blocks WHERE pool = ? AND first <= ? ORDER BY first DESC, n DESC LIMIT 1',
      pool,
      seq,
    )
    return block && seq < block.first + block.count ? whole(block) : undefined
  }

  #block(where: string, pool: string, value: number): Block | undefined {
    return whole(this.#file.get<Block>(`SELECT n, first, count, bytes FROM blocks WHERE pool = ? AND ${where}`, pool, value))
  }
}

/** The bytes of a block as they are written. */
function compressed({ count, bytes }: Block): Uint8Array {
  if (!count || bytes.length < COMPRESS_BYTES) return bytes
  const frame = zlib.zstdCompressSync(bytes, { params: { [zlib.constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } })
  return frame.length < bytes.length ? frame : bytes
}

/** A block with its bytes decompressed. */
function whole<T extends Block | undefined>(block: T): T {
  // An invalid block of a peer (count 0) may begin with any bytes, and is never compressed.
  if (!block?.count || !isFrame(block.bytes)) return block
  try {
    return { ...block, bytes: zlib.zstdDecompressSync(block.bytes, { chunkSize: 2 * block.bytes.length }) } // usually large enough for the result
  } catch {
    return block // damaged: the decoder reports it, with the number of the block
  }
}

function isFrame(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, ZSTD_MAGIC.length), ZSTD_MAGIC) === 0
}
