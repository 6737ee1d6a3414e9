import { type Clock, timeLeft } from '../../shared/clock.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'
import type { PoolControl } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import { type ScannedTransaction, scanTransaction } from '../../shared/transaction/index.ts'
import type { FollowedPools, Place } from './followed-pools.ts'
import { type Grid, type Wanted, wants } from './grids.ts'
import type { InvoiceWatch } from './invoice-watch.ts'
import type { PoolTransactions } from './pool-transactions.ts'
import { heardPost, statusPost } from './posts.ts'
import type { RecentBlocks } from './recent-blocks.ts'
import type { ChainSource } from './source.ts'

export interface UnconfirmedOptions {
  pools: FollowedPools
  recent: RecentBlocks
  /** undefined: no invoices are watched */
  invoices: InvoiceWatch | undefined
  stores: Pick<Stores, 'statuses'>
  clock: Clock
  grids: () => Grid[]
  watched: (pool: PoolControl) => Wanted | undefined
  /** learns what was posted lately */
  catchUp: () => Promise<void>
  /** transactions that hints bring are gathered for this time, ms, default 0: each look at them costs requests on AWS */
  gatherMs?: number | undefined
}

/** Raw transactions from hints that wait, at most: the mempool has the others. */
const MAX_HINTS = 10_000
/** Transactions that are looked at together, at most. */
const TOGETHER = 1_000

/** Transactions that are in no block yet: a source hints at each that it hears of, and its mempool has them all. They become entries of the pools that want them, and statuses in those that have them. */
export class Unconfirmed {
  readonly #options: UnconfirmedOptions
  #hints: Uint8Array[] = []
  /** txids of the mempool that were looked at: each was heard of by a hint, or asked for */
  #lookedAt = new Set<string>()
  /** the mempool may have some that no hint has brought */
  #mempoolIsDue = true
  /** somebody wants more than before: what was looked at may be wanted now */
  #wantsMore = false
  /** when it last looked at the transactions of hints */
  #heardAt = Number.NEGATIVE_INFINITY

  constructor(options: UnconfirmedOptions) {
    this.#options = options
  }

