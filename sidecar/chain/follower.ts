import { isDeepStrictEqual } from 'node:util'
import { type PlacedHeader, readHeader } from '../../shared/chain/header.ts'
import { scanBump } from '../../shared/chain/merkle.ts'
import { timeLeft } from '../../shared/clock.ts'
import { OverpoolError, reasonOf } from '../../shared/errors.ts'
import type { StatusEntry } from '../../shared/ledger/kinds.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'
import type { Ingress } from '../../shared/queue/port.ts'
import { backoff } from '../../shared/retry.ts'
import type { ChainState, PoolControl } from '../../shared/store/control.ts'
import { allStatuses } from '../../shared/store/statuses.ts'
import { Wake } from '../../shared/wake.ts'
import type { Report } from '../report.ts'
import type { KnownChain } from '../writer/status-gate.ts'
import { type ChainPool, REMEMBERED } from './chain-pool.ts'
import { SourceChoice } from './choice.ts'
import { type Found, findIn } from './find.ts'
import { FollowedPools, type FollowedPoolsOptions, isOvertaken } from './followed-pools.ts'
import { FilterFailed, type Grid, type Wanted, wants } from './grids.ts'
import { headersOf, readHeaders } from './headers.ts'
import { InvoiceWatch } from './invoice-watch.ts'
import { blockPost, minedPost, reorgPost, statusPost } from './posts.ts'
import { RecentBlocks } from './recent-blocks.ts'
import { Rivals } from './rivals.ts'
import type { ChainSource, News } from './source.ts'
import { TxidSet } from './txid-set.ts'
import { Unconfirmed } from './unconfirmed.ts'

export interface FollowerOptions extends FollowedPoolsOptions {
  /** the first one that answers is used */
  sources: readonly ChainSource[]
  report: Report
  /** where payments of invoices go that are found on the chain; undefined: invoices are not watched */
  ingress?: Pick<Ingress, 'send' | 'enqueue'> | undefined
  /** how often it looks without a hint, ms */
  lookMs: number
  /** transactions that hints bring are gathered for this time, ms, default 0: each look at them costs requests on AWS */
  gatherMs?: number
}

/** After a failure the next source is asked after this time, ms. */
const NEXT_MS = 1_000
/** A pool whose filter throws is tried again after this time, ms, doubling up to the most. */
const FILTER_MS = 1_000
const FILTER_MOST_MS = 5 * 60_000
/** A hint is followed by a look at what was posted, at most once in this time, ms. */
const CATCH_UP_MS = 200

/** What a block is read for. */
interface Reading {
  header: PlacedHeader
  grids: Grid[]
  /** whether the machine's own pool, and so those that take posts, are due */
  isOwn: boolean
}

/**
 * Follows the chain: its transactions become entries of the pools that want them, and the transactions of all other pools get the status that the chain gives them. Nothing is
 * remembered but in the ledger: the last block entry of a pool says how far it has come, so a block that is read again gives the same entries, which are there already.
 *
 * In a pool the order is: the transactions of a block, then its block entry. When the chain takes blocks back: what was mined in them goes back first, then comes the reorganisation,
 * then the new blocks.
 *
 * The machine's own pool of the chain is written first: as long as it has a block, whatever was written because of that block is taken back with it, also after a death in the
 * middle of it. At a start its last block is read again.
 */
export class ChainFollower implements KnownChain {
  readonly #options: FollowerOptions
  readonly #pools: FollowedPools
  readonly #recent: RecentBlocks
  readonly #invoices: InvoiceWatch | undefined
  readonly #unconfirmed: Unconfirmed
  readonly #rivals: Rivals
  readonly #wake = new Wake()
  readonly #stopped = new AbortController()
  /** what each pool that takes posts watches, as it was when it caught up */
  readonly #watches = new Map<string, Wanted | undefined>()
  /** hashes of blocks that were taken back */
  readonly #undone = new Set<string>()
  readonly #choice: SourceChoice
  /** grids whose filter throws: since when they wait (`Clock.elapsed`), and how long, ms */
  readonly #waiting = new Map<string, { at: number; ms: number; times: number }>()
  /** what was written down last about the pools of the chain, by path */
  readonly #noted = new Map<string, ChainState>()
  /** how many blocks of other processes had come into a pool when it was last looked for what is mined in those blocks */
  readonly #foreign = new Map<string, number>()
  /** there may be a new block */
  #hasNews = true
  #followedAt = Number.NEGATIVE_INFINITY
  #caughtUpAt = Number.NEGATIVE_INFINITY
  #running = Promise.resolve()

