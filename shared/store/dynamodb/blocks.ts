import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { parallel } from '../../aws/call.ts'
import type { Blobs } from '../../blobs/port.ts'
import { OverpoolError } from '../../errors.ts'
import { type Block, LOST } from '../../ledger/block.ts'
import { type Blocks, PAGE_BYTES, type StoredBlock } from '../blocks.ts'
import { checksumOf, damagedBlock, haltDamaged } from '../checksum.ts'
import type { Control } from '../control.ts'
import { PARTITION } from './partitions.ts'
import { type Item, type Key, nothingStandsThere, number, type Table, text } from './table.ts'

/** A block of more bytes lies in S3: above 8 KiB that is cheaper, and one partition takes 1 MB of writes a second (docs/design.md, Formats). */
const INLINE_BYTES = 16 * 1024
/** Blobs that one call reads at a time. */
const WIDTH = 16

/** A block's item: the block is in it, or in a blob. An earlier version wrote no checksum; a blob's name is one. */
interface BlockItem extends Omit<Block, 'bytes'> {
  bytes?: Uint8Array
  blob?: string
  size: number
  checksum?: number
}

/** Blocks as items of `pool#<path>`, large ones as blobs that an item points to. */
export class DynamoBlocks implements Blocks {
  readonly #table: Table
  readonly #blobs: Blobs
  readonly #control: Control

  constructor(table: Table, blobs: Blobs, control: Control) {
    this.#table = table
    this.#blobs = blobs
    this.#control = control
  }

  async put(pool: string, block: Block): Promise<Block> {
    const { n, bytes } = block
    const item = await this.#itemOf(pool, block)
    if (await this.#table.put(item, nothingStandsThere)) return block
    // Another writer's block, or our own from an attempt whose answer was lost.
    const found = await this.#table.get(blockKey(pool, n))
    if (!found) throw new OverpoolError('UNAVAILABLE', `block ${n} of "${pool}" was there and is not`, { retryable: true })
    const stands = blockItemOf(found)
    const isOurs = stands.bytes ? Buffer.compare(stands.bytes, bytes) === 0 : stands.blob === item.blob?.S
    return isOurs ? block : this.#whole(pool, stands)
  }

  async #itemOf(pool: string, block: Block): Promise<Item> {
    const { n, first, count, bytes } = block
    const blob = bytes.length > INLINE_BYTES ? await this.#blobs.put(bytes) : undefined // before its item, so that an item never points to nothing
    const held: Item = blob === undefined ? { block: { B: bytes } } : { blob: text(blob), size: number(bytes.length) }
    const checksum = number(checksumOf(pool, block, bytes))
    return { ...blockKey(pool, n), ...held, first: number(first), count: number(count), checksum }
  }

  async putAll(pool: string, blocks: Block[]): Promise<Block[]> {
    const stand: Block[] = []
    for (const block of blocks) stand.push(await this.put(pool, block)) // one after another, so that no gap can appear
    return stand
  }

