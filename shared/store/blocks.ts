import type { OverpoolError } from '../errors.ts'
import type { Block } from '../ledger/block.ts'

/** A block as it is stored, for its repair. */
export interface StoredBlock extends Omit<Block, 'bytes'> {
  /** undefined if they are damaged */
  bytes?: Uint8Array
  /** it has a checksum: an earlier version wrote none */
  isChecked: boolean
}

/**
 * The blocks of every pool: the mirror of their hypercores, and the source of truth (Promise 1). Every read checks the checksums of its blocks. A damaged one halts its pool, and
 * the read fails with BLOCK_DAMAGED.
 */
export interface Blocks {
  /**
   * Puts block n if the pool has none. Returns the block that is there afterwards: ours, or another writer's that was first (Promise 1).
   * The caller's n is the length that it knows, so no gap can appear.
   */
  put(pool: string, block: Block): Promise<Block>
  /** Puts consecutive blocks in order: after a failure, the first ones of them may be there. Returns the blocks that are there afterwards. */
  putAll(pool: string, blocks: Block[]): Promise<Block[]>
  /** Consecutive blocks from number `from`, in order: at least one if there is one, at most `limit` (default 64), fewer if they are large, or if one after the first is damaged. */
  read(pool: string, from: number, limit?: number): Promise<Block[]>
  /** The newest block: the pool's length is its `n + 1`, its next sequence number `first + count`. */
  last(pool: string): Promise<Block | undefined>
  /** The block that holds entry `seq`. */
  find(pool: string, seq: number): Promise<Block | undefined>
  /** Halts the pool, since this block cannot be decoded. Returns the error to throw. */
  damaged(pool: string, n: number, cause: unknown): OverpoolError
  /** The next blocks from number `from` on, as they are stored, damaged or not: at least one if there is one, at most `limit`, fewer if they are large. */
  inspect(pool: string, from: number, limit: number): Promise<StoredBlock[]>
  /** Puts a block in the place of a damaged one. */
  replace(pool: string, block: Block): Promise<void>
  /** Puts a lost block in the place of a damaged one, whose bytes are kept aside: perhaps a part of them is good. Returns where they are, undefined if it had none. */
  lose(pool: string, block: Omit<Block, 'bytes'>): Promise<string | undefined>
}

/** The newest block of a pool, all of which is read from block `from` on. @throws OverpoolError BLOCK_DAMAGED */
export async function lastOfWhole(blocks: Blocks, pool: string, from = 0): Promise<Block | undefined> {
  let last: Block | undefined
  for (let page = await blocks.read(pool, from); page.length; page = await blocks.read(pool, last!.n + 1)) last = page.at(-1)
  return last
}

/** The length of a pool, from its newest block. */
export function lengthOf(last: Block | undefined): { blocks: number; entries: number } {
  return last ? { blocks: last.n + 1, entries: last.first + last.count } : { blocks: 0, entries: 0 }
}

/** `read` stops after this many bytes, so that a page of large blocks fits into memory. */
export const PAGE_BYTES = 4 * 1024 * 1024
