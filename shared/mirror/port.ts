import type { Block } from '../ledger/block.ts'
import type { EntryId } from '../ledger/entry.ts'

/**
 * Finds an entry by `key`: its txid, and for an entry whose id is not made from its transaction (a handler's post, a named one) a second
 * receipt by the id itself. It also stops a second copy of the entry (Promise 3).
 */
export interface Receipt {
  key: string
  id: EntryId
  txid: string
  seq: number
  /** number of the block that holds the entry */
  block: number
}

/** What is known of a pool beside its blocks. */
export interface PoolControl {
  path: string
  /** public key of its hypercore, 64 hex */
  key: string
  discoveryKey: string
  createdAt: number
  /** effects of all blocks before this one are done; it may lag, that costs a redo */
  checkpoint: number
  /** blocks in the hypercore, and its tree hash (64 hex) at that length, as last reported */
  coreLength: number
  treeHash?: string
  /** entries before this one are archived: `tail` and `read` leave them out, `get` and peers still find them */
  prunedBefore: number
  /** why nothing is appended to this pool any more, until an operator acts */
  halted?: string
}

export type PoolPatch = Partial<Omit<PoolControl, 'path' | 'key' | 'discoveryKey' | 'createdAt'>>

/** How far a handler has come in a pool. */
export interface Cursor {
  /** the last entry it has finished, -1 for none */
  seq: number
  /** the block where the next entry is looked for: the one that holds `seq`, 0 for none */
  block: number
  /** failed attempts at the next entry */
  attempts: number
  /** the pool stops here (`onPoison: 'stop'`): why */
  stopped?: string
  /** when the operator asked to have the dead letters tried again, ms since 1970: those that were last tried before; not written by `writeCursor` */
  redrive?: number
}

/** An entry that a handler gave up on. */
export interface DeadLetter {
  seq: number
  block: number
  error: string
  attempts: number
  /** when it was last tried, ms since 1970 */
  at: number
}

/**
 * The unsigned copy of every pool, and what belongs to it. Two implementations pass one contract test.
 * Every read is consistent: what was written before it began is seen. A failure that waiting may mend is UNAVAILABLE and retryable.
 */
export interface Mirror {
  /**
   * Puts block n if the pool has none, and answers with the block that stands there: the same bytes if ours won, or another's (Promise 1).
   * The caller's n is the pool's length as it knows it, so no gap can appear.
   */
  putBlock(pool: string, block: Block): Promise<Block>
  /** Consecutive blocks from number `from`, in order: at least one if there is one, at most `limit` (default 64), fewer if they are large. */
  readBlocks(pool: string, from: number, limit?: number): Promise<Block[]>
  /** The newest block: the pool's length is its `n + 1`, its next sequence number `first + count`. */
  lastBlock(pool: string): Promise<Block | undefined>
  /** The block that holds entry `seq`. */
  findBlock(pool: string, seq: number): Promise<Block | undefined>

  /** Writes receipts; again is harmless. Their blocks are in the mirror already. */
  putReceipts(pool: string, receipts: Receipt[]): Promise<void>
  /** The receipts with these keys and ids, in the order asked for. */
  findReceipts(pool: string, wanted: Pick<Receipt, 'key' | 'id'>[]): Promise<(Receipt | undefined)[]>
  /** The entries of a transaction, oldest first, at most 100. */
  receiptsOf(pool: string, txid: string): Promise<Receipt[]>

  /** Makes the pool if there is none; answers with what stands. */
  createPool(pool: Pick<PoolControl, 'path' | 'key' | 'discoveryKey' | 'createdAt'>): Promise<PoolControl>
  readPool(path: string): Promise<PoolControl | undefined>
  listPools(): Promise<PoolControl[]>
  /** Changes these fields and no others. `checkpoint` and `coreLength` never go back, and `treeHash` stays that of `coreLength`. */
  updatePool(path: string, patch: PoolPatch): Promise<void>

  readCursor(handler: string, pool: string): Promise<Cursor>
  /** Moves the cursor forward, or changes the attempts where it stands; one that is behind what is stored is ignored. Leaves `redrive` alone. */
  writeCursor(handler: string, pool: string, cursor: Cursor): Promise<void>
  /** Asks at `at` to have the dead letters tried again; the latest asking stands. */
  askRedrive(handler: string, pool: string, at: number): Promise<void>
  /** All that was asked for at `at` has been tried; a later asking stands. */
  endRedrive(handler: string, pool: string, at: number): Promise<void>
  /** Names of the handlers that have a cursor in this pool. */
  listHandlers(pool: string): Promise<string[]>

  putDead(handler: string, pool: string, letter: DeadLetter): Promise<void>
  listDead(handler: string, pool: string): Promise<DeadLetter[]>
  deleteDead(handler: string, pool: string, seq: number): Promise<void>

  /** Takes the lease, or renews it, for `ms`; false while another owner holds it. */
  takeLease(shard: string, owner: string, ms: number): Promise<boolean>
  releaseLease(shard: string, owner: string): Promise<void>

  close(): Promise<void>
}

export const NO_CURSOR: Cursor = { seq: -1, block: 0, attempts: 0 }
