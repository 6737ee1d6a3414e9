import { checkPayment } from '../../shared/bip270/payment.ts'
import type { Clock } from '../../shared/clock.ts'
import type { CheckedSettings } from '../../shared/config.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { entriesOf } from '../../shared/ledger/block.ts'
import { isPeerPool } from '../../shared/ledger/capability.ts'
import { type Cause, type EntryId, hex, isUint, type PaymentFields } from '../../shared/ledger/entry.ts'
import type { Mirror, PoolControl } from '../../shared/mirror/port.ts'
import type { Ingress } from '../../shared/queue/port.ts'
import { accept, type Poster } from '../payments/accept.ts'
import { eventOf, type Payment, type TxEvent } from './event.ts'
import { handlerContext } from './runner.ts'

/** How long a read waits for posts that are on their way into the ledger, ms. */
const SETTLE_MS = 1_000
/** `tail` gives ten entries unless told otherwise. */
const TAIL_SIZE = 10

/** What `post` takes for a transaction: its hex, or a transaction object such as that of @bsv/sdk. */
export type TransactionLike = string | { toHex(): string }
/** What `post` takes for a payment: a BIP270 Payment, or its transaction alone. */
export type PaymentLike = TransactionLike | ({ transaction: TransactionLike } & PaymentFields)

/** What a user's handler file exports. */
export type OnTx = (event: TxEvent, pool: Pools) => unknown

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

export interface PoolsDeps {
  mirror: Mirror
  ingress: Ingress
  clock: Clock
  settings: (path: string) => CheckedSettings
  /** told of a post inside a handler that failed, since the handler may not look */
  postFailed: (error: unknown) => void
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
  context.posts.push(posting)
  posting.catch(failed)
  return posting
}

/** The pools of a machine as programs and handlers use them: post, get, tail, read, prune; over the ports, wherever they lead. */
export class Pools {
  readonly #deps: PoolsDeps
  readonly #unsettled = new Set<string>()

  constructor(deps: PoolsDeps) {
    this.#deps = deps
  }