  async read(pool: string, from: number, limit = 64): Promise<Block[]> {
    const { Items = [] } = await this.#table.query({
      KeyConditionExpression: 'pk = :pk AND sk BETWEEN :from AND :to',
      ExpressionAttributeValues: { ':pk': poolKey(pool), ':from': blockSort(from), ':to': blockSort(from + limit - 1) },
      Limit: limit,
    })
    let bytes = 0
    const page = Items.map(blockItemOf).filter(({ n, size }, i) => n === from + i && ((bytes += size) <= PAGE_BYTES || i === 0))
    const found = await parallel(page, WIDTH, (item) => this.#bytes(pool, item))
    const damaged = found.findIndex((each) => !each)
    if (damaged === 0) throw this.damaged(pool, from)
    return page.slice(0, damaged < 0 ? undefined : damaged).map(({ n, first, count }, i) => ({ n, first, count, bytes: found[i]! }))
  }

  async last(pool: string): Promise<Block | undefined> {
    const last = await this.#lastItem(pool)
    return last && this.#whole(pool, last)
  }

  /** There is no index from entries to blocks. Their numbers grow together, so a few guesses find the block. */
  async find(pool: string, seq: number): Promise<Block | undefined> {
    const last = await this.#lastItem(pool)
    if (!last || seq >= last.first + last.count) return undefined
    if (seq >= last.first) return this.#whole(pool, last)
    let low = { n: 0, first: 0 } // no block before this one holds the entry
    let high: { n: number; first: number } = last // nor this one, or any after it
    for (let guesses = 0; low.n < high.n && seq >= low.first; guesses++) {
      // Every other guess halves the rest, however unevenly the blocks are filled.
      const share = guesses % 2 || high.first === low.first ? 0.5 : (seq - low.first) / (high.first - low.first)
      const n = Math.min(high.n - 1, low.n + Math.floor(share * (high.n - low.n)))
      const item = await this.#table.get(blockKey(pool, n))
      const guess = item && blockItemOf(item)
      if (!guess)
        low = { n: n + 1, first: low.first } // a pool may begin with a later block
      else if (seq < guess.first) high = guess
      else if (seq < guess.first + guess.count) return this.#whole(pool, guess)
      else low = { n: n + 1, first: guess.first + guess.count }
    }
    return undefined
  }

  async #lastItem(pool: string): Promise<BlockItem | undefined> {
    const { Items = [] } = await this.#table.query({
      KeyConditionExpression: 'pk = :pk AND begins_with(sk, :block)',
      ExpressionAttributeValues: { ':pk': poolKey(pool), ':block': text('block#') },
      ScanIndexForward: false,
      Limit: 1,
    })
    return Items[0] && blockItemOf(Items[0])
  }

  async #whole(pool: string, item: BlockItem): Promise<Block> {
    const { n, first, count } = item
    const bytes = await this.#bytes(pool, item)
    if (!bytes) throw this.damaged(pool, n)
    return { n, first, count, bytes }
  }

  /** The bytes of a block; undefined if they are damaged. */
  async #bytes(pool: string, item: BlockItem): Promise<Uint8Array | undefined> {
    const { blob, checksum } = item
    try {
      const bytes = item.bytes ?? (await this.#blobs.get(blob!))
      return checksum === undefined || checksum === checksumOf(pool, item, bytes) ? bytes : undefined
    } catch (error) {
      if (error instanceof OverpoolError && ['BAD_BLOCK', 'ENTRY_NOT_FOUND'].includes(error.code)) return undefined // the blob is damaged, or gone
      throw error
    }
  }

  damaged(pool: string, n: number, cause?: unknown): OverpoolError {
    const error = damagedBlock(pool, n, cause)
    void haltDamaged(this, this.#control, pool, n, error)
    return error
  }

  async inspect(pool: string, from: number, limit: number): Promise<StoredBlock[]> {
    const { Items = [] } = await this.#table.query({
      KeyConditionExpression: 'pk = :pk AND sk BETWEEN :from AND :to',
      ExpressionAttributeValues: { ':pk': poolKey(pool), ':from': blockSort(from), ':to': blockSort(LAST_BLOCK) },
      Limit: limit,
    })
    let size = 0
    const page = Items.map(blockItemOf).filter((item, i) => (size += item.size) <= PAGE_BYTES || i === 0)
    return parallel(page, WIDTH, async (item) => {
      const { n, first, count, blob, checksum } = item
      return { n, first, count, bytes: await this.#bytes(pool, item), isChecked: checksum !== undefined || blob !== undefined }
    })
  }

  async replace(pool: string, block: Block): Promise<void> {
    await this.#table.put(await this.#itemOf(pool, block))
  }

  async lose(pool: string, block: Omit<Block, 'bytes'>): Promise<string | undefined> {
    const stands = await this.#table.get(blockKey(pool, block.n))
    const isThere = stands !== undefined && !stands.block?.B?.every((byte, i) => byte === LOST[i])
    if (isThere) await this.#table.put({ ...stands, sk: sortOf('damaged', block.n) }) // a blob stays where it is: the item has its name
    await this.replace(pool, { ...block, bytes: LOST })
    return isThere ? `the items "damaged#…" of "${PARTITION.block}${pool}" in the table` : undefined
  }
}

function poolKey(pool: string): AttributeValue {
  return text(PARTITION.block + pool)
}

/** The largest number of a block that its sort key holds. */
const LAST_BLOCK = 999_999_999_999

/** The sort key of a block, or of what was damaged in its place. Block numbers have 12 digits, so that they sort in order. */
function sortOf(what: 'block' | 'damaged', n: number): AttributeValue {
  return text(`${what}#${String(n).padStart(12, '0')}`)
}

function blockSort(n: number): AttributeValue {
  return sortOf('block', n)
}

function blockKey(pool: string, n: number): Key {
  return { pk: poolKey(pool), sk: blockSort(n) }
}

function blockItemOf(item: Item): BlockItem {
  const bytes = item.block?.B
  return {
    n: Number(item.sk!.S!.slice('block#'.length)),
    first: Number(item.first!.N),
    count: Number(item.count!.N),
    bytes,
    blob: item.blob?.S,
    size: bytes?.length ?? Number(item.size!.N),
    checksum: item.checksum && Number(item.checksum.N),
  }
}
