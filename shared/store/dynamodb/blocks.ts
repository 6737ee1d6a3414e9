import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { parallel } from '../../aws/call.ts'
import type { Blobs } from '../../blobs/port.ts'
import { OverpoolError } from '../../errors.ts'
import type { Block } from '../../ledger/block.ts'
import { type Blocks, PAGE_BYTES } from '../blocks.ts'
import { PARTITION } from './partitions.ts'
import { type Item, type Key, nothingStandsThere, number, type Table, text } from './table.ts'

/** A block of more bytes lies in S3: above 8 KiB that is cheaper, and one partition takes 1 MB of writes a second (docs/design.md, Formats). */
const INLINE_BYTES = 16 * 1024
/** Blobs that one call reads at a time. */
const WIDTH = 16

/** A block's item: the block is in it, or in a blob. */
interface BlockItem extends Omit<Block, 'bytes'> {
  bytes?: Uint8Array
  blob?: string
  size: number
}

/** Blocks as items of `pool#<path>`, large ones as blobs that an item points to. */
export class DynamoBlocks implements Blocks {
  readonly #table: Table
  readonly #blobs: Blobs

  constructor(table: Table, blobs: Blobs) {
    this.#table = table
    this.#blobs = blobs
  }

  async put(pool: string, block: Block): Promise<Block> {
    const { n, first, count, bytes } = block
    const blob = bytes.length > INLINE_BYTES ? await this.#blobs.put(bytes) : undefined // before its item, so that an item never points to nothing
    const held: Item = blob === undefined ? { block: { B: bytes } } : { blob: text(blob), size: number(bytes.length) }
    if (await this.#table.put({ ...blockKey(pool, n), ...held, first: number(first), count: number(count) }, nothingStandsThere))
      return block
    // Another writer's block, or our own from an attempt whose answer was lost.
    const item = await this.#table.get(blockKey(pool, n))
    if (!item) throw new OverpoolError('UNAVAILABLE', `block ${n} of "${pool}" was there and is not`, { retryable: true })
    const stands = blockItemOf(item)
    const isOurs = stands.bytes ? Buffer.compare(stands.bytes, bytes) === 0 : stands.blob === blob
    return isOurs ? block : this.#whole(stands)
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
    return parallel(page, WIDTH, (item) => this.#whole(item))
  }

  async last(pool: string): Promise<Block | undefined> {
    const last = await this.#lastItem(pool)
    return last && this.#whole(last)
  }

  /** There is no index from entries to blocks. Their numbers grow together, so a few guesses find the block. */
  async find(pool: string, seq: number): Promise<Block | undefined> {
    const last = await this.#lastItem(pool)
    if (!last || seq >= last.first + last.count) return undefined
    if (seq >= last.first) return this.#whole(last)
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
      else if (seq < guess.first + guess.count) return this.#whole(guess)
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

  async #whole({ n, first, count, bytes, blob }: BlockItem): Promise<Block> {
    return { n, first, count, bytes: bytes ?? (await this.#blobs.get(blob!)) }
  }
}

function poolKey(pool: string): AttributeValue {
  return text(PARTITION.block + pool)
}

/** Block numbers have 12 digits, so that they sort in order. */
function blockSort(n: number): AttributeValue {
  return text(`block#${String(n).padStart(12, '0')}`)
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
  }
}
