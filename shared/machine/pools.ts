import { handlerContext } from '../../functions/handler/runner.ts'
import { type CheckedPayment, checkPayment } from '../bip270/payment.ts'
import { type Clock, timeLeft } from '../clock.ts'
import type { CheckedSettings } from '../config/config.ts'
import { OverpoolError } from '../errors.ts'
import { type Block, entriesOf, entryAt } from '../ledger/block.ts'
import { isPeerPool } from '../ledger/capability.ts'
import { type Cause, type EntryId, hex, isUint, type PaymentFields, toStorable } from '../ledger/entry.ts'
import type { Ingress } from '../queue/port.ts'
import { lengthOf, type Mirror, type PoolControl, type Receipt } from '../store/port.ts'
import { scanTransaction } from '../transaction/index.ts'
import { accept, type Poster } from './accept.ts'
import { eventOf, type Payment, type TxEvent } from './event.ts'

/** How long a read waits for posts that are on their way into the ledger, ms. */
const OWN_POSTS_MS = 1_000
/** How often it looks, ms. */
const LOOK_MS = 5
/** It waits for so many of the newest posts to a pool. */
const MAX_OWN_POSTS = 100
/** Pools that an error names. */
const MAX_LISTED = 50
/** `tail` gives ten entries unless told otherwise. */
const TAIL_SIZE = 10

/** What `post` takes for a transaction: its hex, or an object that has it, such as a Transaction of @bsv/sdk (`toHex`) or of bsv 1 (`toString`). */
export type TransactionLike = string | { toHex(): string } | { toString(): string; toBuffer(): Uint8Array }
/** What `post` takes for a payment: a BIP270 Payment, or its transaction alone. */
export type PaymentLike = TransactionLike | ({ transaction: TransactionLike } & PaymentFields)

export interface PostOptions {
  path: string
  payment: PaymentLike
  /** names the post: a second one of this name is no second entry of the pool */
  id?: string
}

export interface Posted {
  payment: Payment
  /** txid, 64 hex */
  hash: string
  id: EntryId
}

/** A `tx` handler; what a user's handler file exports. */
export type OnTx = (event: TxEvent, pool: Pools) => unknown

export interface PoolsDeps {
  mirror: Mirror
  ingress: Ingress
  clock: Clock
  settings: (path: string) => CheckedSettings
  /** told of a post inside a handler that failed, since the handler may not look */
  postFailed: (error: unknown) => void
}

/** A post whose payment has been read: nothing that the program does to its objects from now on changes it. */
export interface CheckedPost {
  path: unknown
  payment: CheckedPayment
}

/** @throws OverpoolError BAD_ARGUMENT, BAD_TRANSACTION, BAD_PAYMENT, PAYMENT_TOO_LARGE */
export function checkPost(options: PostOptions): CheckedPost {
  const { path, payment } = optionsOf(options, 'post')
  const { scanned, fields } = checkPayment(paymentOf(payment))
  return { path, payment: { scanned, fields: toStorable(fields) } }
}

/** The options of a call, none for none, or BAD_ARGUMENT. */
export function optionsOf<T extends object>(options: T | undefined, method: string): Partial<T> {
  if (typeof options === 'object') return options ?? {}
  if (options === undefined) return {}
  throw new OverpoolError('BAD_ARGUMENT', `${method} takes an object, not a ${typeof options}`)
}

/**
 * Runs a post as whoever the calling code is: a program, or a handler at an entry. Its number among the handler's posts is taken at once: what comes
 * first in the code is the first post, however the promises are awaited. A failure inside a handler is told to `failed`, since the handler may not look.
 */