  /**
   * Posts a payment; resolves when it is held durably (Promise 2). Each call is a new entry, unless it is named by `id`, or made inside a handler: then a
   * second run of the handler on the same entry posts nothing new (Promise 3).
   * @throws OverpoolError BAD_TRANSACTION, BAD_PAYMENT, POOL_NOT_FOUND, FILTER_REFUSED, LOOP_TOO_DEEP, UNAVAILABLE
   */
  post(options: PostOptions): Promise<Posted> {
    return asPoster(options, (poster) => this.postAs(poster, options), this.#deps.postFailed)
  }

  async postAs(poster: Poster, { path, payment }: PostOptions): Promise<Posted> {
    const { ingress, clock, settings } = this.#deps
    const pool = await this.control(path)
    if (isPeerPool(path)) {
      throw new OverpoolError(
        'POOL_READ_ONLY',
        `${path} is a peer's pool: only its publisher can post to it. Post to a pool of this machine, which they can subscribe to`,
      )
    }
    if (pool.halted) throw new OverpoolError('POOL_HALTED', `"${path}" takes no posts: ${pool.halted}`)
    const checked = checkPayment(paymentOf(payment))
    const { id, hash } = await accept({ path, ...settings(path) }, checked, poster, { ingress, now: clock.now })
    this.#unsettled.add(path)
    return { payment: { transaction: hex(checked.scanned.bytes), ...checked.fields }, hash, id }
  }

  /** The oldest entry of a transaction, or ENTRY_NOT_FOUND. */
  async get({ path, hash }: { path: string; hash: string }): Promise<TxEvent> {
    const pool = await this.control(path)
    if (typeof hash !== 'string' || !/^[0-9a-fA-F]{64}$/.test(hash))
      throw new OverpoolError('BAD_ARGUMENT', 'hash is a txid of 64 hex characters')
    const txid = hash.toLowerCase()
    const find = async () => (await this.#deps.mirror.receiptsOf(path, txid))[0]
    let receipt = await find()
    if (!receipt) {
      await this.#settle()
      receipt = await find()
    }
    if (!receipt) throw new OverpoolError('ENTRY_NOT_FOUND', `no transaction ${txid} in "${path}"`)
    const { seq } = receipt
    for await (const event of this.#events(pool, seq, seq + 1)) return event
    throw new OverpoolError('BAD_BLOCK', `the receipt of ${txid} in "${path}" points to entry ${seq}, which is not there`)
  }

  /** The newest entries, oldest first. */
  async tail({ path, size = TAIL_SIZE }: { path: string; size?: number }): Promise<TxEvent[]> {
    const pool = await this.control(path)
    if (!isUint(size)) throw new OverpoolError('BAD_ARGUMENT', 'size is how many entries you want')
    if (this.#unsettled.delete(path)) await this.#settle()
    const length = await this.length(path)
    const events: TxEvent[] = []
    for await (const event of this.#events(pool, Math.max(pool.prunedBefore, length - size), length)) events.push(event)
    return events
  }

  /** The entries from `from` (default: the first) up to, and without, `to` (default: the end as it is when reached). */
  async *read({
    path,
    from = 0,
    to = Number.MAX_SAFE_INTEGER,
  }: {
    path: string
    from?: number
    to?: number
  }): AsyncGenerator<TxEvent, void> {
    const pool = await this.control(path)
    if (!isUint(from) || !isUint(to)) throw new OverpoolError('BAD_ARGUMENT', 'from and to are sequence numbers: 0, 1, 2 …')
    if (this.#unsettled.delete(path)) await this.#settle()
    yield* this.#events(pool, Math.max(pool.prunedBefore, from), to)
  }

  /**
   * The entry of a transaction, then the one whose handler posted it, and so on to where the loop began; or as far as this machine sees: pools of its own, and
   * peers' pools that it follows.
   */
  async *trail({ path, hash }: { path: string; hash: string }): AsyncGenerator<TxEvent, void> {
    let event: TxEvent | undefined = await this.get({ path, hash })
    while (event) {
      yield event
      const { cause }: TxEvent = event
      event = cause && (await this.#at(cause))
    }
  }

  async #at({ key, seq }: Cause): Promise<TxEvent | undefined> {
    const pool = (await this.list()).find((each) => each.key === key)
    if (!pool) return undefined
    for await (const event of this.#events(pool, seq, seq + 1)) return event
    return undefined
  }

  /** Archives what is there: `tail` and `read` begin after it, `get` still finds it. */
  async prune(path: string): Promise<void> {
    await this.control(path)
    if (this.#unsettled.delete(path)) await this.#settle()
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
      `${named}; ${there.length ? `this machine has: ${there.join(', ')}` : 'this machine has none yet: make one with create({ path })'}`,
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
    const last = await this.#deps.mirror.lastBlock(path)
    return last ? { blocks: last.n + 1, entries: last.first + last.count } : { blocks: 0, entries: 0 }
  }

  async *#events(pool: PoolControl, from: number, to: number): AsyncGenerator<TxEvent, void> {
    const { mirror } = this.#deps
    let n = from < to ? (await mirror.findBlock(pool.path, from))?.n : undefined
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

  /** Waits until what has been posted is in the ledger, for a while: reads come after one's own writes. */
  async #settle(): Promise<void> {
    const { ingress, clock } = this.#deps
    const end = clock.now() + SETTLE_MS
    while (clock.now() < end) {
      const { waiting, inFlight } = await ingress.depth()
      if (waiting + inFlight === 0) return
      await clock.sleep(5)
    }
  }
}

function paymentOf(payment: PaymentLike): unknown {
  if (typeof payment !== 'object' || payment === null) return { transaction: payment }
  if (isTransaction(payment)) return { transaction: payment.toHex() }
  return isTransaction(payment.transaction) ? { ...payment, transaction: payment.transaction.toHex() } : payment
}

function isTransaction(value: unknown): value is { toHex(): string } {
  return typeof (value as { toHex?: unknown } | null | undefined)?.toHex === 'function'
}
