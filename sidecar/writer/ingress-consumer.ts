import type { Clock } from '../../shared/clock.ts'
import { closed, OverpoolError } from '../../shared/errors.ts'
import type { EntryId } from '../../shared/ledger/kinds.ts'
import { decodeIngress, type IngressMessage } from '../../shared/ledger/messages.ts'
import type { PoolName } from '../../shared/ledger/pool.ts'
import type { Message, Queue } from '../../shared/queue/port.ts'
import { receiveLoop } from '../../shared/queue/receive.ts'
import { lastOfWhole } from '../../shared/store/blocks.ts'
import { isDamage } from '../../shared/store/checksum.ts'
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
/** While this many posts or bytes are in hand, no more are received: posts in the queue cost no memory. */
const MAX_POSTS_IN_HAND = 2_048
const MAX_BYTES_IN_HAND = 16 * 1024 * 1024
/** At most this many messages wait for a pool that is being opened; more are given back for this time, ms. */
const MAX_WAITING = 512
const WAIT_MS = 1_000
/** A message that cannot be handled now is put back for this time, ms. */
const SET_ASIDE_MS = 60_000
/** A loop with work that makes no progress for this time is stuck, ms: longer than a long poll and its retries. */
const STUCK_MS = 90_000
/** The writer of another shard's pool is closed after this time without posts, ms. */
const GUEST_MS = 10_000

export interface IngressConsumerOptions {
  stores: Stores
  ingress: Queue
  cores: Pick<CoreStore, 'open' | 'purge'>
  ringers: (pool: PoolName) => Ringer[]
  clock: Clock
  report: Report
  /** whether a pool takes each transaction once; undefined if its settings are not known yet: the stored ones count */
  unique?: (pool: string) => boolean | undefined
  batchMs?: (pool: string) => number | undefined
  /** see PoolWriter */
  chain?: WriterOptions['chain']
  busy?: WriterOptions['busy']
  sweepMs?: number
  /** whether a pool belongs to this shard; default: all do */
  owns?: (pool: string) => boolean
}

