import type { Clock } from '../shared/clock.ts'
import { OverpoolError } from '../shared/errors.ts'
import { type Block, decodeBlock, isBlockHead } from '../shared/ledger/block.ts'
import type { Mirror, Network, PoolControl, PoolPatch } from '../shared/mirror/port.ts'
import { untilDone } from '../shared/retry.ts'
import { Wake } from '../shared/wake.ts'
import type { CoreStore, PeerCore } from './core.ts'
import { type CoreState, Effects, type Ringer } from './effects.ts'
import { type CheckedBlock, checkPeerBlock } from './peer-block.ts'
import type { Report } from './report.ts'

/** Blocks, and bytes, that are put into the mirror at once at most. */
const PAGE_BLOCKS = 256
const PAGE_BYTES = 4 * 1024 * 1024

export interface SubscriptionOptions {
  pool: PoolControl
  mirror: Mirror
  cores: Pick<CoreStore, 'follow'>
  ringers: () => Ringer[]
  clock: Clock
  report: Report
}

/**
 * Follows a peer's pool: each block that its publisher has signed goes into the mirror and has its effects, as a block of ours does, but nothing is appended
 * (steps 1 and 3 of a payment's way). It goes on where the mirror ends, so whenever it dies nothing is skipped and nothing comes twice.
 */
export class Subscription implements CoreState {
  readonly key: string
  readonly #options: SubscriptionOptions
  readonly #core: PeerCore
  readonly #effects: Effects
  readonly #wake: Wake
  readonly #running: Promise<void>
  #length: number
  /** the sequence number that comes next; undefined while none is known */
  #next: number | undefined
  /** no block has been taken yet: if this one is nonsense, the key is wrong */
  #isFirst: boolean
  /** the block before was passed over */
  #gap = false
  #skipped: number
  #lastSkipped: string | undefined
  #stopping = false
  #halted: OverpoolError | undefined

  static async open(options: SubscriptionOptions): Promise<Subscription> {
    const { pool, mirror, cores } = options
    const last = await mirror.lastBlock(pool.path)
    const wake = new Wake()
    let alarm = (_what: string): void => {}
    const core = await cores.follow(pool.path, pool.wanted?.secret, { grew: () => wake.wake(), alarm: (what) => alarm(what) })
    const subscription = new Subscription(options, core, last, wake)
    alarm = (what) => subscription.#halt(what)
    return subscription
  }

