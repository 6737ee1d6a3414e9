import type { Block } from '../ledger/block.ts'

/** The blocks of every pool: the mirror of their hypercores, and the source of truth (Promise 1). */
export interface Blocks {
  /**
   * Puts block n if the pool has none. Returns the block that is there afterwards: ours, or another writer's that was first (Promise 1).
   * The caller's n is the length that it knows, so no gap can appear.
   */
  put(pool: string, block: Block): Promise<Block>
  /** Puts consecutive blocks in order: after a failure, the first ones of them may be there. Returns the blocks that are there afterwards. */
  putAll(pool: string, blocks: Block[]): Promise<Block[]>
  /** Consecutive blocks from number `from`, in order: at least one if there is one, at most `limit` (default 64), fewer if they are large. */
  read(pool: string, from: number, limit?: number): Promise<Block[]>
  /** The newest block: the pool's length is its `n + 1`, its next sequence number `first + count`. */
  last(pool: string): Promise<Block | undefined>
  /** The block that holds entry `seq`. */
  find(pool: string, seq: number): Promise<Block | undefined>
}

/** The length of a pool, from its newest block. */
export function lengthOf(last: Block | undefined): { blocks: number; entries: number } {
  return last ? { blocks: last.n + 1, entries: last.first + last.count } : { blocks: 0, entries: 0 }
}

/** `read` stops after this many bytes, so that a page of large blocks fits into memory. */
export const PAGE_BYTES = 4 * 1024 * 1024
