import type { Block } from '../ledger/block.ts'

/** The blocks of every pool: the mirror of their hypercores, and the source of truth (Promise 1). */
export interface Blocks {
  /**
   * Puts block n if the pool has none, and answers with the block that stands there: the same bytes if ours won, or another's (Promise 1).
   * The caller's n is the pool's length as it knows it, so no gap can appear.
   */
  put(pool: string, block: Block): Promise<Block>
  /** Puts consecutive blocks, in their order: when it fails, those that are there are the first of them. Answers with the blocks that stand there. */
  putAll(pool: string, blocks: Block[]): Promise<Block[]>
  /** Consecutive blocks from number `from`, in order: at least one if there is one, at most `limit` (default 64), fewer if they are large. */
  read(pool: string, from: number, limit?: number): Promise<Block[]>
  /** The newest block: the pool's length is its `n + 1`, its next sequence number `first + count`. */
  last(pool: string): Promise<Block | undefined>
  /** The block that holds entry `seq`. */
  find(pool: string, seq: number): Promise<Block | undefined>
}

/** How long a pool is whose newest block this is. */
export function lengthOf(last: Block | undefined): { blocks: number; entries: number } {
  return last ? { blocks: last.n + 1, entries: last.first + last.count } : { blocks: 0, entries: 0 }
}

/** `read` stops after this many bytes, so that a page of large blocks fits into memory. */
export const PAGE_BYTES = 4 * 1024 * 1024