export function asPoster<T>(
  options: { id?: string } | undefined,
  post: (poster: Poster) => Promise<T>,
  failed: (error: unknown) => void,
): Promise<T> {
  const name = options?.id
  const context = handlerContext.getStore()
  if (name !== undefined && (typeof name !== 'string' || !name))
    return Promise.reject(new OverpoolError('BAD_ARGUMENT', 'the id of a post is a string of at least one character'))
  if (!context) return post({ source: 'api', name })
  const { handler, cause, hops } = context
  const posting = post({ source: 'handler', handler, cause, hops, ordinal: context.ordinal++, name })
  if (!context.ended) context.posts.push(posting)
  posting.catch(failed)
  return posting
}

/** The pools of a machine as programs and handlers use them: post, get, tail, read, prune; over the ports, wherever they lead. */
export class Pools {
  readonly #deps: PoolsDeps
  /** posts of each pool that may be on their way into the ledger, the newest of them */
  readonly #ownPosts = new Map<string, Set<Pick<Receipt, 'key' | 'id'>>>()

  constructor(deps: PoolsDeps) {
    this.#deps = deps
  }

  /**
   * Posts a payment; resolves when it is held durably (Promise 2). Each call is a new entry, unless it is named by `id`, or made inside a handler: then a
   * second run of the handler on the same entry posts nothing new (Promise 3).
   * @throws OverpoolError BAD_TRANSACTION, BAD_PAYMENT, POOL_NOT_FOUND, FILTER_REFUSED, FILTER_SILENT, LOOP_TOO_DEEP, UNAVAILABLE
   */
  post(options: PostOptions): Promise<Posted> {
    return asPoster(options, async (poster) => this.postAs(poster, checkPost(options)), this.#deps.postFailed)
  }

  async postAs(poster: Poster, { path, payment }: CheckedPost): Promise<Posted> {
    const { ingress, clock, settings } = this.#deps
    const pool = await this.control(path)
    if (isPeerPool(pool.path)) {
      throw new OverpoolError(
        'POOL_READ_ONLY',
        `${pool.path} is a peer's pool: only its publisher can post to it. Post to a pool of this machine, which they can subscribe to`,
      )
    }
    const door = { path: pool.path, ...settings(pool.path), halted: pool.halted }
    const { id, hash, key } = await accept(door, payment, poster, { ingress, now: clock.now })
    this.#note(pool.path, { key, id })
    return { payment: { transaction: hex(payment.scanned.bytes), ...payment.fields }, hash, id }
  }

  /** The oldest entry of a transaction, or ENTRY_NOT_FOUND. */
  async get(options: { path: string; hash: string }): Promise<TxEvent> {
    const { path, hash } = optionsOf(options, 'get')
    const pool = await this.control(path)
    if (typeof hash !== 'string' || !/^[0-9a-fA-F]{64}$/.test(hash))
      throw new OverpoolError('BAD_ARGUMENT', 'hash is a txid of 64 hex characters')
    const txid = hash.toLowerCase()
    const find = async () => (await this.#deps.mirror.receiptsOf(pool.path, txid))[0]?.seq
    let seq = await find()
    if (seq === undefined) {
      await this.#awaitOwnPosts(pool.path)
      seq = await find()
    }
    if (seq === undefined) {
      await this.#drained() // a wallet's post, it may be
      const { checkpoint } = await this.control(pool.path)
      seq = (await find()) ?? (await this.#findFrom(checkpoint, pool.path, txid))
    }
    if (seq === undefined) throw new OverpoolError('ENTRY_NOT_FOUND', `no transaction ${txid} in "${pool.path}"`)
    const event = await this.#event(pool, seq)
    if (event) return event
    throw new OverpoolError('BAD_BLOCK', `the receipt of ${txid} in "${pool.path}" points to entry ${seq}, which is not there`)
  }

  /** The first entry of a transaction in the blocks from number `n` on: receipts come a moment after their block. */
  async #findFrom(n: number, path: string, txid: string): Promise<number | undefined> {
    const { mirror } = this.#deps
    for (let blocks = await mirror.readBlocks(path, n); blocks.length; blocks = await mirror.readBlocks(path, n)) {
      for (const block of blocks) {
        const place = entriesOf(block).findIndex(({ tx }) => scanTransaction(tx).txid === txid)
        if (place >= 0) return block.first + place
      }
      n += blocks.length
    }
    return undefined
  }

  /** The newest entries, oldest first. */
  async tail(options: { path: string; size?: number }): Promise<TxEvent[]> {
    const { path, size = TAIL_SIZE } = optionsOf(options, 'tail')
    const pool = await this.control(path)
    if (!isUint(size)) throw new OverpoolError('BAD_ARGUMENT', 'size is how many entries you want')
    await this.#awaitOwnPosts(pool.path)
    const length = await this.length(pool.path)
    const events: TxEvent[] = []
    for await (const event of this.#events(pool, Math.max(pool.prunedBefore, length - size), length)) events.push(event)
    return events
  }

  /** The entries from `from` (default: the first) up to, and without, `to` (default: the end as it is when reached). */
  async *read(options: { path: string; from?: number; to?: number }): AsyncGenerator<TxEvent, void> {
    const { path, from = 0, to = Number.MAX_SAFE_INTEGER } = optionsOf(options, 'read')
    const pool = await this.control(path)
    if (!isUint(from) || !isUint(to)) throw new OverpoolError('BAD_ARGUMENT', 'from and to are sequence numbers: 0, 1, 2 …')
    await this.#awaitOwnPosts(pool.path)
    yield* this.#events(pool, Math.max(pool.prunedBefore, from), to)
  }

  /**
   * The entry of a transaction, then the one whose handler posted it, and so on to where the loop began; or as far as this machine sees: pools of its own, and
   * peers' pools that it follows.
   */
  async *trail(options: { path: string; hash: string }): AsyncGenerator<TxEvent, void> {
    const seen = new Set<string>()
    let event: TxEvent | undefined = await this.get(options)
    while (event) {
      yield event
      seen.add(`${event.key}#${event.seq}`)
      const { cause }: TxEvent = event
      if (!cause || seen.has(`${cause.key}#${cause.seq}`)) return // a peer may say that an entry is its own cause
      event = await this.#at(cause)
    }
  }

  async #at({ key, seq }: Cause): Promise<TxEvent | undefined> {
    const pool = (await this.list()).find((each) => each.key === key)
    return pool && this.#event(pool, seq)
  }

  async #event(pool: PoolControl, seq: number): Promise<TxEvent | undefined> {
    const block = await this.#deps.mirror.findBlock(pool.path, seq)
    const entry = block && entryAt(block, seq - block.first)
    return entry && eventOf(pool, seq, entry)
  }

  /** Archives what is there: `tail` and `read` begin after it, `get` still finds it. */
  async prune(pool: string | { path: string }): Promise<void> {
    const { path } = await this.control(typeof pool === 'string' ? pool : optionsOf(pool, 'prune').path)
    await this.#awaitOwnPosts(path)
    await this.#deps.mirror.updatePool(path, { prunedBefore: await this.length(path) })
  }

  /** What is known of a pool, or POOL_NOT_FOUND with those that there are. */
  async control(path: unknown): Promise<PoolControl> {
    const { mirror } = this.#deps
    const pool = typeof path === 'string' ? await mirror.readPool(path) : undefined
    if (pool) return pool
    const there = (await mirror.listPools()).map((each) => each.path)
    const named = typeof path === 'string' ? `no pool named "${path.slice(0, 80)}"` : 'say which pool: { path: … }'
    throw new OverpoolError(
      'POOL_NOT_FOUND',
      `${named}; ${there.length ? `this machine has: ${listed(there)}` : 'this machine has none yet: make one with create({ path })'}`,
    )
  }

  list(): Promise<PoolControl[]> {
    return this.#deps.mirror.listPools()
  }

  /** How many entries a pool has. */
  async length(path: string): Promise<number> {
    return (await this.size(path)).entries
  }

  async size(path: string): Promise<{ blocks: number; entries: number }> {
    return lengthOf(await this.#deps.mirror.lastBlock(path))
  }

  async *#events(pool: PoolControl, from: number, to: number): AsyncGenerator<TxEvent, void> {
    const { mirror } = this.#deps
    let n = from < to ? await this.#blockOf(pool, from) : undefined
    while (n !== undefined) {
      const blocks = await mirror.readBlocks(pool.path, n)
      for (const block of blocks) {
        if (block.first >= to) return
        for (const [i, entry] of entriesOf(block).entries()) {
          const seq = block.first + i
          if (seq >= from && seq < to) yield eventOf(pool, seq, entry)
        }
      }
      n = blocks.length ? n + blocks.length : undefined
    }
  }

  /** The first block that has this entry or a later one. In a peer's log entries may be missing: before the subscription's first, and where a block was passed over. */
  async #blockOf({ path, begins }: PoolControl, seq: number): Promise<number | undefined> {
    const { mirror } = this.#deps
    const block = await mirror.findBlock(path, seq)
    if (block) return block.n
    const last = await mirror.lastBlock(path)
    if (!last || last.first + last.count <= seq) return undefined
    let low = begins?.block ?? 0
    for (let high = last.n; low < high; ) {
      const middle = (low + high) >> 1
      const [{ first, count }] = (await mirror.readBlocks(path, middle, 1)) as [Block]
      if (first + count > seq) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Waits until what was posted from here is in the ledger, for a while: reads come after one's own writes, whatever others write. */
  async #awaitOwnPosts(path: string): Promise<void> {
    const { mirror, clock } = this.#deps
    const posts = this.#ownPosts.get(path)
    if (!posts) return
    const begin = clock.now()
    for (let asked = [...posts]; asked.length; asked = asked.filter((post) => posts.has(post))) {
      const found = await mirror.findReceipts(path, asked)
      const late = !timeLeft(clock, begin, OWN_POSTS_MS)
      for (const [i, post] of asked.entries()) if (found[i] || late) posts.delete(post)
      if (found.includes(undefined) && !late) await clock.sleep(LOOK_MS)
    }
  }

  #note(path: string, post: Pick<Receipt, 'key' | 'id'>): void {
    const posts = this.#ownPosts.get(path) ?? new Set()
    this.#ownPosts.set(path, posts.add(post))
    for (const oldest of posts) if (posts.size > MAX_OWN_POSTS) posts.delete(oldest)
  }

