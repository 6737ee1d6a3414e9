import { atMost, type Clock, unlessAborted } from '../../shared/clock.ts'
import { messageOf, OverpoolError } from '../../shared/errors.ts'
import { type Block, decodeBlock, isBlockHead, isLost } from '../../shared/ledger/block.ts'
import type { Network, PoolControl, PoolPatch } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import { Wake } from '../../shared/wake.ts'
import type { CoreStore, PeerCore } from '../cores/core.ts'
import { TreeHash, treeHashOf } from '../cores/signed.ts'
import type { Report } from '../report.ts'
import { type Retry, retrying } from '../retrying.ts'
import type { Bells } from '../writer/bells.ts'
import { type CoreState, Effects, type Ringer } from '../writer/effects.ts'
import { type CheckedBlock, checkPeerBlock } from './peer-block.ts'

/** At most this many blocks, and about this many bytes, are put into the mirror at once. */
const PAGE_BLOCKS = 512
const PAGE_BYTES = 4 * 1024 * 1024
/** A subscription from 'now' looks for the sequence number in this many of the newest blocks. */
const MAX_TRIES = 16
/** How many blocks are read from the disk at once. */
const READ_BLOCKS = 16
/** A larger block does not fit into one message of the network (16 MiB with its proof), so it never arrives. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024 - 64 * 1024
/** How often it looks whether a block that does not arrive is too large, ms. */
const LOOK_MS = 1_000
/** After so many lost connections during one block the status says so. */
const MANY_LOSSES = 3
/**
 * At most this many bytes of invalid blocks are taken from one publisher, and from all together: they are stored like valid ones, since the publisher's signature covers them.
 * Each counts as at least so many bytes.
 */
const MAX_INVALID_BYTES = 16 * 1024 * 1024
const MAX_INVALID_BYTES_IN_ALL = 64 * 1024 * 1024
const INVALID_LEAST = 1_024
/** When it is far behind it waits this long for a fuller page, ms: a commit of many blocks costs little more than one of a few. */
const GATHER_MS = 250

export interface SubscriptionOptions {
  pool: PoolControl
  stores: Stores
  cores: Pick<CoreStore, 'openPeer'>
  ringers: () => Ringer[]
  clock: Clock
  report: Report
  /** the registry that rings again for lagging handlers */
  bells?: Bells
  /** bytes of the invalid blocks of each pool, shared by all subscriptions */
  invalid?: Map<string, number>
}

/**
 * Follows a peer's pool. Each block that the publisher has signed goes into the mirror and has its effects, like a block of ours; nothing is appended. It goes on where
 * the mirror ends, so nothing is skipped or doubled when the process dies.
 */
export class Subscription implements CoreState {
  readonly key: string
  readonly #options: SubscriptionOptions
  readonly #untilDone: Retry
  readonly #core: PeerCore
  readonly #effects: Effects
  readonly #invalid: Map<string, number>
  readonly #wake: Wake
  #running = Promise.resolve()
  #length: number
  /** the next sequence number; undefined while it is not known */
  #next: number | undefined
  /** no block has been taken yet: if the first one is unreadable, the key is wrong */
  #isFirst: boolean
  /** the block before was passed over */
  #gap = false
  #skipped: number
  #lastSkipped: string | undefined
  /** why the next block does not arrive */
  #problem: string | undefined
  readonly #stopped = new AbortController()
  #halted: OverpoolError | undefined
  /** resolves when the halt is stored */
  #marked: Promise<void> | undefined
  /** length of the log whose signature is stored */
  #signedLength: number

  static async open(options: SubscriptionOptions): Promise<Subscription> {
    const { pool, stores, cores } = options
    const last = await stores.blocks.last(pool.path)
    const wake = new Wake()
    const checkpoint = Math.max(pool.checkpoint, pool.begins?.block ?? 0)
    let alarm = (_what: string): void => {}
    const core = await cores.openPeer(pool.path, pool.desired?.secret, { grew: () => wake.wake(), alarm: (what) => alarm(what) })
    const subscription = new Subscription(options, core, last, wake, checkpoint)
    alarm = (what) => subscription.#halt(what)
    subscription.#start(checkpoint)
    return subscription
  }