  static start(options: FollowerOptions): ChainFollower {
    const follower = new ChainFollower(options)
    for (const source of options.sources) source.watch((news) => follower.#hint(source, news), follower.#stopped.signal)
    follower.#running = follower.#run()
    return follower
  }

  private constructor(options: FollowerOptions) {
    const { sources, stores, clock, watched, gatherMs, ingress, shard } = options
    this.#options = options
    this.#choice = new SourceChoice(sources, clock)
    this.#pools = new FollowedPools(options, this.#stopped.signal)
    this.#recent = new RecentBlocks(stores.statuses)
    this.#rivals = new Rivals(stores)
    this.#invoices = ingress && new InvoiceWatch({ stores, ingress, pools: this.#pools, clock, owns: shard?.owns })
    const catchUp = async () => {
      if (!timeLeft(clock, this.#caughtUpAt, CATCH_UP_MS)) await this.#catchUp()
    }
    this.#unconfirmed = new Unconfirmed({
      pools: this.#pools,
      recent: this.#recent,
      invoices: this.#invoices,
      stores,
      clock,
      grids: () => this.#reading(),
      watched,
      catchUp,
      gatherMs,
    })
  }

  // ---- what the writers ask

  isUndone(blockHash: string): boolean {
    return this.#undone.has(blockHash)
  }

  async proves({ blockHash, proof, height }: StatusEntry, txid: string): Promise<boolean> {
    if (blockHash === undefined || !proof) return false
    try {
      const root = scanBump(proof).root(txid)
      const header = await this.#headerOf(blockHash)
      return header !== undefined && header.merkleRoot === root && (height === undefined || header.height === height)
    } catch {
      return false
    }
  }

  /** The header of a block of the best chain, as far as this machine has followed it, or from before that. */
  async #headerOf(hash: string): Promise<{ merkleRoot: string; height: number } | undefined> {
    const { own } = this.#pools
    const followed = own?.last && own.headers!.forkPoint(own.last.hash)
    if (!followed) return undefined // what is written now could not be taken back
    let oldest = Number.POSITIVE_INFINITY
    for (const { headers } of this.#pools.chains()) {
      const header = headers?.get(hash)
      if (header && headers!.isBest(hash)) return header.height <= followed.height ? header : undefined
      oldest = Math.min(oldest, headers?.oldest ?? oldest)
    }
    const asked = await this.#choice
      .next()
      .source.headerOf(hash)
      .catch(() => undefined)
    if (!asked || asked.height >= oldest) return undefined // a newer block counts when this machine has read it
    const header = readHeader(asked.header)
    return header.hash === hash ? { merkleRoot: header.merkleRoot, height: asked.height } : undefined
  }

  /** The time in the newest block that was followed, ms since 1970; undefined before the chain was reached. */
  get newestBlockAt(): number | undefined {
    const last = this.#pools.own?.last
    return last && last.time * 1_000
  }

  // ---- the loop