  /** Waits until nothing is on its way into the ledger, for a while. */
  async #drained(): Promise<void> {
    const { ingress, clock } = this.#deps
    const begin = clock.now()
    while (timeLeft(clock, begin, OWN_POSTS_MS)) {
      const { waiting, inFlight } = await ingress.depth()
      if (waiting + inFlight === 0) return
      await clock.sleep(LOOK_MS)
    }
  }
}

function listed(names: string[]): string {
  const more = names.length - MAX_LISTED
  return names.slice(0, MAX_LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

function paymentOf(payment: unknown): unknown {
  if (typeof payment !== 'object' || payment === null) return { transaction: payment }
  const { transaction } = payment as { transaction?: unknown }
  if (typeof transaction === 'object') return { ...payment, transaction: hexOf(transaction) }
  const hex = transaction === undefined ? hexOf(payment) : payment
  return hex === payment ? payment : { transaction: hex }
}

/** A transaction object as its hex, anything else as it is. `toString` gives it in the library of the original's time. */
function hexOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const object = value as { toHex?: unknown; toString(): string }
  try {
    if (typeof object.toHex === 'function') return object.toHex()
    return object.toString === Object.prototype.toString ? value : object.toString()
  } catch (cause) {
    throw new OverpoolError('BAD_PAYMENT', 'the transaction object could not be turned into hex', { cause })
  }
}
