import { type Clock, timeLeft } from '../clock.ts'
import type { CheckedSettings } from '../config/config.ts'
import { OverpoolError } from '../errors.ts'
import { type Block, entriesOf, entryAt } from '../ledger/block.ts'
import { type Cause, type Entry, KINDS, type Kind } from '../ledger/kinds.ts'
import { hex, isUint } from '../ledger/values.ts'
import type { Ingress } from '../queue/port.ts'
import { lengthOf } from '../store/blocks.ts'
import type { PoolControl } from '../store/control.ts'
import type { Stores } from '../store/port.ts'
import { scanTransaction } from '../transaction/index.ts'
import { type Accepted, accept, type Poster } from './accept.ts'
import { Copies } from './copies.ts'
import { type EventOfKind, eventOf, type LedgerEvent, type TxEvent } from './event.ts'
import { findPool } from './find-pool.ts'
import { optionsOf } from './options.ts'
import { asPoster, type CheckedPost, checkPost, type Posted, type PostOptions } from './post.ts'

/** A read waits at most this long for this program's own posts to enter the ledger, ms. */
const OWN_POSTS_MS = 1_000
/** How often it checks, ms. */
const LOOK_MS = 5
/** It waits for at most this many posts of a pool, the newest ones. */
const MAX_OWN_POSTS = 100
/** Default size of `tail`. */
const TAIL_SIZE = 10
/** How many entries `tail` reads per step back, when entries of other kinds lie between those that it shows. */
const TAIL_PAGE = 256

/** The kinds of entries that `tail` and `read` show; 'all' includes unknown kinds. Default: transactions. */
export type Kinds = readonly Kind[] | 'all'
/** The events of these kinds. */
export type EventOfKinds<K extends Kinds> = K extends readonly Kind[] ? EventOfKind<K[number]> : LedgerEvent

export interface TailOptions {
  path: string
  size?: number
}

export interface ReadOptions {
  path: string
  /** sequence numbers: the first one, and the one after the last */
  from?: number
  to?: number
}

/** As in `underpool`. */
export interface PruneOptions {
  /** true, or left out: the old entries are archived. A number of archives to keep is refused, since a ledger deletes nothing */
  archive?: boolean
}

function shownKinds(kinds: Kinds = ['tx']): (kind: Entry['kind']) => boolean {
  if (kinds === 'all') return () => true
  const shown = new Set<string>(Array.isArray(kinds) ? kinds : [])
  if (!shown.size || [...shown].some((kind) => !KINDS.includes(kind as Kind)))
    throw new OverpoolError('BAD_ARGUMENT', `kinds is 'all', or a list of ${KINDS.join(', ')}`)
  return (kind) => shown.has(kind)
}

export interface LedgerPoolsDeps {
  stores: Stores
  ingress: Ingress
  /** shared with a door of this process */
  copies?: Copies
  clock: Clock
  settings: (path: string) => CheckedSettings
  /** called with the failure of a post inside a handler, which the handler may not notice */
  postFailed: (error: unknown) => void
}

/** The pools of a machine over its ports: post, get, tail, read, trail, prune. */
export class LedgerPools {
  readonly #deps: LedgerPoolsDeps
  readonly #copies: Copies
  /** this program's newest posts, by pool, until they are seen in the ledger */
  readonly #ownPosts = new Map<string, Set<Accepted>>()

  constructor(deps: LedgerPoolsDeps) {
    this.#deps = deps
    this.#copies = deps.copies ?? new Copies(deps.stores.receipts, deps.ingress)
  }

