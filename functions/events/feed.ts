import type { Clock } from '../../shared/clock.ts'
import { oneAfterTheOther } from '../../shared/retry.ts'
import { type Blocks, lengthOf } from '../../shared/store/blocks.ts'
import type { PoolControl } from '../../shared/store/control.ts'
import { turn } from '../../shared/turn.ts'
import { Wake } from '../../shared/wake.ts'
import { EncodedBlock, type Wanted } from './encoded.ts'

/** Blocks of a pool that followers have read lately stay in memory, up to so many bytes. */
const CACHED_BYTES = 8 * 1024 * 1024
/** A follower who has read nothing for this long is sent a sign of life, ms. Proxies close a connection that is silent for a minute. */
const SIGN_OF_LIFE_MS = 15_000
/** Blocks that are read at once. */
const PAGE = 16
/** After a failed read it tries again after this time, ms. */
const RETRY_MS = 1_000

export interface FeedsDeps {
  blocks: Pick<Blocks, 'read' | 'find' | 'last' | 'damaged'>
  control: (path: string) => Promise<Pick<PoolControl, 'path' | 'key' | 'prunedBefore'>>
  clock: Clock
  /** how often it looks for new blocks, if nobody says that there are some (`wrote`), ms */
  lookMs: number
  /** called when new blocks could not be read; it is tried again */
  failed: (error: unknown) => void
}

type OneByOne = <T>(work: () => Promise<T>) => Promise<T>

/** A piece of a pool for one follower. */
export interface Piece {
  block: EncodedBlock
  bytes: Buffer
}

/** The feeds of the pools that somebody follows. Whoever opens it closes it. */
export class Feeds {
  readonly #deps: FeedsDeps
  readonly #feeds = new Map<string, Feed>()
  readonly #closing = new AbortController()
  readonly #old: OneByOne

