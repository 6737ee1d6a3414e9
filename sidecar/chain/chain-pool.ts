import { HeaderChain, type PlacedHeader, readHeader } from '../../shared/chain/header.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Network } from '../../shared/config/bitcoin.ts'
import { entriesOf } from '../../shared/ledger/block.ts'
import type { BlockEntry, ReorgEntry } from '../../shared/ledger/kinds.ts'
import type { Stores } from '../../shared/store/port.ts'
import { PoolTransactions } from './pool-transactions.ts'

export type { Network }

/** So many of a pool's newest blocks are read at a start. More are read when a reorganisation is deeper. */
export const REMEMBERED = 144
/** Blocks of the ledger that are read at once. */
const PAGE = 64
/** Headers of a pool that are kept in memory. */
const KEPT = 4_000

/** A pool whose entries come from the chain, and how far it has come: the last block entry is its checkpoint. */
export class ChainPool {
  readonly path: string
  readonly transactions: PoolTransactions
  readonly #stores: Pick<Stores, 'blocks'>
  readonly #network: Network
  readonly #clock: Clock
  readonly #older: () => HeaderChain | undefined
  #chain: HeaderChain | undefined
  /** the newest block that is in the pool, or the one before the first */
  #last: PlacedHeader | undefined
  /** id of the newest block or reorganisation in the pool, '' if it has none */
  lastId = ''
  /** The last block is in the pool, but its statuses may not be written in all pools yet: it is to be read again. */
  isUnfinished = false
  /** hashes of the blocks that it had, and that were taken back when it was read */
  undone: string[] = []
  /** the genesis block is the first to be read: there is none before it */
  #fromGenesis = false
  /** how many blocks were asked for when the ledger was read */
  #remembered = REMEMBERED
  /** While the ledger is read: its blocks were checked against the clock when they came, and are not checked against it again. */
  #isLoading = false

  /** @param older knows blocks before the first one in the pool, for reorganisations that reach so far */
  constructor(path: string, stores: Pick<Stores, 'blocks'>, network: Network, clock: Clock, older: () => HeaderChain | undefined) {
    this.path = path
    this.#older = older
    this.#stores = stores
    this.#network = network
    this.#clock = clock
    this.transactions = new PoolTransactions(path, stores.blocks)
  }

  /** The headers that it has read, undefined before it has begun. */
  get headers(): HeaderChain | undefined {
    return this.#chain
  }

  get last(): PlacedHeader | undefined {
    return this.#fromGenesis ? undefined : this.#last
  }

  /** Reads from the ledger where the pool is. @returns its newest blocks, the oldest first; none if it has not begun */
  async load(): Promise<BlockEntry[]> {
    const { entries, isAll } = await this.#newest(this.#remembered)
    const blocks: BlockEntry[] = []
    const undone = new Set<string>()
    for (const entry of entries) {
      if (entry.kind === 'block') {
        blocks.push(entry)
        undone.delete(entry.hash)
        continue
      }
      while (blocks.length && entry.undone.includes(blocks.at(-1)!.hash)) blocks.pop()
      for (const hash of entry.undone) undone.add(hash)
    }
    this.undone = [...undone]
    if (!blocks.length && !isAll) {
      this.#remembered *= 8
      return this.load()
    }
    const last = entries.at(-1)
    this.lastId = last?.id ?? ''
    // All of its blocks may have been taken back: it goes on after the one that stayed.
    const before = last?.kind === 'reorg' && !blocks.length ? this.#older()?.get(last.to.hash) : undefined
    const first = blocks[0]?.header ?? before?.bytes
    if (!first) return []
    const headers = [...headersTo(this.#older(), readHeader(first).previous), first, ...blocks.slice(1).map(({ header }) => header)]
    this.#isLoading = true
    const chain = this.chainOf((blocks.at(-1) ?? before)!.height + 1 - headers.length, headers)
    this.begin(chain)
    // Another pool may have stopped at a block that this one has taken back since: those blocks are known, too.
    for (const entry of entries) if (entry.kind === 'block' && chain.get(readHeader(entry.header).previous)) chain.add([entry.header])
    this.#isLoading = false
    return blocks
  }

  /** The headers that lead to this block, and its own. */
  headersTo(hash: string): Uint8Array[] {
    return headersTo(this.#chain, hash)
  }

  /** A chain of these headers, checked. @param height of the first @throws OverpoolError BAD_HEADER */
  chainOf(height: number, [first, ...more]: Uint8Array[]): HeaderChain {
    const now = () => (this.#isLoading ? Number.POSITIVE_INFINITY : this.#clock.now())
    const chain = new HeaderChain({ start: { height, header: first! }, network: this.#network, clock: { now }, keep: KEPT })
    chain.add(more)
    return chain
  }

  /** Reads further back, for a reorganisation that is deeper than what is remembered. @returns whether that makes a difference */
  async loadMore(): Promise<boolean> {
    const { oldest } = this.#chain!
    this.#remembered *= 8
    await this.load()
    return this.#chain!.oldest < oldest
  }

  /** Begins after the last block of this chain: with the blocks before that one, a reorganisation may reach further than the pool. @param genesis that block is the first in the pool */
  begin(chain: HeaderChain, genesis = false): void {
    this.#chain = chain
    this.#last = chain.tip
    this.#fromGenesis = genesis
  }

  /** A block, or the end of a reorganisation, is in the pool. @param id of its entry @param isUnfinished its statuses are still to be written */
  moved(to: PlacedHeader, id: string, isUnfinished = false): void {
    this.lastId = id
    this.#last = to
    this.#fromGenesis = false
    this.isUnfinished = isUnfinished
  }

  /** The newest entries about blocks, oldest first. */
  async #newest(count: number): Promise<{ entries: (BlockEntry | ReorgEntry)[]; isAll: boolean }> {
    const { blocks } = this.#stores
    const found: (BlockEntry | ReorgEntry)[][] = []
    let sum = 0
    const last = await blocks.last(this.path)
    let end = last ? last.n + 1 : 0
    while (end > 0 && sum < count) {
      const from = Math.max(0, end - PAGE)
      let page: (BlockEntry | ReorgEntry)[] = []
      for (let n = from; n < end; ) {
        const read = await blocks.read(this.path, n, end - n)
        if (!read.length) break
        page = page.concat(read.flatMap(entriesOf).filter((entry) => entry.kind === 'block' || entry.kind === 'reorg'))
        n += read.length
      }
      found.unshift(page)
      sum += page.length
      end = from
    }
    return { entries: found.flat(), isAll: end === 0 }
  }
}

/** So many headers at most that lead to this block, and its own. */
function headersTo(chain: HeaderChain | undefined, hash: string): Uint8Array[] {
  const headers: Uint8Array[] = []
  for (let block = chain?.get(hash); block && headers.length < REMEMBERED; block = chain!.get(block.previous)) headers.unshift(block.bytes)
  return headers
}