  private constructor(options: SubscriptionOptions, core: PeerCore, last: Block | undefined, wake: Wake, checkpoint: number) {
    const { pool, stores, ringers, clock, report, bells, invalid = new Map<string, number>() } = options
    this.#options = options
    this.key = pool.path
    this.#untilDone = retrying(pool.path, options, () => this.#stopping)
    this.#core = core
    this.#wake = wake
    this.#length = last ? last.n + 1 : (pool.begins?.block ?? 0)
    this.#next = last ? last.first + last.count : this.#length === 0 ? 0 : undefined
    this.#gap = last?.count === 0
    this.#isFirst = !last
    this.#signedLength = pool.signed?.length ?? 0
    this.#skipped = pool.network?.skipped ?? 0
    this.#lastSkipped = pool.network?.lastSkipped
    this.#invalid = invalid.set(pool.path, pool.network?.skippedBytes ?? 0)
    this.#effects = new Effects({
      path: this.key,
      stores,
      ringers,
      clock,
      report,
      checkpoint,
      last,
      coreLength: pool.coreLength,
      core: this,
      hasStatuses: pool.hasStatuses,
      bells,
    })
  }

  /** Starts it. */
  #start(checkpoint: number): void {
    this.#effects.begin()
    this.#running = this.#run(checkpoint).catch((error) => {
      if (!this.#stopping) this.#halt(messageOf(error), error)
    })
  }

  /** Why the subscription is halted, if it is. */
  get halted(): OverpoolError | undefined {
    return this.#halted
  }

  /** The publisher's length as last seen, and how many of its invalid blocks, and of their bytes, were passed over. */
  get state(): Pick<Network, 'problem' | 'remoteLength' | 'skipped' | 'skippedBytes' | 'lastSkipped'> {
    const skipped = this.#skipped && {
      skipped: this.#skipped,
      skippedBytes: this.#invalid.get(this.key),
      lastSkipped: this.#lastSkipped,
    }
    // A hypercore that was lost is empty until it has been replicated again; the publisher has signed what is in the mirror.
    const remoteLength = Math.max(this.#core.length, this.#length)
    return { remoteLength, ...skipped, ...(this.#problem !== undefined && { problem: this.#problem }) }
  }

  async #run(checkpoint: number): Promise<void> {
    await this.#redoEffects(checkpoint)
    this.#effects.joinBells()
    await this.#untilStopped(this.#compare())
    if (!(await this.#untilStopped(this.#begin()))) return
    while (!this.#stopping && !this.#halted) {
      if (this.#core.length > this.#length) await this.#store(await this.#untilStopped(this.#fetch()))
      else {
        void this.#core.fetch(this.#length)
        await this.#wake.sleep(this.#options.clock)
      }
    }
  }

  /** Work that may wait for the publisher; `stop` ends the wait. */
  #untilStopped<T>(work: Promise<T>): Promise<T> {
    return unlessAborted(this.#stopped.signal, work)
  }

  get #stopping(): boolean {
    return this.#stopped.signal.aborted
  }

  /** Repeats the effects of blocks that an earlier process has put and perhaps not finished. */
  async #redoEffects(checkpoint: number): Promise<void> {
    const { stores } = this.#options
    for (let n = checkpoint; n < this.#length && !this.#stopping; ) {
      const blocks = await this.#untilDone('open', () => stores.blocks.read(this.key, n))
      if (!blocks.length) throw new OverpoolError('POOL_HALTED', `block ${n} of ${this.key} is missing in the mirror`)
      for (const block of blocks) {
        await this.#effects.keepUp(() => this.#stopping || this.#halted !== undefined)
        this.#effects.enqueue(block, checkPeerBlock(block.n, block.bytes, block.first, false).entries)
        n = block.n + 1
      }
    }
  }

  /**
   * The publisher's log must continue the one we have. If the hypercore was removed, our newest block is downloaded again for this check: its proof gives the tree hash
   * of all blocks before it.
   */
  async #compare(): Promise<void> {
    const core = this.#core
    if (core.fork > 0) throw new OverpoolError('POOL_HALTED', 'the publisher has taken back what it had signed (fork)')
    const n = this.#length - 1
    const [block] = n < 0 ? [] : await this.#untilDone('open', () => this.#options.stores.blocks.read(this.key, n, 1))
    if (!block) return
    if (isLost(block)) {
      // It could not be had when the pool was repaired. Now the publisher may send it.
      await this.#options.stores.blocks.replace(this.key, checkPeerBlock(n, await this.#arrival(n), block.first, false).block)
      return
    }
    const isNew = !(await core.has(n))
    const isSame = Buffer.compare(block.bytes, await this.#arrival(n)) === 0
    if (isSame && (!isNew || this.#options.pool.begins || (await core.treeHash(n + 1)) === (await this.#treeHash()))) return
    throw new OverpoolError(
      'POOL_HALTED',
      `block ${n}, or one before it, is not the one that was received before: the publisher has signed two ledgers under one key, or the mirror was changed`,
    )
  }

  /** The tree hash of the mirror. */
  #treeHash(): Promise<string | undefined> {
    const { stores, pool } = this.#options
    const tree = () => new TreeHash({ key: this.key, secret: pool.desired?.secret })
    return this.#untilDone('open', () => treeHashOf(stores, this.key, this.#length, tree()))
  }

  /** Finds the first block of a subscription that does not begin with the pool's first. False if it was stopped meanwhile. */
  async #begin(): Promise<boolean> {
    const { pool, stores } = this.#options
    const from = pool.desired?.from ?? 'start'
    if (this.#length || from === 'start' || from === 0 || pool.begins) return true
    if (!(await this.#core.heard())) return false
    const begins = from === 'now' ? await this.#end() : await this.#find(from)
    await this.#untilDone('open', () => stores.control.update(this.key, { begins }))
    this.#length = begins.block
    this.#next = begins.block === 0 ? 0 : undefined
    this.#effects.beginAt(begins.block)
    return true
  }

  /** The place after the newest block. The newest readable block says which entry comes next, or an earlier one. */
  async #end(): Promise<{ block: number; seq: number }> {
    const block = this.#core.length
    for (let n = block - 1; n >= Math.max(0, block - MAX_TRIES); n--) {
      const decoded = await this.#decoded(n)
      if (decoded) return { block, seq: decoded.first + decoded.entries.length }
    }
    return { block, seq: 0 }
  }

  /** The last block that begins at `seq` or before. */
  async #find(seq: number): Promise<{ block: number; seq: number }> {
    let low = 0
    for (let high = this.#core.length; high - low > 1; ) {
      const middle = (low + high) >> 1
      const decoded = await this.#decoded(middle)
      if (!decoded)
        throw new OverpoolError(
          'POOL_HALTED',
          `block ${middle} of the publisher is invalid, so entry ${seq} cannot be found: subscribe from 'start' or 'now'`,
        )
      if (decoded.first <= seq) low = middle
      else high = middle
    }
    return { block: low, seq }
  }

  async #decoded(n: number): Promise<ReturnType<typeof decodeBlock> | undefined> {
    const bytes = await this.#arrival(n)
    if (!isBlockHead(bytes) && this.#isFirst) throw unreadable(this.#options.pool)
    try {
      return decodeBlock(bytes)
    } catch {
      return undefined
    }
  }

  /** The next block, when it has arrived, and the ones after it that are already here. */
  async #fetch(): Promise<Uint8Array[]> {
    const core = this.#core
    const coming = core.fetch(this.#length)
    const [first] = await Promise.all([this.#arrival(this.#length), coming && atMost(this.#options.clock, GATHER_MS, coming)])
    const page = [first]
    let bytes = first.length
    while (page.length < PAGE_BLOCKS && bytes < PAGE_BYTES) {
      const here = await this.#here(this.#length + page.length, PAGE_BYTES - bytes)
      if (!here) break
      for (const block of await Promise.all(Array.from({ length: here }, (_, i) => core.get(this.#length + page.length + i)))) {
        page.push(block)
        bytes += block.length
      }
    }
    return page
  }

  /** Block n, when it has arrived. It fails if the block is known to be too large: its leaf of the tree has its size, and comes with the log's end or with the block beside it. */
  async #arrival(n: number): Promise<Uint8Array> {
    const core = this.#core
    const { losses } = core
    const arriving = core.get(n)
    arriving.catch(() => {}) // it may fail when nobody waits any more
    while (!(await core.has(n)) && !this.#stopping) {
      await atMost(this.#options.clock, LOOK_MS, arriving)
      const lost = core.losses - losses
      this.#problem =
        lost >= MANY_LOSSES ? `block ${n} does not arrive: ${lost} connections broke meanwhile; it may be too large` : undefined
      const [size = 0] = await core.sizes(n, 1)
      if (size > MAX_MESSAGE_BYTES)
        throw new OverpoolError(
          'POOL_HALTED',
          `block ${n} of its publisher has ${size} bytes, and at most ${MAX_MESSAGE_BYTES} can cross the network: the publisher has to begin another pool`,
        )
    }
    this.#problem = undefined
    return arriving
  }

  /** How many blocks from number n on are here and have about `bytes` together: at least one, if it is here. */
  async #here(n: number, bytes: number): Promise<number> {
    const core = this.#core
    let count = 0
    while (count < READ_BLOCKS && n + count < core.length && (await core.has(n + count))) count++
    const sizes = count > 1 ? await core.sizes(n, count) : []
    let sum = 0
    const end = sizes.findIndex((size, i) => (sum += size) > bytes && i > 0)
    return end < 0 ? count : end
  }

  async #store(page: Uint8Array[]): Promise<void> {
    const { stores } = this.#options
    const checked: CheckedBlock[] = []
    for (const bytes of page) {
      const peerBlock = checkPeerBlock(this.#length + checked.length, bytes, this.#next, this.#gap)
      if (peerBlock.unreadable && this.#isFirst) throw unreadable(this.#options.pool)
      this.#isFirst = false
      this.#next = peerBlock.block.first + peerBlock.block.count
      this.#gap = peerBlock.problem !== undefined
      checked.push(peerBlock)
    }
    const blocks = checked.map(({ block }) => block)
    await this.#effects.keepUp(() => this.#stopping || this.#halted !== undefined)
    const stored = await this.#untilDone('put', () => stores.blocks.putAll(this.key, blocks))
    for (const [i, { block, entries, problem }] of checked.entries()) {
      if (Buffer.compare(stored[i]!.bytes, block.bytes) !== 0)
        throw new OverpoolError('POOL_HALTED', `block ${block.n} is not the one that the mirror holds`)
      this.#length = block.n + 1
      if (problem !== undefined) this.#passOver(block, problem)
      this.#effects.enqueue(block, entries)
      this.#options.report({ kind: 'block', pool: this.key, n: block.n, entries: block.count })
    }
    if (this.#gap) this.#checkInvalid()
  }

  #passOver({ n, bytes }: Block, problem: string): void {
    this.#skipped++
    this.#lastSkipped = `block ${n}: ${problem}`
    this.#invalid.set(this.key, this.#invalid.get(this.key)! + Math.max(bytes.length, INVALID_LEAST))
    this.#options.report({ kind: 'passed-over', pool: this.key, n, problem })
  }

  /** Halts when too much of what was taken is invalid. */
  #checkInvalid(): void {
    const own = this.#invalid.get(this.key)!
    const all = [...this.#invalid.values()].reduce((sum, bytes) => sum + bytes, 0)
    if (own > MAX_INVALID_BYTES)
      throw new OverpoolError('POOL_HALTED', `its publisher has signed ${own} bytes of invalid blocks; ${MAX_INVALID_BYTES} are taken`)
    if (own && all > MAX_INVALID_BYTES_IN_ALL)
      throw new OverpoolError(
        'POOL_HALTED',
        `it holds invalid blocks, and those of all followed pools have ${all} bytes together; ${MAX_INVALID_BYTES_IN_ALL} are taken`,
      )
  }

  /** Blocks that the publisher has signed, as far as we have heard. */
  get length(): number {
    return this.#core.length
  }

  /** The publisher's signature is stored when all blocks that it covers are in the mirror. After a halt the stored one stays. */
  async describe(): Promise<PoolPatch> {
    if (this.#halted) return {}
    const coreLength = this.#core.length
    const core: PoolPatch = { coreLength, treeHash: await this.#core.treeHash(coreLength) }
    const signed = await this.#core.signed()
    if (!signed || signed.length > this.#effects.done || signed.length < this.#signedLength) return core
    this.#signedLength = signed.length
    return { ...core, signed }
  }

  #halt(why: string, cause?: unknown): void {
    if (this.#halted || this.#stopping) return
    const { stores, report } = this.#options
    this.#halted = new OverpoolError('POOL_HALTED', why, { cause })
    report({ kind: 'halted', pool: this.key, error: this.#halted })
    this.#marked = this.#untilDone('halt', () => stores.control.update(this.key, { halted: why })).catch(() => {}) // the next start may find the fault again
    this.#wake.wake()
  }

  /** Takes no more blocks and finishes the effects. The core is closed last, since the checkpoint reports it. */
  async stop(): Promise<void> {
    this.#stopped.abort(new OverpoolError('CLOSED', 'the subscription is stopped'))
    this.#wake.wake()
    await this.#running
    await this.#marked // the caller reads it to decide whether to subscribe again
    await this.#effects.stop()
    await this.#core.close()
  }
}

function unreadable({ desired }: PoolControl): OverpoolError {
  const why = desired?.secret
    ? 'the encryption key does not open this pool: ask its publisher for what `pub` printed, and subscribe with that'
    : 'its blocks cannot be read: if it is an encrypted pool, subscribe with both keys, as its publisher’s `pub` printed them'
  return new OverpoolError('POOL_HALTED', why)
}