  /** Takes a transaction that a source has heard of, as bytes that nobody has scanned. */
  hint(tx: Uint8Array): void {
    if (this.#hints.length < MAX_HINTS) this.#hints.push(tx)
    else this.#mempoolIsDue = true
  }

  /** There may be some that no hint brings: the next look is at the mempool, too. */
  lookAtMempool(): void {
    this.#mempoolIsDue = true
  }

  /** The next look is at all of the mempool, also at what was looked at before. */
  lookAtAll(): void {
    this.#wantsMore = true
  }

  /** Forgets the hints: they may be older than the block at which a pool begins. The mempool has what is still in no block. */
  forget(): void {
    this.#hints = []
    this.#wantsMore = true
  }

  /** This transaction was posted: it may be in the mempool. */
  posted(txid: string): void {
    if (this.#lookedAt.delete(txid)) this.#mempoolIsDue = true
  }

  /** How long the hints still wait for others, ms. */
  get gathering(): number {
    const { clock, gatherMs = 0 } = this.#options
    return this.#hints.length ? timeLeft(clock, this.#heardAt, gatherMs) : 0
  }

  /** Looks at what hints have brought. */
  async readHints(source: ChainSource): Promise<void> {
    const { pools, clock, catchUp } = this.#options
    if (!this.#hints.length || !pools.own?.headers || this.gathering) return
    this.#heardAt = clock.elapsed()
    await catchUp()
    const posted = await pools.posted()
    while (this.#hints.length) await this.#heard(this.#hints.splice(0, TOGETHER), posted, source)
  }

  /** Looks at what the source's mempool has beside the hints, if that may be anything. */
  async readMempool(source: ChainSource): Promise<void> {
    if (!(this.#mempoolIsDue || this.#wantsMore) || !source.mempool || !source.transaction) return
    if (this.#wantsMore) this.#lookedAt = new Set()
    this.#mempoolIsDue = false
    this.#wantsMore = false
    const posted = await this.#options.pools.posted()
    const txids = new Set(await source.mempool())
    let fresh: Uint8Array[] = []
    for (const txid of txids) {
      const bytes = this.#lookedAt.has(txid) ? undefined : await source.transaction(txid)
      if (bytes) fresh.push(bytes)
      if (fresh.length < TOGETHER) continue
      await this.#heard(fresh, posted, source)
      fresh = []
    }
    await this.#heard(fresh, posted, source)
    this.#lookedAt = new Set([...txids].filter((txid) => this.#lookedAt.has(txid))) // not what counts as mined in a block that is taken back soon
  }

  async #heard(all: Uint8Array[], posted: PoolControl[], source: ChainSource): Promise<void> {
    const { pools, recent, watched, grids, invoices, clock } = this.#options
    const heard = new Map(all.flatMap(scannedOr).map((scanned) => [scanned.txid, scanned]))
    // Nodes also publish what they find in a block: who has read that block knows. When the block is taken back, the mempool has it again.
    const own = pools.own!.headers!
    for (const txid of heard.keys()) if (recent.with(txid).some(({ hash }) => own.isBest(hash))) heard.delete(txid)
    for (const { path, mempool, wanted } of grids()) {
      const pool = pools.chain(path)
      if (!pool?.lastId || !mempool) continue // before its first block, a transaction may be mined in one that it does not read
      const known = pool.transactions
      const isWanted = (scanned: ScannedTransaction) => !known.mayHave(scanned.txid) && (!wanted || wants({ path, wanted }, scanned))
      await this.#append(path, known, [...heard.values()].filter(isWanted))
    }
    await invoices?.refresh()
    await invoices?.take([...heard.values()], { source: 'mempool', at: clock.now() }, new Set(posted.map(({ path }) => path)))
    for (const pool of posted) {
      const known = pools.transactions(pool.path)
      if (known) await this.#heardFor(pool.path, heard, known, watched(pool), source)
    }
    for (const txid of heard.keys()) this.#lookedAt.add(txid) // only now: after a failure the mempool is asked for them
  }

  /** Writes what these transactions mean for a pool that takes posts. */
  async #heardFor(
    path: string,
    heard: Map<string, ScannedTransaction>,
    known: PoolTransactions,
    wanted: Wanted | undefined,
    source: ChainSource,
  ): Promise<void> {
    const places = await this.#options.pools.placesOf(path, [...heard.keys()], known)
    const isEntry = (txid: string) => places.get(txid)?.seq !== undefined
    const isWanted = (scanned: ScannedTransaction) => wants({ path, wanted }, scanned)
    await this.#append(
      path,
      known,
      [...heard.values()].filter((scanned) => !isEntry(scanned.txid) && isWanted(scanned)),
    )
    const theirs = [...places.values()].filter(
      ({ txid }) => isEntry(txid) || (known.requestOf(txid) !== undefined && !isWanted(heard.get(txid)!)),
    )
    await this.#noteSeen(path, theirs, source)
  }

  async #append(path: string, known: PoolTransactions, fresh: ScannedTransaction[]): Promise<void> {
    const { pools, clock } = this.#options
    await pools.write(
      path,
      fresh.map((scanned): IngressMessage => heardPost(path, scanned, clock)),
    )
    for (const { txid } of fresh) known.add(txid)
  }

  /** The network has these transactions of a pool. */
  async #noteSeen(path: string, places: Place[], source: ChainSource): Promise<void> {
    const { pools, clock, stores } = this.#options
    if (!places.length) return
    const now = await stores.statuses.newest(
      path,
      places.map(({ txid }) => txid),
    )
    const posts = places.flatMap((of, i) =>
      now[i]?.status === 'seen' || now[i]?.status === 'mined'
        ? []
        : [statusPost(path, { of, status: 'seen', by: source.name }, now[i]?.seq, clock)],
    )
    await pools.write(path, posts)
  }
}

/** What is no transaction is nothing. */
function scannedOr(bytes: Uint8Array): ScannedTransaction[] {
  try {
    return [scanTransaction(bytes)]
  } catch {
    return []
  }
}