  private constructor(options: SubscriptionOptions, core: PeerCore, last: Block | undefined, wake: Wake) {
    const { pool, mirror, ringers, clock, report } = options
    this.#options = options
    this.key = pool.path
    this.#core = core
    this.#wake = wake
    this.#length = last ? last.n + 1 : (pool.begins?.block ?? 0)
    this.#next = last ? last.first + last.count : this.#length === 0 ? 0 : undefined
    this.#gap = last?.count === 0
    this.#isFirst = !last
    this.#skipped = pool.network?.skipped ?? 0
    this.#lastSkipped = pool.network?.lastSkipped
    const checkpoint = Math.max(pool.checkpoint, pool.begins?.block ?? 0)
    this.#effects = new Effects({
      path: this.key,
      mirror,
      ringers,
      clock,
      report,
      checkpoint,
      last,
      coreLength: pool.coreLength,
      core: this,
    })
    this.#running = this.#run(checkpoint).catch((error) => {
      if (!this.#stopping) this.#halt(error instanceof Error ? error.message : String(error), error)
    })
  }

  /** Why it is not followed any more, if so. */
  get halted(): OverpoolError | undefined {
    return this.#halted
  }

  /** How it stands: what the publisher has signed, as far as we have heard, and what was passed over. */
  get state(): Pick<Network, 'remoteLength' | 'skipped' | 'lastSkipped'> {
    return { remoteLength: this.#core.length, ...(this.#skipped && { skipped: this.#skipped, lastSkipped: this.#lastSkipped }) }
  }

  async #run(checkpoint: number): Promise<void> {
    await this.#redoEffects(checkpoint)
    await this.#compare()
    if (!(await this.#begin())) return
    this.#core.download(this.#length)
    while (!this.#stopping && !this.#halted) {
      if (this.#core.length <= this.#length) await this.#wake.sleep(this.#options.clock)
      else await this.#take(await this.#fetch())
    }
  }

  /** Blocks that an earlier process has put, but whose effects it may not have seen through. */
  async #redoEffects(checkpoint: number): Promise<void> {
    const { mirror } = this.#options
    for (let n = checkpoint; n < this.#length && !this.#stopping; ) {
      const blocks = await this.#untilDone('open', () => mirror.readBlocks(this.key, n))
      if (!blocks.length) throw new OverpoolError('POOL_HALTED', `block ${n} of ${this.key} is missing in the mirror`)
      for (const block of blocks) {
        await this.#effects.keepUp()
        this.#effects.follow(block, checkPeerBlock(block.n, block.bytes, block.first, false).entries)
        n = block.n + 1
      }
    }
  }

  /** The publisher's log must go on from what it was: never another block in the place of one that we have. */
  async #compare(): Promise<void> {
    const n = this.#length - 1
    if (this.#core.fork > 0) throw new OverpoolError('POOL_HALTED', 'the publisher has taken back what it had signed (fork)')
    if (n < 0 || !(await this.#core.has(n))) return
    const [block] = await this.#untilDone('open', () => this.#options.mirror.readBlocks(this.key, n, 1))
    if (block && Buffer.compare(block.bytes, await this.#core.get(n)) !== 0) {
      throw new OverpoolError(
        'POOL_HALTED',
        `block ${n} is not the one that was received before: the publisher has signed two ledgers under one key, or the mirror was changed`,
      )
    }
  }

  /** Finds the first block, where the subscription does not begin with the pool's own. False if it was stopped meanwhile. */
  async #begin(): Promise<boolean> {
    const { pool, mirror } = this.#options
    const from = pool.wanted?.from ?? 'start'
    if (this.#length || from === 'start' || from === 0 || pool.begins) return true
    if (!(await this.#core.heard())) return false
    const begins = from === 'now' ? await this.#end() : await this.#find(from)
    await this.#untilDone('open', () => mirror.updatePool(this.key, { begins }))
    this.#length = begins.block
    this.#next = begins.block === 0 ? 0 : undefined
    this.#effects.beginAt(begins.block)
    return true
  }

  async #end(): Promise<{ block: number; seq: number }> {
    const block = this.#core.length
    if (block === 0) return { block, seq: 0 }
    const { first, entries } = await this.#decoded(block - 1)
    return { block, seq: first + entries.length }
  }

  /** The last block that begins with `seq` or before. */
  async #find(seq: number): Promise<{ block: number; seq: number }> {
    let low = 0
    for (let high = this.#core.length; high - low > 1; ) {
      const middle = (low + high) >> 1
      if ((await this.#decoded(middle)).first <= seq) low = middle
      else high = middle
    }
    return { block: low, seq }
  }

  async #decoded(n: number) {
    const bytes = await this.#core.get(n)
    if (!isBlockHead(bytes)) throw unreadable(this.#options.pool)
    return decodeBlock(bytes)
  }

  /** The next block when it has come, and those after it that are here already. */
  async #fetch(): Promise<Uint8Array[]> {
    const core = this.#core
    const page = [await core.get(this.#length)]
    let bytes = page[0]!.length
    for (let n = this.#length + 1; n < core.length && page.length < PAGE_BLOCKS && bytes < PAGE_BYTES && (await core.has(n)); n++) {
      const block = await core.get(n)
      page.push(block)
      bytes += block.length
    }
    return page
  }

  async #take(page: Uint8Array[]): Promise<void> {
    const { mirror } = this.#options
    const checked: CheckedBlock[] = []
    for (const bytes of page) {
      const one = checkPeerBlock(this.#length + checked.length, bytes, this.#next, this.#gap)
      if (one.unreadable && this.#isFirst) throw unreadable(this.#options.pool)
      this.#isFirst = false
      this.#next = one.block.first + one.block.count
      this.#gap = one.problem !== undefined
      checked.push(one)
    }
    const blocks = checked.map(({ block }) => block)
    await this.#effects.keepUp()
    const stand = await this.#untilDone('put', () => mirror.putBlocks(this.key, blocks))
    for (const [i, { block, entries, problem }] of checked.entries()) {
      if (Buffer.compare(stand[i]!.bytes, block.bytes) !== 0)
        throw new OverpoolError('POOL_HALTED', `block ${block.n} is not the one that the mirror holds`)
      this.#length = block.n + 1
      if (problem !== undefined) this.#passOver(block.n, problem)
      this.#effects.follow(block, entries)
      this.#options.report({ kind: 'block', pool: this.key, n: block.n, entries: block.count })
    }
  }

  #passOver(n: number, problem: string): void {
    this.#skipped++
    this.#lastSkipped = `block ${n}: ${problem}`
    this.#options.report({ kind: 'passed-over', pool: this.key, n, problem })
  }

  /** Blocks that the publisher has signed, as far as we have heard. */
  get length(): number {
    return this.#core.length
  }

  /** What the publisher has signed is kept when all of it is in the mirror. */
  async describe(): Promise<PoolPatch> {
    const coreLength = this.#core.length
    const signed = await this.#core.signed()
    return { coreLength, treeHash: await this.#core.treeHash(coreLength), ...(signed && signed.length <= this.#effects.done && { signed }) }
  }

  /** Rings for handlers whose cursor lags. */
  async ringAgain(): Promise<void> {
    await this.#effects.ringAgain().catch((error) => this.#options.report({ kind: 'retrying', pool: this.key, step: 'bell', error }))
  }

  #untilDone<T>(step: string, work: () => Promise<T>): Promise<T> {
    const { clock, report } = this.#options
    return untilDone(
      work,
      clock,
      (error) => report({ kind: 'retrying', pool: this.key, step, error }),
      () => this.#stopping,
    )
  }

  #halt(why: string, cause?: unknown): void {
    if (this.#halted || this.#stopping) return
    const { mirror, report } = this.#options
    this.#halted = new OverpoolError('POOL_HALTED', why, { cause })
    report({ kind: 'halted', pool: this.key, error: this.#halted })
    mirror.updatePool(this.key, { halted: why }).catch((error) => report({ kind: 'retrying', pool: this.key, step: 'halt', error }))
    this.#wake.wake()
  }

  /** Takes no more blocks, lets the effects of those that it has taken go out. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#wake.wake()
    await this.#core.close() // ends the wait for a block
    await this.#running
    await this.#effects.stop()
  }
}

function unreadable({ wanted }: PoolControl): OverpoolError {
  const why = wanted?.secret
    ? 'the encryption key does not open this pool: ask its publisher for what `pub` printed, and subscribe with that'
    : 'its blocks cannot be read: if it is an encrypted pool, subscribe with both keys, as its publisher’s `pub` printed them'
  return new OverpoolError('POOL_HALTED', why)
}