  /**
   * Posts a payment; resolves when it is durable (Promise 2). Each call is a new entry, unless `id` names it, or a handler makes it: a second run of the handler on the
   * same entry posts nothing new (Promise 3).
   * @throws OverpoolError BAD_TRANSACTION, BAD_PAYMENT, POOL_NOT_FOUND, FILTER_REFUSED, FILTER_SILENT, LOOP_TOO_DEEP, UNAVAILABLE
   */
  post(options: PostOptions): Promise<Posted> {
    return asPoster(options, async (poster) => this.postAs(poster, checkPost(options)), this.#deps.postFailed)
  }

  async postAs(poster: Poster, { path, payment }: CheckedPost): Promise<Posted> {
    const { ingress, clock, settings } = this.#deps
    const pool = await this.control(path)
    if (pool.kind === 'peer') {
      throw new OverpoolError(
        'POOL_READ_ONLY',
        `${pool.path} is a peer's pool: only its publisher can post to it. Post to a pool of this machine, which they can subscribe to`,
      )
    }
    const door = { path: pool.path, ...settings(pool.path), halted: pool.halted }
    const { id, hash, key } = await accept(door, payment, poster, { ingress, now: clock.now, copies: this.#copies })
    this.#note(pool.path, { key, id, hash })
    return { payment: { transaction: hex(payment.scanned.bytes), ...payment.fields }, hash, id }
  }

  /** The oldest entry of a transaction, or ENTRY_NOT_FOUND. */
  async get(options: { path: string; hash: string }): Promise<TxEvent> {
    const { path, hash } = optionsOf(options, 'get')
    const pool = await this.control(path)
    if (typeof hash !== 'string' || !/^[0-9a-fA-F]{64}$/.test(hash))
      throw new OverpoolError('BAD_ARGUMENT', 'hash is a txid of 64 hex characters')
    const txid = hash.toLowerCase()
    const find = async () => (await this.#deps.stores.receipts.ofTransaction(pool.path, txid))[0]?.seq
    let seq = await find()
    if (seq === undefined) {
      await this.#awaitOwnPosts(pool.path)
      seq = await find()
    }
    if (seq === undefined) {
      await this.#drained() // it may be a wallet's post that is not in the ledger yet
      const { checkpoint } = await this.control(pool.path)
      seq = (await find()) ?? (await this.#findFrom(checkpoint, pool.path, txid))
    }
    if (seq === undefined) throw new OverpoolError('ENTRY_NOT_FOUND', `no transaction ${txid} in "${pool.path}"`)
    const event = await this.#event(pool, seq)
    if (event?.kind === 'tx') return event
    throw new OverpoolError(
      'BAD_BLOCK',
      `the receipt of ${txid} in "${pool.path}" points to entry ${seq}, which is missing or is no transaction`,
    )
  }

  /** The first entry of a transaction in block n or later. Receipts are written a moment after their block, so the newest blocks are searched. */
  async #findFrom(n: number, path: string, txid: string): Promise<number | undefined> {
    const { stores } = this.#deps
    for (let blocks = await stores.blocks.read(path, n); blocks.length; blocks = await stores.blocks.read(path, n)) {
      for (const block of blocks) {
        const place = entriesOf(block).findIndex((entry) => entry.kind === 'tx' && scanTransaction(entry.tx).txid === txid)
        if (place >= 0) return block.first + place
      }
      n += blocks.length
    }
    return undefined
  }

  /** The newest entries of these kinds, oldest first. */
  tail(options: TailOptions): Promise<TxEvent[]>
  tail<K extends Kinds>(options: TailOptions & { kinds: K }): Promise<EventOfKinds<K>[]>
  async tail(options: TailOptions & { kinds?: Kinds }): Promise<LedgerEvent[]> {
    return this.#newest(options, (event) => event)
  }

  /** The sequence number at which the newest entries begin that `tail` returns: to read large ones one after the other. */
  async tailStart(options: TailOptions & { kinds?: Kinds }): Promise<number> {
    const [first] = await this.#newest(options, ({ seq }) => seq)
    return first ?? this.length(options.path)
  }

  async #newest<T>(options: TailOptions & { kinds?: Kinds }, take: (event: LedgerEvent) => T): Promise<T[]> {
    const { path, size = TAIL_SIZE, kinds } = optionsOf(options, 'tail')
    const pool = await this.control(path)
    if (!isUint(size)) throw new OverpoolError('BAD_ARGUMENT', 'size is the number of entries: 0, 1, 2 …')
    const shows = shownKinds(kinds)
    await this.#awaitOwnPosts(pool.path)
    let taken: T[] = []
    // Entries of other kinds may lie between: it looks further back, a page at a time.
    let to = await this.length(pool.path)
    for (let missing = size; missing > 0 && to > pool.prunedBefore; missing = size - taken.length) {
      const from = Math.max(pool.prunedBefore, to - (taken.length || to < size ? Math.max(missing, TAIL_PAGE) : missing))
      const page = await Array.fromAsync(this.#events(pool, from, to, shows), take)
      taken = [...page, ...taken]
      to = from
    }
    return taken.slice(Math.max(0, taken.length - size))
  }

  /** The entries from `from` (default: the first) up to, and without, `to` (default: the end as it is when reached). */
  read(options: ReadOptions): AsyncGenerator<TxEvent, void>
  read<K extends Kinds>(options: ReadOptions & { kinds: K }): AsyncGenerator<EventOfKinds<K>, void>
  async *read(options: ReadOptions & { kinds?: Kinds }): AsyncGenerator<LedgerEvent, void> {
    const { path, from = 0, to = Number.MAX_SAFE_INTEGER, kinds } = optionsOf(options, 'read')
    const pool = await this.control(path)
    if (!isUint(from) || !isUint(to)) throw new OverpoolError('BAD_ARGUMENT', 'from and to are sequence numbers: 0, 1, 2 …')
    const shows = shownKinds(kinds)
    await this.#awaitOwnPosts(pool.path)
    yield* this.#events(pool, Math.max(pool.prunedBefore, from), to, shows)
  }

  /**
   * The entry of a transaction, then its cause, and so on back to where the loop began, or as far as this machine has the entries: in its own pools and its
   * subscriptions.
   */
  async *trail(options: { path: string; hash: string }): AsyncGenerator<TxEvent, void> {
    const seen = new Set<string>()
    let event: LedgerEvent | undefined = await this.get(options)
    while (event) {
      if (event.kind === 'tx') yield event
      seen.add(`${event.key}#${event.seq}`)
      const { cause }: LedgerEvent = event
      if (!cause || seen.has(`${cause.key}#${cause.seq}`)) return // a peer may claim that an entry is its own cause
      event = await this.#at(cause)
    }
  }

  async #at({ key, seq }: Cause): Promise<LedgerEvent | undefined> {
    const pool = (await this.list()).find((each) => each.key === key)
    return pool && this.#event(pool, seq)
  }

  async #event(pool: PoolControl, seq: number): Promise<LedgerEvent | undefined> {
    const block = await this.#deps.stores.blocks.find(pool.path, seq)
    const entry = block && entryAt(block, seq - block.first)
    return entry && eventOf(pool, seq, entry)
  }

  /** Archives the entries of a pool: `tail` and `read` begin after them, `get` still finds them. */
  async prune(pool: string | { path: string }, options?: PruneOptions): Promise<void> {
    const { archive = true } = optionsOf(options, 'prune(…, { archive })')
    if (archive !== true)
      throw new OverpoolError(
        'BAD_ARGUMENT',
        'a pool is an append-only ledger: prune archives its entries and deletes none. Leave `archive` out, or set it to true',
      )
    const { path } = await this.control(typeof pool === 'string' ? pool : optionsOf(pool, 'prune').path)
    await this.#awaitOwnPosts(path)
    await this.#deps.stores.control.update(path, { prunedBefore: await this.length(path) })
  }

  /** The control item of a pool, or POOL_NOT_FOUND. */
  control(path: unknown): Promise<PoolControl> {
    return findPool(this.#deps.stores.control, path)
  }

  list(): Promise<PoolControl[]> {
    return this.#deps.stores.control.list()
  }

  /** How many entries a pool has. */
  async length(path: string): Promise<number> {
    return (await this.size(path)).entries
  }

  async size(path: string): Promise<{ blocks: number; entries: number }> {
    return lengthOf(await this.#deps.stores.blocks.last(path))
  }

  async *#events(pool: PoolControl, from: number, to: number, shows: (kind: Entry['kind']) => boolean): AsyncGenerator<LedgerEvent, void> {
    const { stores } = this.#deps
    let n = from < to ? await this.#blockOf(pool, from) : undefined
    while (n !== undefined) {
      const blocks = await stores.blocks.read(pool.path, n)
      for (const block of blocks) {
        if (block.first >= to) return
        for (const [i, entry] of entriesOf(block).entries()) {
          const seq = block.first + i
          if (seq >= from && seq < to && shows(entry.kind)) yield eventOf(pool, seq, entry)
        }
      }
      n = blocks.length ? n + blocks.length : undefined
    }
  }

  /** The first block that has this entry or a later one. A peer's log may lack entries: before the start of the subscription, and where a block was passed over. */
  async #blockOf({ path, begins }: PoolControl, seq: number): Promise<number | undefined> {
    const { stores } = this.#deps
    const block = await stores.blocks.find(path, seq)
    if (block) return block.n
    const last = await stores.blocks.last(path)
    if (!last || last.first + last.count <= seq) return undefined
    let low = begins?.block ?? 0
    for (let high = last.n; low < high; ) {
      const middle = (low + high) >> 1
      const [{ first, count }] = (await stores.blocks.read(path, middle, 1)) as [Block]
      if (first + count > seq) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Waits, for a while, until this program's own posts are in the ledger: it reads its own writes. */
  async #awaitOwnPosts(path: string): Promise<void> {
    const { stores, clock, settings } = this.#deps
    const posts = this.#ownPosts.get(path)
    if (!posts) return
    // Where a transaction is one entry, that of another poster may stand for ours.
    const isUnique = settings(path).unique === 'transaction'
    const ofTransaction = async ({ hash }: Accepted) => (await stores.receipts.ofTransaction(path, hash))[0]
    const begin = clock.elapsed()
    for (let asked = [...posts]; asked.length; asked = asked.filter((post) => posts.has(post))) {
      const found = isUnique ? await Promise.all(asked.map(ofTransaction)) : await stores.receipts.find(path, asked)
      const late = !timeLeft(clock, begin, OWN_POSTS_MS)
      for (const [i, post] of asked.entries()) if (found[i] || late) posts.delete(post)
      if (found.includes(undefined) && !late) await clock.sleep(LOOK_MS)
    }
  }

  #note(path: string, post: Accepted): void {
    const posts = this.#ownPosts.get(path) ?? new Set()
    this.#ownPosts.set(path, posts.add(post))
    for (const oldest of posts) if (posts.size > MAX_OWN_POSTS) posts.delete(oldest)
  }

  /** Waits, for a while, until the ingress queue is empty. */
  async #drained(): Promise<void> {
    const { ingress, clock } = this.#deps
    const begin = clock.elapsed()
    while (timeLeft(clock, begin, OWN_POSTS_MS)) {
      const { waiting, inFlight } = await ingress.depth()
      if (waiting + inFlight === 0) return
      await clock.sleep(LOOK_MS)
    }
  }
}