/** Takes posts from the ingress queue to the writers of their pools. The caller that starts it stops it. */
export class IngressConsumer {
  /** the effects of the pools that are open */
  readonly bells = new Bells()
  readonly #options: IngressConsumerOptions
  readonly #writers = new Map<string, Promise<PoolWriter>>()
  /** the open writers and their cores, by pool */
  readonly #open = new Map<string, { writer: PoolWriter; core: PoolCore }>()
  /** by pool, ids of this process's posts in the queue: later direct posts must not overtake them */
  readonly #queued = new Map<string, Set<string>>()
  /** messages that wait for their pool to be opened */
  readonly #waiting = new Map<string, number>()
  /** pools of other shards, and when their last post came: it was sent here before the number of shards grew */
  readonly #guests = new Map<string, number>()
  readonly #closing = new Map<string, Promise<void>>()
  /** messages to give back, by delay, and the calls under way */
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
    this.#received = options.clock.elapsed()
  }

  /** Opens the writer of a pool, if it is not open: recovers what an earlier process left (Promise 4). */
  async writer(path: string): Promise<PoolWriter> {
    const opened = this.#writers.get(path)
    if (opened) return opened
    if (this.#stopped.signal.aborted) throw closed()
    const closing = this.#closing.get(path)
    return this.#opening(path, closing ? closing.then(() => this.#openWriter(path)) : this.#openWriter(path))
  }

  /** Whether receiving and all writers make progress. */
  get moves(): boolean {
    const since = this.#options.clock.elapsed() - STUCK_MS
    return this.#received > since && [...this.#open.values()].every(({ writer }) => writer.movedAt > since)
  }

  /** Closes the writer of a pool and opens it again, because its core has to be rebuilt. */
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
    const { stores, ingress, cores, ringers, clock, report, unique, batchMs, chain, busy, sweepMs } = this.#options
    const stopping = this.#stopped.signal
    const retry = retrying(path, this.#options, () => stopping.aborted)
    const pool = await retry('open', () => this.#readPool(path))
    if (!pool || pool.kind === 'peer') throw new OverpoolError('POOL_NOT_FOUND', `no pool named "${path}" of ours in this ledger`)
    if (pool.rebuild) await this.#beginAnew(pool)
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
      unique: () => unique?.(path) ?? pool.settings?.unique === 'transaction',
      batchMs: () => batchMs?.(path) ?? pool.settings?.batchMs ?? 0,
      chain,
      busy,
      sweepMs,
      bells: this.bells,
      stopping,
    })
    this.#open.set(path, { writer, core })
    return writer
  }

  /** Removes the core of a pool, which is rebuilt from the mirror. The core stays if the mirror is damaged: it may have what the mirror lacks. */
  async #beginAnew({ path, key }: PoolControl): Promise<void> {
    const { stores, cores } = this.#options
    try {
      const last = await lastOfWhole(stores.blocks, path)
      await cores.purge(key)
      await stores.control.beginAnew(path, last)
    } catch (error) {
      if (!isDamage(error)) throw error
      await stores.control.update(path, { rebuild: undefined, halted: error.message })
    }
  }

  /** The pool, or UNAVAILABLE while its hypercore waits to be rebuilt by another shard: that sidecar publishes it, and the mark is read once. */
  async #readPool(path: string): Promise<PoolControl | undefined> {
    const pool = await this.#options.stores.control.read(path)
    if (!pool?.rebuild || !this.#isGuest(path)) return pool
    throw new OverpoolError('UNAVAILABLE', `the hypercore of "${path}" waits to be rebuilt by the sidecar of its own shard`, {
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
    // A core that cannot be closed does not stop the others from closing.
    await core.close().catch((error) => report({ kind: 'retrying', pool: path, step: 'close', error }))
  }

  /** The writer that takes direct posts for a pool, if it can take them now. */
  directWriter(pool: string): PoolWriter | undefined {
    if (this.#stopped.signal.aborted || this.#queued.has(pool)) return undefined
    const writer = this.#open.get(pool)?.writer
    return writer?.takesDirect ? writer : undefined
  }

  /** A post of this process goes into the queue: until it comes from there, later posts of the pool use the queue too. */
  noteQueued({ pool, id }: Pick<IngressMessage, 'pool' | 'id'>): void {
    const queued = this.#queued.get(pool) ?? new Set()
    this.#queued.set(pool, queued.add(id))
  }

  /** The post came from the queue, or could not be sent. */
  forgetQueued({ pool, id }: Pick<IngressMessage, 'pool' | 'id'>): void {
    const queued = this.#queued.get(pool)
    if (queued?.delete(id) && !queued.size) this.#queued.delete(pool)
  }

  /** Whether a post of this process waits in the queue, or is in its writer's hands or newest blocks. */
  holds(pool: string, id: EntryId): boolean {
    return (this.#queued.get(pool)?.has(id) || this.#open.get(pool)?.writer.holds(id)) ?? false
  }

  /** Halts a pool, as its control item says. */
  halt(path: string, why: string): void {
    this.#open.get(path)?.writer.halt(new OverpoolError('POOL_HALTED', why))
  }

  /** Why a pool is halted, if it is. */
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
        this.#received = clock.elapsed()
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
      this.#received = clock.elapsed() // the writers report their own progress
      await clock.sleep(5, signal)
    }
  }

  /** Whether more posts have to wait in the queue. */
  get handsFull(): boolean {
    let posts = 0
    let bytes = 0
    for (const { writer } of this.#open.values()) {
      posts += writer.postsInHand
      bytes += writer.bytesInHand
    }
    return posts >= MAX_POSTS_IN_HAND || bytes >= MAX_BYTES_IN_HAND
  }

  /** Hands a message to the writer of its pool. Opening a pool may take long: its messages wait for it, and other pools go on. */
  #handOver(message: Message): void {
    let post: IngressMessage
    try {
      post = decodeIngress(message.body)
    } catch (error) {
      this.#setAside(message, error)
      return
    }
    const { pool } = post
    if (this.#isGuest(pool)) this.#guests.set(pool, this.#options.clock.elapsed())
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
   * A post for another shard's pool is still written: the condition on blocks decides between the two sidecars (Promise 1). Two writers of one pool cost
   * twice, so this one is closed when it has no more to do.
   */
  #letGuestsGo(): void {
    const { clock, report } = this.#options
    for (const [pool, at] of this.#guests) {
      const writer = this.#open.get(pool)?.writer
      if (!writer || writer.postsInHand || this.#waiting.get(pool) || clock.elapsed() - at < GUEST_MS) continue
      this.#guests.delete(pool)
      this.#writers.delete(pool)
      const closing = this.#close(writer)
        .catch((error) => report({ kind: 'retrying', pool, step: 'close', error }))
        .finally(() => this.#closing.delete(pool))
      this.#closing.set(pool, closing)
    }
  }

  /** Puts back a message that cannot be decoded, or whose pool does not exist. It is received again after a minute. On AWS it ends in the dead-letter queue. */
  #setAside(message: Message, error: unknown): void {
    const isStopped = this.#stopped.signal.aborted
    if (!isStopped) this.#options.report({ kind: 'bad-message', error })
    this.#giveBack(message, isStopped ? 0 : SET_ASIDE_MS)
  }

  /**
   * Gives messages back, all of this moment in one call, beside the loop: a halted pool with many posts does not delay others. A message that cannot be given back
   * comes again by itself.
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

  /** Stops receiving, puts the posts in hand, finishes the effects. The next start repeats the rest. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#receiving
    const writers = await Promise.allSettled(this.#writers.values())
    await Promise.all(writers.flatMap((writer) => (writer.status === 'fulfilled' ? [this.#close(writer.value)] : [])))
    await Promise.all([...this.#giving, ...this.#closing.values()])
  }
}
