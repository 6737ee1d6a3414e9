import type { Clock } from '../../shared/clock.ts'
import { closed, OverpoolError } from '../../shared/errors.ts'
import { decodeIngress, type IngressMessage } from '../../shared/ledger/messages.ts'
import type { PoolName } from '../../shared/ledger/pool.ts'
import type { Message, Queue } from '../../shared/queue/port.ts'
import { receiveLoop } from '../../shared/queue/receive.ts'
import type { PoolControl } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { CoreStore, PoolCore } from '../cores/core.ts'
import type { Report } from '../report.ts'
import { retrying } from '../retrying.ts'
import { Bells } from './bells.ts'
import type { Ringer } from './effects.ts'
import { PoolWriter, type WriterOptions } from './writer.ts'

/** Messages taken from the ingress queue at once. */
const RECEIVE_MAX = 256
/** None are taken while so many posts, or bytes of them, are in hand: enough for the writers, and what lies in the queue costs no memory. */
const MAX_POSTS_IN_HAND = 2_048
const MAX_BYTES_IN_HAND = 16 * 1024 * 1024
/** Messages that wait for a pool to be opened at most; more of them are given back for so long, ms. */
const MAX_WAITING = 512
const WAIT_MS = 1_000
/** A message that nothing can be done with for now is given back for so long, ms. */
const SET_ASIDE_MS = 60_000
/** A loop that has had work and has not moved for so long stands still, ms: longer than a long poll and its retries. */
const STILL_MS = 90_000
/** The writer of a pool that is another shard's is closed when nothing has come for it for so long, ms. */
const GUEST_MS = 10_000

export interface IngressConsumerOptions {
  stores: Stores
  ingress: Queue
  cores: Pick<CoreStore, 'open' | 'purge'>
  ringers: (pool: PoolName) => Ringer[]
  clock: Clock
  report: Report
  batchMs?: (pool: string) => number
  busy?: WriterOptions['busy']
  sweepMs?: number
  /** which pools are this shard's; default: all of them */
  owns?: (pool: string) => boolean
}

/** Takes posts from the ingress queue to the writers of their pools. Whoever starts it stops it. */
export class IngressConsumer {
  /** the effects of the pools that are open */
  readonly bells = new Bells()
  readonly #options: IngressConsumerOptions
  readonly #writers = new Map<string, Promise<PoolWriter>>()
  /** those that are open, by their pools, and what they write to */
  readonly #open = new Map<string, { writer: PoolWriter; core: PoolCore }>()
  /** by pool, posts of this process that are in the queue: those that come after them must not overtake them */
  readonly #queued = new Map<string, Set<string>>()
  /** messages that wait for their pool to be opened */
  readonly #waiting = new Map<string, number>()
  /** pools of other shards, and when a post for them came last: it was sent here before the shards became more */
  readonly #guests = new Map<string, number>()
  readonly #closing = new Map<string, Promise<void>>()
  /** messages that are to be given back, by their delays, and what of that is under way */
  readonly #back = new Map<number, Message[]>()
  readonly #giving = new Set<Promise<void>>()
  readonly #stopped = new AbortController()
  #receiving = Promise.resolve()
  #received: number

  static start(options: IngressConsumerOptions): IngressConsumer {
    const consumer = new IngressConsumer(options)
    consumer.#receiving = consumer.#receive()
    return consumer
  }

  private constructor(options: IngressConsumerOptions) {
    this.#options = options
    this.#received = options.clock.now()
  }

