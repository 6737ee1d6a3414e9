import type { Clock } from '../../shared/clock.ts'
import { OverpoolError } from '../../shared/errors.ts'
import type { BlockEntry, Cause } from '../../shared/ledger/kinds.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'
import { chainPoolOf, shardOfChainPool } from '../../shared/ledger/pool.ts'
import type { PoolControl } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import { type Since, writeInOrder } from '../writer/in-order.ts'
import type { PoolWriter } from '../writer/writer.ts'
import { ChainPool, type Network } from './chain-pool.ts'
import type { Grid, Wanted } from './grids.ts'
import { PoolTransactions, type Posted } from './pool-transactions.ts'

export interface FollowedPoolsOptions {
  network: Network
  stores: Stores
  writers: { writer(path: string): Promise<PoolWriter> }
  clock: Clock
  /** the pools whose entries come from the chain, as of now */
  grids: () => Grid[]
  /** what a pool that takes posts takes from the chain beside them, as of now */
  watched: (pool: PoolControl) => Wanted | undefined
  /** this shard, and whether a pool belongs to it; default: one shard has all */
  shard?: { index: number; owns: (pool: string) => boolean }
  /** creates the machine's own pool of the chain, and grids, if they do not exist */
  make: (path: string) => Promise<PoolControl>
}

/** A transaction of a pool, with its entry, or with the request to broadcast it. */
export interface Place {
  txid: string
  seq?: number
  /** it is no entry: whoever sends it again finds its bytes here */
  cause?: Cause
}

/**
 * The pools that the chain is written into: the machine's own, which has every block; grids, whose entries come from the chain; and those that take posts, whose transactions get
 * the status that the chain gives them.
 */
export class FollowedPools {
  /** path of the machine's own pool */
  readonly ownPath: string
  readonly #options: FollowedPoolsOptions
  readonly #stopping: AbortSignal
  /** the machine's own and grids, by path */
  readonly #chains = new Map<string, ChainPool>()
  /** their writers when they were read from the ledger */
  readonly #since = new Map<string, Since>()
  /** the public keys of the pools, by path */
  readonly #keys = new Map<string, string>()
  /** the transactions of the pools that take posts */
  readonly #transactions = new Map<string, PoolTransactions>()

  constructor(options: FollowedPoolsOptions, stopping: AbortSignal) {
    this.#options = options
    this.#stopping = stopping
    this.ownPath = chainPoolOf(options.shard?.index)
  }

  /** The machine's own pool, undefined before it was opened. */
  get own(): ChainPool | undefined {
    return this.#chains.get(this.ownPath)
  }

  /** The machine's own pool and the grids that are open. */
  chains(): Iterable<ChainPool> {
    return this.#chains.values()
  }

  chain(path: string): ChainPool | undefined {
    return this.#chains.get(path)
  }

  /** Reads from the ledger where a pool is, unless that is known. @returns the blocks in it, the oldest first, if it was read */
  async open(path: string): Promise<{ pool: ChainPool; blocks?: BlockEntry[] }> {
    const open = this.#chains.get(path)
    if (open) return { pool: open }
    const { stores, network, clock, make, writers } = this.#options
    await make(path)
    const writer = await writers.writer(path)
    this.#since.set(path, { writer, foreign: writer.foreign })
    const pool = new ChainPool(path, stores, network, clock, () => this.own?.headers)
    const blocks = await pool.load()
    this.#chains.set(path, pool)
    return { pool, blocks }
  }

  /** Forgets where a pool is: the ledger says so when it is opened again. */
  close(path: string): void {
    this.#chains.delete(path)
  }

  async halted(): Promise<Set<string>> {
    const pools = await this.#options.stores.control.list()
    return new Set(pools.flatMap(({ path, halted }) => (halted === undefined ? [] : [path])))
  }

  /** The pools that take posts. */
  async posted(): Promise<PoolControl[]> {
    const { stores, shard, grids } = this.#options
    const gridPaths = new Set(grids().map(({ path }) => path))
    const pools = await stores.control.list()
    for (const { path, key } of pools) this.#keys.set(path, key)
    return pools.filter(
      ({ path, kind, halted }) =>
        kind !== 'peer' &&
        halted === undefined &&
        !gridPaths.has(path) &&
        shardOfChainPool(path) === undefined &&
        (shard?.owns(path) ?? true),
    )
  }

  /** The transactions of a pool, undefined before it was read. */
  transactions(path: string): PoolTransactions | undefined {
    return this.#transactions.get(path) ?? this.#chains.get(path)?.transactions
  }

  /** Reads what is new in a pool that takes posts. @returns the transactions that were not known; they come again until they are `noted` */
  catchUp(path: string): Promise<readonly Posted[]> {
    const known = this.#transactions.get(path) ?? new PoolTransactions(path, this.#options.stores.blocks)
    this.#transactions.set(path, known)
    return known.catchUp()
  }

  noted(path: string): void {
    this.#transactions.get(path)?.noted()
  }

  /** Reads what is new in the grids. */
  async catchUpGrids(): Promise<void> {
    for (const { path, transactions } of this.#chains.values()) {
      if (path === this.ownPath) continue
      await transactions.catchUp()
      transactions.noted()
    }
  }

  /** The transactions among these that a pool may have, each with its entry if it has one. */
  async placesOf(path: string, txids: readonly string[], known: PoolTransactions): Promise<Map<string, Place>> {
    const asked = txids.filter((txid) => known.mayHave(txid))
    if (!asked.length) return new Map()
    await this.settled(path) // their receipts may be on their way
    return new Map((await this.places(path, asked)).map((of) => [of.txid, of]))
  }

  /** Transactions, each with its entry in the pool, or with the request to broadcast it, if there is one. */
  async places(path: string, txids: string[]): Promise<Place[]> {
    const receipts = await this.#options.stores.receipts.oldest(path, txids)
    return txids.map((txid, i) => {
      const receipt = receipts[i]
      if (receipt) return { txid, seq: receipt.seq }
      const request = this.transactions(path)?.requestOf(txid)
      return request === undefined ? { txid } : { txid, cause: { key: this.#keys.get(path)!, seq: request } }
    })
  }

  /** How many blocks of other processes have come into a pool. */
  async foreign(path: string): Promise<number> {
    return (await this.#options.writers.writer(path)).foreign
  }

  /** Resolves when all that is under way in a pool is in its mirror, with receipts and statuses. */
  async settled(path: string): Promise<void> {
    await (await this.#options.writers.writer(path)).settled()
  }

  /**
   * Writes entries in their order.
   * @throws OverpoolError OVERTAKEN if another process has written into the pool of a chain meanwhile, as one may that has just died: where that pool is now, the ledger says
   */
  async write(path: string, posts: readonly IngressMessage[]): Promise<void> {
    const { writers, clock } = this.#options
    try {
      await writeInOrder(() => writers.writer(path), posts, clock, this.#stopping, this.#since.get(path))
    } catch (error) {
      if (isOvertaken(error)) this.close(path)
      throw error
    }
  }
}

export function isOvertaken(error: unknown): boolean {
  return error instanceof OverpoolError && error.code === 'OVERTAKEN'
}