  constructor(deps: FeedsDeps) {
    this.#deps = deps
    const one = oneAfterTheOther()
    // What followers read of old entries takes half of the time at most, however many they are: payments come first.
    this.#old = (work) =>
      one(async () => {
        const begun = deps.clock.elapsed()
        const result = await work()
        await turn()
        await deps.clock.sleep(deps.clock.elapsed() - begun, this.#closing.signal)
        return result
      })
  }

  /** A pool has a new block. */
  wrote(path: string): void {
    this.#feeds.get(path)?.look()
  }

  /** Aborted when the machine closes. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** Opens the feed of a pool for a follower, who calls `leave` at the end. @throws OverpoolError POOL_NOT_FOUND */
  async enter(path: string): Promise<Feed> {
    let feed = this.#feeds.get(path)
    if (!feed) {
      feed = new Feed(await this.#deps.control(path), this.#deps, this.#old, this.#closing.signal)
      const other = this.#feeds.get(path) // somebody else was first meanwhile
      if (other) feed = other
      else this.#feeds.set(path, feed)
    }
    feed.followers++
    try {
      await feed.begun()
      return feed
    } catch (error) {
      this.leave(feed)
      throw error
    }
  }

  leave(feed: Feed): void {
    if (--feed.followers > 0) return
    feed.end()
    this.#feeds.delete(feed.pool.path)
  }

  /** All followers are let go; they come again. */
  close(): void {
    this.#closing.abort()
    for (const feed of this.#feeds.values()) feed.end()
  }
}

/** The blocks of one pool, for all its followers: each block is read once, and encoded once. */
export class Feed {
  followers = 0
  readonly pool: Pick<PoolControl, 'path' | 'key' | 'prunedBefore'>
  readonly #deps: FeedsDeps
  readonly #old: OneByOne
  readonly #closing: AbortSignal
  /** by number; the one that was used last comes last */
  readonly #cached = new Map<number, EncodedBlock>()
  #cachedBytes = 0
  readonly #wake = new Wake()
  #begun: Promise<void> | undefined
  #ended = false
  #blocks = 0
  #entries = 0
  /** resolves at the next change, or sign of life */
  #moved = Promise.withResolvers<void>()
  #signs: NodeJS.Timeout | undefined

  constructor(pool: Feed['pool'], deps: FeedsDeps, old: OneByOne, closing: AbortSignal) {
    this.pool = pool
    this.#deps = deps
    this.#old = old
    this.#closing = closing
  }

  /** Resolves when it knows how long the pool is. */
  begun(): Promise<void> {
    this.#begun ??= this.#begin()
    return this.#begun
  }

  async #begin(): Promise<void> {
    const { blocks, entries } = lengthOf(await this.#deps.blocks.last(this.pool.path))
    this.#blocks = blocks
    this.#entries = entries
    this.#signs = setInterval(() => this.#tell(), SIGN_OF_LIFE_MS).unref()
    void this.#pump()
  }

  /** How many entries the pool has, as far as the feed has read it. */
  get entries(): number {
    return this.#entries
  }

  /** How many entries the pool has. */
  async length(): Promise<number> {
    return lengthOf(await this.#deps.blocks.last(this.pool.path)).entries
  }

  look(): void {
    this.#wake.wake()
  }

  end(): void {
    this.#ended = true
    clearInterval(this.#signs)
    this.#wake.wake()
    this.#tell()
  }

  /** Reads what is new, as long as somebody follows. */
  async #pump(): Promise<void> {
    const { blocks, clock, lookMs, failed } = this.#deps
    while (!this.#ended) {
      try {
        const page = await blocks.read(this.pool.path, this.#blocks, PAGE)
        for (const block of page) {
          this.#keep(new EncodedBlock(this.pool, block))
          this.#blocks = block.n + 1
          this.#entries = block.first + block.count
        }
        if (page.length) this.#tell()
        else await this.#wake.sleep(clock, lookMs)
      } catch (error) {
        if (this.#ended) return
        failed(error)
        await clock.sleep(RETRY_MS, this.#closing)
      }
    }
  }

  #tell(): void {
    this.#moved.resolve()
    this.#moved = Promise.withResolvers()
  }

  /** Resolves when there is a block of number n, at the next sign of life, when the feed has ended, or the follower has gone. */
  moved(n: number, gone: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (n < this.#blocks || this.#ended || gone.aborted) return resolve()
      const done = () => {
        gone.removeEventListener('abort', done)
        resolve()
      }
      gone.addEventListener('abort', done)
      void this.#moved.promise.then(done)
    })
  }

  hasBlock(n: number): boolean {
    return n < this.#blocks
  }

  /** The number of the block that has an entry, or will have it. */
  async blockOf(seq: number): Promise<number> {
    if (seq >= this.#entries) return this.#blocks
    return (await this.#deps.blocks.find(this.pool.path, seq))?.n ?? this.#blocks
  }

  /** What a follower wants of block n, from sequence number `from` on; undefined if there is no such block yet. */
  async piece(n: number, wanted: Wanted, from: number): Promise<Piece | undefined> {
    if (n >= this.#blocks) return undefined
    const cached = this.#cached.get(n)
    // A block that was just written is encoded at once.
    if (cached && (cached.has(wanted) || n >= this.#blocks - PAGE)) return this.#cut(cached, wanted, from)
    return this.#old(async () => this.#cut(this.#cached.get(n) ?? (await this.#load(n)), wanted, from))
  }

  async #load(n: number): Promise<EncodedBlock> {
    const { blocks } = this.#deps
    const page = await blocks.read(this.pool.path, n, PAGE)
    const [first, ...more] = page.map((block) => new EncodedBlock(this.pool, block))
    if (!first) throw blocks.damaged(this.pool.path, n, new Error('it is missing'))
    for (const block of more.reverse()) if (!this.#cached.has(block.n)) this.#keep(block)
    this.#keep(first)
    return first
  }

  #cut(block: EncodedBlock, wanted: Wanted, from: number): Piece {
    const isCached = this.#cached.delete(block.n)
    if (isCached) this.#cachedBytes -= block.size
    const bytes = block.bytes(wanted, from)
    this.#keep(block)
    return { block, bytes }
  }

  #keep(block: EncodedBlock): void {
    this.#cachedBytes -= this.#cached.get(block.n)?.size ?? 0
    this.#cached.set(block.n, block)
    this.#cachedBytes += block.size
    for (const [n, oldest] of this.#cached) {
      if (this.#cachedBytes <= CACHED_BYTES || this.#cached.size === 1) break
      this.#cached.delete(n)
      this.#cachedBytes -= oldest.size
    }
  }
}