  /** Opens the writer of a pool, if it is not open: recovers what an earlier process left (Promise 4). */
  async writer(path: string): Promise<PoolWriter> {
    const there = this.#writers.get(path)
    if (there) return there
    if (this.#stopped.signal.aborted) throw closed()
    const closing = this.#closing.get(path)
    return this.#opening(path, closing ? closing.then(() => this.#openWriter(path)) : this.#openWriter(path))
  }

  /** Whether it goes on taking posts, and the writers go on with those that they have. */
  get moves(): boolean {
    const since = this.#options.clock.now() - STILL_MS
    return this.#received > since && [...this.#open.values()].every(({ writer }) => writer.movedAt > since)
  }

  /** Closes the writer of a pool and opens it again: its core is to be made anew. */
  async reopen(path: string): Promise<void> {
    if (this.#stopped.signal.aborted) throw closed()
    const before = this.writer(path)
    const again = before.then(async (writer) => {
      await this.#close(writer)
      return this.#openWriter(path)
    })
    await this.#opening(path, again)
  }

  #opening(path: string, writer: Promise<PoolWriter>): Promise<PoolWriter> {
    this.#writers.set(path, writer)
    writer.catch(() => this.#writers.delete(path)) // so that the next call tries again
    return writer
  }

  async #openWriter(path: string): Promise<PoolWriter> {
    const { stores, ingress, cores, ringers, clock, report, batchMs, busy, sweepMs } = this.#options
    const stopping = this.#stopped.signal
    const retry = retrying(path, this.#options, () => stopping.aborted)
    const pool = await retry('open', () => this.#readPool(path))
    if (!pool || pool.kind === 'peer') throw new OverpoolError('POOL_NOT_FOUND', `no pool named "${path}" of ours in this ledger`)
    if (pool.rebuild) {
      await cores.purge(pool.key)
      await stores.control.beginAnew(path, await stores.blocks.last(path))
    }
    const alarm = (what: string) => {
      const error = new OverpoolError(
        'POOL_HALTED',
        `the hypercore of "${path}" reports ${what}: its key has signed another ledger, on another machine with this seed`,
      )
      this.#writers.get(path)?.then(
        (writer) => writer.halt(error),
        () => {},
      )
    }
    const core = await cores.open(path, { encrypted: pool.desired?.encrypt, alarm })
    const writer = await PoolWriter.open({
      path,
      stores,
      ingress,
      core,
      clock,
      report,
      ringers: () => ringers(pool),
      batchMs: batchMs?.(path),
      busy,
      sweepMs,
      bells: this.bells,
      stopping,
    })
    this.#open.set(path, { writer, core })
    return writer
  }

  /** That a hypercore is to be made again is said once, to the sidecar that offers it: a guest's is not that one, and waits. */
  async #readPool(path: string): Promise<PoolControl | undefined> {
    const pool = await this.#options.stores.control.read(path)
    if (!pool?.rebuild || !this.#isGuest(path)) return pool
    throw new OverpoolError('UNAVAILABLE', `the hypercore of "${path}" is to be made again, by the sidecar of its own shard`, {
      retryable: true,
    })
  }

  #isGuest(path: string): boolean {
    return this.#options.owns?.(path) === false
  }

  async #close({ path }: PoolWriter): Promise<void> {
    const { report } = this.#options
    const { writer, core } = this.#open.get(path)!
    this.#open.delete(path)
    await writer.stop()
    // One core that cannot be closed keeps no other from it.
    await core.close().catch((error) => report({ kind: 'retrying', pool: path, step: 'close', error }))
  }

  /** The writer that takes posts of this process for a pool without the queue, if one can. */
  directWriter(pool: string): PoolWriter | undefined {
    if (this.#stopped.signal.aborted || this.#queued.has(pool)) return undefined
    const writer = this.#open.get(pool)?.writer
    return writer?.takesDirect ? writer : undefined
  }

  /** A post of this process goes into the queue: until it has come from there, those that follow go the same way. */
  noteQueued({ pool, id }: Pick<IngressMessage, 'pool' | 'id'>): void {
    const queued = this.#queued.get(pool) ?? new Set()
    this.#queued.set(pool, queued.add(id))
  }

  /** It has come from the queue, or could not be sent. */
  forgetQueued({ pool, id }: Pick<IngressMessage, 'pool' | 'id'>): void {
    const queued = this.#queued.get(pool)
    if (queued?.delete(id) && !queued.size) this.#queued.delete(pool)
  }

  /** Why nothing is appended to a pool any more, if so. */
  halted(path: string): OverpoolError | undefined {
    return this.#open.get(path)?.writer.halted
  }

  #receive(): Promise<void> {
    const { ingress, clock, report } = this.#options
    return receiveLoop({
      queue: ingress,
      max: RECEIVE_MAX,
      clock,
      signal: this.#stopped.signal,
      room: () => this.#room(),
      take: (messages) => {
        this.#received = clock.now()
        for (const message of messages) this.#handOver(message)
        this.#letGuestsGo()
      },
      report: (error) => report({ kind: 'retrying', pool: '', step: 'receive', error }),
    })
  }

