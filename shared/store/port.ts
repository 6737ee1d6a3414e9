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

/** What callers want of the network for a pool. They write it; the sidecar does it, now or when it runs again. */
export interface DesiredState {
  /** our pool is offered to the network */
  publish?: boolean
  /** and only to these machines, by their public keys (64 hex) */
  allow?: string[]
  /** its hypercore is encrypted */
  encrypt?: boolean
  /** it has been offered so before: once somebody may hold blocks of it, that cannot be changed */
  publishedAs?: 'clear' | 'encrypted'
  /** the peer's pool is followed */
  subscribe?: boolean
  /** the first entry that is followed; 'now': what comes after the publisher's newest */
  from?: 'start' | 'now' | number
  /** the encryption key of the peer's pool, 64 hex: what it opens lies beside it in clear */
  secret?: string
  /** public key of a machine to go to straight, 64 hex */
  peer?: string
  /** said by the config, which may unsay it */
  byConfig?: boolean
}

/** What a publisher has signed: a log of this length and tree hash. All hex. */
export interface Signed {
  length: number
  treeHash: string
  signature: string
  /** the public key that made the signature; the pool's key is a hash over it */
  signer: string
}

/** How a pool stands in the network, as last seen by the sidecar. */
export interface Network {
  /** when this was written, ms since 1970 */
  at: number
  /** the DHT has taken our announcement */
  announced: boolean
  /** machines that are connected for this pool */
  peers: number
  /** why there is no network, if there is none */
  problem?: string
  /** blocks that the publisher has signed, as far as we have heard */
  remoteLength?: number
  /** blocks of the publisher's that were passed over because they are no blocks, and what was wrong with the last of them */
  skipped?: number
  lastSkipped?: string
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
  desired?: DesiredState
  /** its hypercore, which nobody else has seen, has to be made again from the mirror: encrypted, or in clear */
  rebuild?: true
  network?: Network
  /** a peer's pool: what its publisher has signed of what is in the mirror */
  signed?: Signed
  /** a peer's pool that is not followed from its first entry: where it begins */
  begins?: { block: number; seq: number }
}

/** Fields of a pool's control item that are kept as JSON. */
export const AS_JSON: ReadonlySet<string> = new Set<keyof PoolControl>(['desired', 'rebuild', 'network', 'signed', 'begins'])

export type PoolPatch = Partial<Omit<PoolControl, 'path' | 'key' | 'discoveryKey' | 'createdAt'>>

/** How far a handler has come in a pool. */
export interface Cursor {
  /** the last entry it has finished, -1 for none */
  seq: number
  /** the block where the next entry is looked for: the one that holds `seq`, or the next when that was its last; 0 for none */
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
  /** Puts consecutive blocks, in their order: when it fails, those that are there are the first of them. Answers with the blocks that stand there. */
  putBlocks(pool: string, blocks: Block[]): Promise<Block[]>
  /** Consecutive blocks from number `from`, in order: at least one if there is one, at most `limit` (default 64), fewer if they are large. */
  readBlocks(pool: string, from: number, limit?: number): Promise<Block[]>
  /** The newest block: the pool's length is its `n + 1`, its next sequence number `first + count`. */
  lastBlock(pool: string): Promise<Block | undefined>
  /** The block that holds entry `seq`. */
  findBlock(pool: string, seq: number): Promise<Block | undefined>

  /** Writes receipts; again is harmless. Their blocks are in the mirror already. */
  putReceipts(pool: string, receipts: Receipt[]): Promise<void>
  /**
   * The receipts with these keys and ids, in the order asked for. Whoever has read the entries gives the whole receipts that they should have: one that is there as
   * given need not be looked up in its block.
   */
  findReceipts(pool: string, desired: (Pick<Receipt, 'key' | 'id'> | Receipt)[]): Promise<(Receipt | undefined)[]>
  /** The entries of a transaction, oldest first, at most 100. */
  receiptsOf(pool: string, txid: string): Promise<Receipt[]>

  /** Makes the pool if there is none; answers with what stands. */
  createPool(pool: Pick<PoolControl, 'path' | 'key' | 'discoveryKey' | 'createdAt'>): Promise<PoolControl>
  readPool(path: string): Promise<PoolControl | undefined>
  listPools(): Promise<PoolControl[]>
  /** Changes these fields and no others. `checkpoint` and `coreLength` never go back, and `treeHash` stays with its `coreLength`. */
  updatePool(path: string, patch: PoolPatch): Promise<void>
  /**
   * Of a pool whose core is to be made again: does away with `rebuild`, with what was reported of the core, and with all that is written of blocks after `last`, its newest,
   * if the mirror was shortened: the checkpoint, the cursors and dead letters of its handlers, `prunedBefore`. Nothing else makes them go back.
   */
  beginAnew(path: string, last: Block | undefined): Promise<void>

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

/** How long a pool is whose newest block this is. */
export function lengthOf(last: Block | undefined): { blocks: number; entries: number } {
  return last ? { blocks: last.n + 1, entries: last.first + last.count } : { blocks: 0, entries: 0 }
}

export const NO_CURSOR: Cursor = { seq: -1, block: 0, attempts: 0 }

/** `readBlocks` stops after this many bytes, so that a page of large blocks fits into memory. */
export const PAGE_BYTES = 4 * 1024 * 1024

/** `receiptsOf` gives at most so many of one transaction: a wallet can post the same one with any number of memos. */
export const MAX_RECEIPTS = 100