  #hint(source: ChainSource, { tx, block }: News): void {
    this.#choice.hasNews(source)
    if (tx) this.#unconfirmed.hint(tx)
    else if (!block) this.#unconfirmed.lookAtMempool()
    if (!tx) this.#hasNews = true
    this.#wake.wake()
  }

  /** Looks at once, also for what it has passed over in the mempool. */
  look(): void {
    this.#unconfirmed.lookAtAll()
    this.#hasNews = true
    this.#wake.wake()
  }

  async #run(): Promise<void> {
    const { clock, lookMs } = this.#options
    while (!this.#stopped.signal.aborted) {
      const { source, waitMs } = this.#choice.next()
      if (waitMs) {
        await this.#wake.sleep(clock, waitMs)
        continue
      }
      try {
        const isDue = this.#hasNews || !timeLeft(clock, this.#followedAt, lookMs)
        this.#hasNews = false
        if (isDue) await this.#follow(source)
        else await this.#unconfirmed.readHints(source)
      } catch (error) {
        if (this.#stopped.signal.aborted) return
        this.#hasNews = true
        if (!isOvertaken(error)) await this.#failed(source, error)
        continue
      }
      await this.#wake.sleep(clock, this.#unconfirmed.gathering || lookMs)
    }
  }

  async #failed(source: ChainSource, error: unknown): Promise<void> {
    const { clock, report } = this.#options
    this.#unconfirmed.lookAtMempool() // what a hint had brought may be lost
    if (error instanceof FilterFailed) {
      const { path, cause } = error
      const times = (this.#waiting.get(path)?.times ?? 0) + 1
      this.#waiting.set(path, { at: clock.elapsed(), ms: backoff(times, FILTER_MS, FILTER_MOST_MS), times })
      report({ kind: 'retrying', pool: path, step: 'the `match` of its filter', error: cause })
      return this.#note(path, { problem: `the \`match\` of its filter failed: ${reasonOf(cause)}` })
    }
    this.#choice.failed(source, error)
    report({ kind: 'retrying', pool: '', step: `following the chain by ${source.name}`, error })
    await this.#note(this.#pools.ownPath, { source: source.name, problem: reasonOf(error) })
    await clock.sleep(NEXT_MS, this.#stopped.signal)
  }

  /** The grids that are read now: not those whose filter has just thrown. */
  #reading(): Grid[] {
    const { grids, clock } = this.#options
    return grids().filter(({ path }) => {
      const waiting = this.#waiting.get(path)
      return !waiting || !timeLeft(clock, waiting.at, waiting.ms)
    })
  }

  /** A grid whose filter threw has gone on. */
  async #noteFilter(path: string): Promise<void> {
    if (!this.#reading().some((grid) => grid.path === path)) return
    this.#waiting.delete(path)
    await this.#note(path, {})
  }

  /** Writes down how it stands with a pool of the chain, for `check`. It is not worth a failure: what could not be written now is written the next time. */
  async #note(path: string, said: Pick<ChainState, 'source' | 'problem'>): Promise<void> {
    const { clock, stores, make } = this.#options
    const last = this.#pools.chain(path)?.last
    const before = this.#noted.get(path)
    const state: ChainState = {
      ...said,
      ...(last && { height: last.height, blockAt: last.time * 1_000 }),
      ...(said.problem !== undefined && { since: before?.since ?? clock.now() }),
    }
    if (isDeepStrictEqual(state, before)) return
    try {
      await make(path)
      await stores.control.update(path, { chain: state })
      this.#noted.set(path, state)
    } catch {}
  }

  async #follow(source: ChainSource): Promise<void> {
    const pools = await this.#begun(source)
    for (const pool of pools) await readHeaders(pool, source)
    for (const pool of pools) await this.#undo(pool, pools)
    for (const { path } of [...pools.slice(0, -1), ...(await this.#pools.posted())]) await this.#takeBackLate(path)
    await this.#catchUp()
    await this.#readLate(source) // first: a block that is not among the newest any more is not read again
    for (let reading = this.#next(pools); reading; reading = this.#next(pools)) {
      if (this.#stopped.signal.aborted) return
      await this.#readBlock(reading, source)
      await this.#readLate(source)
    }
    await this.#unconfirmed.readHints(source)
    await this.#unconfirmed.readMempool(source)
    this.#choice.works(source)
    this.#followedAt = this.#options.clock.elapsed()
    await this.#note(this.#pools.ownPath, { source: source.name })
    for (const path of this.#waiting.keys()) await this.#noteFilter(path)
  }

  /** The pools that have begun, the machine's own last: it comes after all others. */
  async #begun(source: ChainSource): Promise<ChainPool[]> {
    const { ownPath } = this.#pools
    const wanted: Pick<Grid, 'path' | 'from'>[] = [{ path: ownPath, from: 'now' }, ...this.#options.grids()]
    const halted = await this.#pools.halted()
    const begun: ChainPool[] = []
    for (const { path, from } of wanted) {
      if (halted.has(path)) continue
      const { pool, blocks } = await this.#pools.open(path)
      if (blocks) {
        if (path === ownPath) {
          this.#recent.begin(blocks.map(({ hash, at }) => ({ hash, at })))
          pool.isUnfinished = blocks.length > 0
          for (const hash of pool.undone) this.#undone.add(hash)
        }
        this.#unconfirmed.lookAtAll()
      }
      if (pool.headers || (await this.#begin(pool, from, source))) begun.push(pool)
      else if (path === ownPath) break
    }
    const [own, ...grids] = begun
    if (own?.path === ownPath) return [...grids, own]
    throw new OverpoolError(
      'POOL_HALTED',
      `"${ownPath}", where this machine writes down the chain, is halted or cannot begin: see its status`,
    )
  }

  /** @returns false if the chain does not have the first block yet, or this machine has not followed it that far: its own pool has what a grid begins after */
  async #begin(pool: ChainPool, from: number | 'now', source: ChainSource): Promise<boolean> {
    const own = this.#pools.own!
    const last = pool === own ? await source.tip() : own.last!
    const height = from === 'now' ? last.height : Math.max(0, from - 1)
    if (height > last.height) return false
    const first = Math.max(0, height - REMEMBERED)
    const headers = pool === own || from !== 'now' ? await headersOf(source, first, height) : own.headersTo(last.hash)
    if (!headers) return false
    const chain = pool.chainOf(height + 1 - headers.length, headers)
    if (from === 'now') {
      // The pool says so itself, or another start would begin later. The machine's own has the blocks before, too, for all that begin here.
      const said = pool === own ? headers : headers.slice(-1)
      const posts = said.map((header) => blockPost(pool.path, chain.get(readHeader(header).hash)!, 0, '', this.#options.clock))
      await this.#pools.write(pool.path, posts)
      pool.lastId = posts.at(-1)!.id
    }
    pool.begin(chain, from === 0)
    this.#unconfirmed.forget()
    if (pool !== own) return true
    pool.isUnfinished = true // what was posted before may be in it, or in one before it
    const at = this.#options.clock.now()
    this.#recent.begin(headers.map((header) => ({ hash: readHeader(header).hash, at })))
    return true
  }

  /** Takes back what is no longer on the best chain. */
  async #undo(pool: ChainPool, pools: ChainPool[]): Promise<void> {
    const { last, headers, path } = pool
    const change = last && headers!.changeSince(last.hash)
    if (!change?.undone.length) return
    if (!pool.lastId) return this.#pools.close(path) // it has no block yet: it begins anew
    for (const { hash } of change.undone) this.#undone.add(hash) // from now on nothing is written that was mined there
    this.#unconfirmed.lookAtMempool() // it has what was mined there, and may have had it before this machine knew
    // Grids have their own last block: what they have of a later one, because of a death in the middle of it or by a service's word, goes back with the machine's own.
    const affected = path === this.#pools.ownPath ? [...pools.slice(0, -1), ...(await this.#pools.posted())] : [pool]
    for (const each of affected) await this.#takeBack(each.path, change.undone)
    const post = reorgPost(path, last!, change.fork, change.undone, pool.lastId, this.#options.clock)
    await this.#pools.write(path, [post])
    pool.moved(change.fork, post.id)
  }

  /** Takes back what a process, as one that has just died, has written too late: after its block was taken back. */
  async #takeBackLate(path: string): Promise<void> {
    const foreign = await this.#pools.foreign(path)
    if (this.#foreign.get(path) === foreign) return
    const headers = this.#pools.own!.headers!
    await this.#takeBack(
      path,
      [...this.#undone].flatMap((hash) => headers.get(hash) ?? []),
    )
    this.#foreign.set(path, foreign)
  }

  /** What was mined in these blocks is seen again, at most. */
  async #takeBack(path: string, undone: PlacedHeader[]): Promise<void> {
    const { stores, clock } = this.#options
    await this.#pools.settled(path) // what is under way may still say that it was mined there
    for (const { hash, height } of undone) {
      const mined = await Array.fromAsync(allStatuses((after) => stores.statuses.minedIn(path, hash, after)))
      const places = await this.#pools.places(
        path,
        mined.map(({ txid }) => txid),
      )
      const reason = `block ${height} was taken back`
      const posts = mined.map(({ seq }, i) => statusPost(path, { of: places[i]!, status: 'seen', undone: hash, reason }, seq, clock))
      await this.#pools.write(path, posts)
    }
    await this.#pools.settled(path)
  }

  /** Learns the transactions that were posted since the last time. */
  async #catchUp(): Promise<void> {
    this.#caughtUpAt = this.#options.clock.elapsed()
    for (const pool of await this.#pools.posted()) {
      const { path } = pool
      const watch = this.#options.watched(pool)
      if (this.#watches.get(path) !== watch) this.#unconfirmed.lookAtAll()
      this.#watches.set(path, watch)
      await this.#learnPosted(path)
    }
    await this.#pools.catchUpGrids()
  }

  /** Learns what was posted to a pool: it may be in a block that was read before, or in the mempool. */
  async #learnPosted(path: string): Promise<void> {
    const posted = await this.#pools.catchUp(path)
    for (const { txid } of posted) this.#unconfirmed.posted(txid)
    await this.#recent.note(path, posted)
    this.#pools.noted(path)
  }

  /** Reads blocks again for transactions that were posted after them. */
  async #readLate(source: ChainSource): Promise<void> {
    const headers = this.#pools.own!.headers!
    for (const { block, paths } of this.#recent.late()) {
      if (!headers.isBest(block.hash)) continue
      const header = headers.get(block.hash)!
      const posted = (await this.#pools.posted()).filter(({ path }) => paths.has(path))
      const txids = new TxidSet()
      const found = await this.#find(header, [], posted, source, txids)
      block.txids = txids
      for (const pool of posted) await this.#append(pool.path, header, found, { watch: this.#options.watched(pool) })
    }
  }

  // ---- blocks

  /** The lowest block that a pool has to read, with all pools that read it. One that the machine's own pool does not go by is for no pool: a restart could not tell what comes before it. */
  #next(pools: ChainPool[]): Reading | undefined {
    const own = this.#pools.own!.headers!
    const read = new Set([this.#pools.ownPath, ...this.#reading().map(({ path }) => path)])
    const nexts = pools.flatMap((pool) => {
      const header = read.has(pool.path) ? nextOf(pool) : undefined
      return header && (header.height < own.oldest || own.isBest(header.hash)) ? [{ pool, header }] : []
    })
    const lowest = nexts.reduce<PlacedHeader | undefined>(
      (least, { header }) => (!least || header.height < least.height ? header : least),
      undefined,
    )
    if (!lowest) return undefined
    const reading = new Set(nexts.filter(({ header }) => header.hash === lowest.hash).map(({ pool }) => pool.path))
    return {
      header: lowest,
      grids: this.#reading().filter(({ path }) => reading.has(path)),
      isOwn: reading.has(this.#pools.ownPath),
    }
  }

  async #readBlock({ header, grids, isOwn }: Reading, source: ChainSource): Promise<void> {
    const { clock } = this.#options
    const posted = isOwn ? await this.#pools.posted() : []
    const waiting = [...posted.filter(({ hasStatuses }) => hasStatuses), ...(isOwn ? grids : [])]
    await this.#rivals.refresh(waiting.map(({ path }) => path))
    await this.#invoices?.refresh()
    const txids = new TxidSet()
    const found = await this.#find(header, grids, posted, source, txids)
    this.#undone.delete(header.hash) // the chain may come back to it
    const own = this.#pools.own!
    if (isOwn && own.last?.hash !== header.hash) {
      const post = blockPost(own.path, header, 0, own.lastId, clock)
      await this.#pools.write(own.path, [post])
      own.moved(header, post.id, true)
    }
    if (isOwn) await this.#takeForInvoices(header, found, posted)
    for (const { path } of grids) await this.#append(path, header, found, { grid: this.#pools.chain(path)! })
    for (const pool of posted) await this.#append(pool.path, header, found, { watch: this.#options.watched(pool) })
    await this.#endRivals(header, found)
    if (!isOwn) return
    own.isUnfinished = false
    this.#recent.add({ hash: header.hash, txids, at: clock.now() })
    for (const { path } of posted) await this.#learnPosted(path) // posted meanwhile
  }

  /** Takes what a block has for invoices. The pools look for these transactions from now on: each gets its status. */
  async #takeForInvoices({ time }: PlacedHeader, found: Found[], posted: PoolControl[]): Promise<void> {
    const finding = { source: 'chain', at: Math.min(this.#options.clock.now(), time * 1_000) } as const
    const open = new Set(posted.map(({ path }) => path))
    const pays = await this.#invoices?.take(
      found.map(({ scanned }) => scanned),
      finding,
      open,
    )
    for (const { path, scanned } of pays ?? []) found.find((one) => one.scanned === scanned)!.pools.add(path)
  }

  #find(header: PlacedHeader, grids: Grid[], posted: PoolControl[], source: ChainSource, txids: TxidSet): Promise<Found[]> {
    const searches = [
      ...grids.map(({ path, wanted }) => ({ path, wanted, all: wanted === undefined })),
      ...posted.map((pool) => ({ path: pool.path, wanted: this.#options.watched(pool), known: this.#pools.transactions(pool.path) })),
    ]
    return findIn(header, searches, {
      source,
      txids,
      also: (scanned) => this.#rivals.mayEnd(scanned) || (this.#invoices?.mayPay(scanned) ?? false),
    })
  }

  /**
   * Writes what a block means for a pool: an entry for each transaction that it wants and does not have, a status for each that it has, or that it has broadcast; for a grid
   * the block itself, too.
   */
  async #append(path: string, header: PlacedHeader, found: Found[], { grid, watch }: { grid?: ChainPool; watch?: Wanted }): Promise<void> {
    const { height, hash } = header
    const { clock, stores } = this.#options
    const known = this.#pools.transactions(path)!
    const theirs = found.filter(({ pools }) => pools.has(path))
    const txids = theirs.map(({ txid }) => txid)
    const places = await this.#pools.placesOf(path, txids, known)
    const now = new Map((await stores.statuses.newest(path, [...places.keys()])).flatMap((kept) => (kept ? [[kept.txid, kept.seq]] : [])))
    const posts: IngressMessage[] = []
    for (const one of theirs) {
      const { scanned, txid, proof } = one
      const of = places.get(txid) ?? { txid }
      const isWanted = grid || wants({ path, wanted: watch }, scanned)
      if (of.seq !== undefined || (!isWanted && known.requestOf(txid) !== undefined))
        posts.push(statusPost(path, { of, status: 'mined', height, blockHash: hash, proof }, now.get(txid), clock))
      else if (isWanted) posts.push(minedPost(path, one, header, clock))
      else continue // its first bits are those of another one
      known.add(txid)
    }
    const block = grid && blockPost(path, header, theirs.length, grid.lastId, clock)
    await this.#pools.write(path, block ? [...posts, block] : posts)
    if (!block) return
    if (!grid.lastId) this.#unconfirmed.lookAtAll() // from now on it takes what is in the mempool
    grid.moved(header, block.id)
  }

  /** What spends the same output as a transaction that is mined now will never be mined on this chain. */
  async #endRivals({ height }: PlacedHeader, found: Found[]): Promise<void> {
    const { stores, clock } = this.#options
    for (const { scanned, txid } of found) {
      for (const { path, seq, ...beaten } of this.#rivals.beatenBy(scanned)) {
        const [now] = await stores.statuses.newest(path, [beaten.txid])
        const reason = `${txid} spends the same output, and is mined in block ${height}`
        const of = { txid: beaten.txid, ...(seq !== undefined && { seq }) }
        await this.#pools.write(path, [statusPost(path, { of, status: 'double-spent', final: true, reason }, now?.seq, clock)])
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#wake.wake()
    await this.#running
    await Promise.all(this.#options.sources.map((source) => source.close()))
  }
}

/** The next block that a pool has to read. */
function nextOf({ headers, last, isUnfinished }: ChainPool): PlacedHeader | undefined {
  if (!last) return headers?.at(0) // the pool begins with the genesis block
  return headers!.isBest(last.hash) ? headers!.at(last.height + (isUnfinished ? 0 : 1)) : undefined
}