  async #room(): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#stopped
    while (this.handsFull && !signal.aborted) {
      this.#received = clock.now() // the writers say for themselves whether they go on
      await clock.sleep(5, signal)
    }
  }

  /** Whether so much is in hand that more has to wait in the queue. */
  get handsFull(): boolean {
    let posts = 0
    let bytes = 0
    for (const { writer } of this.#open.values()) {
      posts += writer.postsInHand
      bytes += writer.bytesInHand
    }
    return posts >= MAX_POSTS_IN_HAND || bytes >= MAX_BYTES_IN_HAND
  }

  /** Hands a message to the writer of its pool. A pool that is being opened, which may take long, holds up no other: its messages wait for it. */
  #handOver(message: Message): void {
    let post: IngressMessage
    try {
      post = decodeIngress(message.body)
    } catch (error) {
      this.#setAside(message, error)
      return
    }
    const { pool } = post
    if (this.#isGuest(pool)) this.#guests.set(pool, this.#options.clock.now())
    const open = this.#open.get(pool)
    const waiting = this.#waiting.get(pool) ?? 0
    if (open) this.#give(open.writer, post, message)
    else if (waiting >= MAX_WAITING) this.#giveBack(message, WAIT_MS)
    else this.#wait(post, message, waiting)
  }

  #wait(post: IngressMessage, message: Message, waiting: number): void {
    const { pool } = post
    this.#waiting.set(pool, waiting + 1)
    void this.writer(pool)
      .then(
        (writer) => this.#give(writer, post, message),
        (error) => this.#setAside(message, error),
      )
      .finally(() => this.#waiting.set(pool, this.#waiting.get(pool)! - 1))
  }

  #give(writer: PoolWriter, post: IngressMessage, message: Message): void {
    this.forgetQueued(post)
    if (writer.halted) this.#giveBack(message, SET_ASIDE_MS)
    else writer.accept(post, message)
  }

  /**
   * A post for another shard's pool is written all the same: the condition on blocks decides between its sidecar and this one (Promise 1). But two that keep one
   * pool cost twice, so its writer is closed as soon as it has no more to do.
   */
  #letGuestsGo(): void {
    const { clock, report } = this.#options
    for (const [pool, at] of this.#guests) {
      const writer = this.#open.get(pool)?.writer
      if (!writer || writer.postsInHand || this.#waiting.get(pool) || clock.now() - at < GUEST_MS) continue
      this.#guests.delete(pool)
      this.#writers.delete(pool)
      const closing = this.#close(writer)
        .catch((error) => report({ kind: 'retrying', pool, step: 'close', error }))
        .finally(() => this.#closing.delete(pool))
      this.#closing.set(pool, closing)
    }
  }

  /** Not ours, or for a pool that is not there: kept, since a person may know more. */
  #setAside(message: Message, error: unknown): void {
    const isStopped = this.#stopped.signal.aborted
    if (!isStopped) this.#options.report({ kind: 'bad-message', error })
    this.#giveBack(message, isStopped ? 0 : SET_ASIDE_MS)
  }

  /**
   * Gives back together what is to be given back at this moment, beside the loop: a halted pool of many posts holds up no other. What cannot be given back comes
   * again by itself.
   */
  #giveBack(message: Message, delayMs: number): void {
    const { ingress, report } = this.#options
    const messages = this.#back.get(delayMs) ?? []
    messages.push(message)
    if (messages.length > 1) return
    this.#back.set(delayMs, messages)
    const given = Promise.resolve()
      .then(() => {
        this.#back.delete(delayMs)
        return ingress.giveBack(messages, delayMs)
      })
      .catch((error) => report({ kind: 'retrying', pool: '', step: 'give back', error }))
      .finally(() => this.#giving.delete(given))
    this.#giving.add(given)
  }

  /** Receives no more, puts what is in hand, lets the effects go out. What remains is redone by the next start. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#receiving
    const writers = await Promise.allSettled(this.#writers.values())
    await Promise.all(writers.flatMap((writer) => (writer.status === 'fulfilled' ? [this.#close(writer.value)] : [])))
    await Promise.all([...this.#giving, ...this.#closing.values()])
  }
}
