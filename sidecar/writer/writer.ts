import { isDeepStrictEqual } from 'node:util'
import { parallel } from '../../shared/aws/call.ts'
import { type Clock, timeLeft } from '../../shared/clock.ts'
import { messageOf, OverpoolError } from '../../shared/errors.ts'
import { type Block, encodeBlock, entriesOf, entryAt, MAX_BLOCK_BYTES, MAX_BLOCK_ENTRIES } from '../../shared/ledger/block.ts'
import { decodeEntry } from '../../shared/ledger/entry-codec.ts'
import type { Entry, EntryId, PaymentFields } from '../../shared/ledger/kinds.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'
import { type ScannedEntry, scanEntries } from '../../shared/ledger/scanned.ts'
import type { Message, Queue } from '../../shared/queue/port.ts'
import { lengthOf } from '../../shared/store/blocks.ts'
import { isDamage } from '../../shared/store/checksum.ts'
import type { PoolControl } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { Receipt } from '../../shared/store/receipts.ts'
import { Wake } from '../../shared/wake.ts'
import type { PoolCore } from '../cores/core.ts'
import { CoreFollower } from '../cores/follower.ts'
import type { Report } from '../report.ts'
import { type Retry, retrying } from '../retrying.ts'
import type { Bells } from './bells.ts'
import { disagreement } from './disagreement.ts'
import { type CoreState, Effects, type Ringer } from './effects.ts'
import { InvoiceGate } from './invoice-gate.ts'
import { RecentIds } from './recent-ids.ts'
import { SameTransaction } from './same-transaction.ts'
import { type KnownChain, StatusGate } from './status-gate.ts'

/**
 * After a block of `entries` entries or more, the next block waits `ms`, unless it is full. Under load that makes few full blocks instead of many small ones: a block
 * costs the same puts, bells, cursor writes and signatures whatever it holds. A lone post, or the next step of a loop, does not wait.
 */
export interface Busy {
  entries: number
  ms: number
}

/** How many look-ups by transaction are under way at most. */
const LOOKED_TOGETHER = 16

/** How often `settled` looks, ms. */
const SETTLE_MS = 5

const BUSY: Busy = { entries: 8, ms: 20 }

export interface WriterOptions {
  path: string
  stores: Stores
  ingress: Queue
  core: PoolCore
  /** the handlers that are rung for this pool's blocks, as of now */
  ringers: () => Ringer[]
  clock: Clock
  report: Report
  /** whether the pool takes each transaction once, as of now (default: it takes each post once) */
  unique?: () => boolean
  /** how long to wait for a fuller, cheaper block, ms, as of now (default 0) */
  batchMs?: () => number
  /** what this machine knows of the chain; undefined: nothing, so what others say of a transaction cannot be checked */
  chain?: KnownChain
  /** default: 8 entries, 20 ms */
  busy?: Busy
  /** how long a pool is idle until it looks for blocks of another writer and for lost bells, ms (default 5,000) */
  sweepMs?: number
  /** the registry that rings again for lagging handlers */
  bells?: Bells
  /** once aborted, `open` gives up at its next failure */
  stopping?: AbortSignal
}

/** Called once for a direct post. True: its block is in the mirror. False: the writer let it go, and the caller sends it to the queue. */
export type Settled = (inMirror: boolean) => void

/** A post in hand, until its block is in the mirror. A redelivery joins it, and so does the same post by another way. */
interface Held {
  post: IngressMessage
  /** of its entry when it came */
  readonly bytes: number
  /** its messages in the ingress queue, deleted at the end */
  messages: Message[]
  /** the callers of direct posts that wait for it */
  waiting: Settled[]
}

/** A post with no receipt: it is new. Its look-up began when the effects of all blocks before `since` were done. */
interface Looked {
  held: Held
  since: number
}

/**
 * The writer of one pool. Three loops run side by side: look (which posts are new), put (block n into the mirror, if absent), and the
 * effects. The core follows by itself. Each step can be repeated after a crash at any point (Promises 1 to 4).
 */
export class PoolWriter {
  readonly path: string
  readonly #options: WriterOptions
  readonly #untilDone: Retry
  readonly #recent = new RecentIds()
  readonly #gate: StatusGate
  readonly #invoices: InvoiceGate
  /** blocks of other writers that were adopted since this one was opened */
  #foreign = 0
  readonly #effects: Effects
  readonly #follower: CoreFollower
  readonly #held = new Map<string, Held>()
  /** in a pool that takes each transaction once */
  readonly #same = new SameTransaction<Held>()
  #bytes = 0
  /** direct posts in hand */
  #direct = 0
  #moved = 0
  #waiting: Held[] = []
  #looked: Looked[] = []
  #lookingSince: number | undefined
  readonly #lookWake = new Wake()
  readonly #putWake = new Wake()
  #loops: Promise<unknown> = Promise.resolve()
  #begun = false
  /** false after a store has failed, until a put works again: meanwhile posts go to the queue */
  #storesWork = true
  #lookEnded = false
  /** when the last large block was put (`Busy`) */
  #busyAt = Number.NEGATIVE_INFINITY
  #stopping = false
  #halted: OverpoolError | undefined
  /** resolves when the halt is stored */
  #marked: Promise<void> | undefined
  /** blocks in the mirror, as far as we know, and the next sequence number */
  #length: number
  #next: number

  /** Reads what the mirror and the core hold, appends what the core lacks and redoes the effects after the checkpoint. */
  static async open(options: WriterOptions): Promise<PoolWriter> {
    const { path, stores, core, stopping } = options
    const retry = retrying(path, options, () => stopping?.aborted ?? false)
    const control = await retry('open', () => stores.control.read(path))
    if (!control) throw new OverpoolError('POOL_NOT_FOUND', `no pool named "${path}" in this ledger`)
    let last: Block | undefined
    let wrong: string | undefined
    try {
      last = await retry('open', () => stores.blocks.last(path))
      wrong = control.halted ?? (await retry('open', () => disagreement(stores, core, control, lengthOf(last).blocks)))
    } catch (error) {
      if (!isDamage(error)) throw error
      wrong = control.halted ?? error.message
    }
    const length = lengthOf(last).blocks
    // A halted pool adopts no blocks, and its core appends none.
    const from = wrong === undefined ? Math.min(control.checkpoint, length) : 0
    // A rebuilt core of the same length still needs its tree hash written.
    const reported = control.treeHash === undefined ? 0 : control.coreLength
    const writer = new PoolWriter(options, control, from, wrong === undefined ? reported : core.length, last)
    writer.#effects.begin()
    writer.#follower.begin()
    if (wrong !== undefined) writer.halt(new OverpoolError('POOL_HALTED', wrong))
    try {
      while (writer.#length < length && !writer.#halted) {
        for (const block of await retry('open', () => stores.blocks.read(path, writer.#length)))
          writer.#adopt(block, scanEntries(entriesOf(block)))
        await writer.#effectsKeepUp()
        writer.#forget()
      }
    } catch (error) {
      if (stopping?.aborted) {
        await writer.stop() // otherwise it would run on beside the next writer
        throw error
      }
      writer.halt(asHalt(error))
    }
    writer.#begin()
    writer.#effects.joinBells()
    await writer.#effects.ringAgain()
    return writer
  }

  /** @param from number of the first block whose effects are not done */
  private constructor(options: WriterOptions, control: PoolControl, from: number, coreLength: number, last: Block | undefined) {
    this.#options = options
    this.path = options.path
    this.#untilDone = retrying(options.path, options, () => this.#stopping)
    this.#length = from
    this.#next = last && last.n + 1 === from ? last.first + last.count : 0
    const { path, stores, core, clock, ringers, report, bells, chain } = options
    this.#gate = new StatusGate(path, stores.statuses, chain)
    this.#invoices = new InvoiceGate(path, stores)
    this.#effects = new Effects({
      path,
      stores,
      ringers,
      clock,
      report,
      bells,
      checkpoint: from,
      last,
      coreLength,
      core: stateOf(core),
      hasStatuses: control.hasStatuses,
    })
    const failed = (error: unknown) => this.halt(asHalt(error))
    this.#follower = new CoreFollower({ path, stores, core, clock, report, appended: () => this.#effects.coreGrew(), failed }, from)
  }

  /** Starts the loops. It comes after the blocks of an earlier process are adopted: a sweep before that would adopt them twice. */
  #begin(): void {
    this.#begun = true
    const looking = this.#lookLoop().finally(() => {
      this.#lookEnded = true
      this.#putWake.wake()
    })
    this.#loops = Promise.all([looking, this.#putLoop()]).catch((error) => this.halt(asHalt(error)))
  }

  /** Posts in hand: received, and not yet in a block. */
  get postsInHand(): number {
    return this.#held.size
  }

  get bytesInHand(): number {
    return this.#bytes
  }

  /** When it last made progress with its posts (`Clock.elapsed`). A writer without posts, or a halted one, counts as moving. */
  get movedAt(): number {
    return this.#held.size && !this.#halted ? this.#moved : this.#options.clock.elapsed()
  }

  /** Why the pool is halted, if it is. */
  get halted(): OverpoolError | undefined {
    return this.#halted
  }

  /** Takes a post from the ingress queue. */
  accept(post: IngressMessage, message: Message): void {
    this.#hold(post).messages.push(message)
  }

  /** Whether a post is in hand, or in a block whose receipts may not be written yet. */
  holds(id: EntryId): boolean {
    return this.#held.has(id) || this.#recent.get(id) !== undefined
  }

  /** Whether it takes direct posts. With `batchMs`, after a failed store or while too many effects wait, posts use the queue. */
  get takesDirect(): boolean {
    return this.#begun && this.#storesWork && !this.#stopping && !this.#halted && !this.#options.batchMs?.() && !this.#effects.isFull
  }

  /** How many blocks of other writers have come since it was opened: who wants to write what follows on the newest entries asks before and says so with the post. */
  get foreign(): number {
    return this.#foreign
  }

  /** Whether it takes direct posts from one who comes again with those that are let go: he keeps their order, whatever happens to a store. */
  get takesInOrder(): boolean {
    return this.#begun && !this.#stopping && !this.#halted && !this.#effects.isFull
  }

  /** Resolves when all that is in hand now is in the mirror and has had its effects. */
  async settled(): Promise<void> {
    const { clock } = this.#options
    const held = [...this.#held.values()]
    while (!this.#halted && !this.#stopping && held.some((one) => this.#isHeld(one))) await clock.sleep(SETTLE_MS)
    const length = this.#length
    while (!this.#halted && !this.#stopping && this.#effects.done < length) await clock.sleep(SETTLE_MS)
  }

  /** Takes a direct post and calls `settled` once. Call it only while `takesDirect` or `takesInOrder` is true. */
  acceptDirect(post: IngressMessage, settled: Settled): void {
    const held = this.#hold(post)
    if (!held.waiting.length) this.#direct++
    held.waiting.push(settled)
  }

  #hold(post: IngressMessage): Held {
    const earlier = this.#held.get(post.id)
    if (earlier) {
      this.#noteDifference(post, earlier.post, () => decodeEntry(earlier.post.entry))
      return earlier
    }
    const held: Held = { post, bytes: post.entry.length, messages: [], waiting: [] }
    if (!this.#held.size) this.#moved = this.#options.clock.elapsed()
    this.#held.set(post.id, held)
    this.#bytes += held.bytes
    const unique = this.#uniqueTxid(post)
    if (unique === undefined || this.#same.join(unique, held)) this.#lookUp(held)
    return held
  }

  #lookUp(held: Held): void {
    this.#waiting.push(held)
    this.#lookWake.wake()
  }

  /** The txid of a post, if the pool takes each transaction once. */
  #uniqueTxid({ txid }: IngressMessage): string | undefined {
    return this.#options.unique?.() ? txid : undefined
  }

  // ---- look: which of the posts are new

  async #lookLoop(): Promise<void> {
    const { clock, stores, path } = this.#options
    while (!this.#halted) {
      const room = MAX_BLOCK_ENTRIES - this.#looked.length
      if (!this.#waiting.length || room <= 0) {
        if (this.#stopping && !this.#waiting.length) return
        await this.#lookWake.sleep(clock)
        continue
      }
      const since = this.#effects.done
      this.#lookingSince = since
      let batch = this.#stillNew(this.#waiting.splice(0, room).map((held) => ({ held, since })))
      let untrue: ReadonlySet<IngressMessage> = new Set()
      const receipts = await this.#untilDone('look-up', async () => {
        try {
          if (!batch.length) return []
          const posts = batch.map(({ held }) => held.post)
          await this.#gate.look(posts)
          const found = await this.#findReceipts(posts)
          untrue = await this.#invoices.settle(posts.filter((_, i) => !found[i]))
          return found
        } catch (error) {
          batch = this.#storeFailed(batch)
          throw error
        }
      })
      batch.forEach((looked, i) => {
        if (!this.#isHeld(looked.held)) return // dropped during the look-up: a store failed, or the pool halted. It may be held again, from the queue
        const receipt = receipts[i]
        if (!receipt && !untrue.has(looked.held.post)) {
          this.#looked.push(looked)
          return
        }
        if (receipt)
          this.#noteDifference(looked.held.post, receipt, async () => {
            const [block] = await stores.blocks.read(path, receipt.block, 1)
            return block && entryAt(block, receipt.seq - block.first)
          })
        this.#release([looked.held])
      })
      this.#lookingSince = undefined
      this.#putWake.wake()
    }
  }

  /** The receipts of these posts, or of their transactions, if the pool takes each once: posted in another way, or before the pool did so, they have other ids. */
  async #findReceipts(posts: IngressMessage[]): Promise<(Receipt | undefined)[]> {
    const { stores, path, unique } = this.#options
    const keys = posts.map(({ named, txid, id }) => ({ key: named || txid === undefined ? id : txid, id }))
    const found = await stores.receipts.find(path, keys)
    if (!unique?.()) return found
    const ofTransaction = async (txid: string) => (await stores.receipts.ofTransaction(path, txid))[0]
    return parallel(
      [...posts.entries()],
      LOOKED_TOGETHER,
      async ([i, { txid }]) => found[i] ?? (txid === undefined ? undefined : ofTransaction(txid)),
    )
  }

  /** Leaves out posts that are in a recent block, and releases them. */
  #stillNew(batch: Looked[]): Looked[] {
    return batch.filter(({ held }) => {
      const unique = this.#uniqueTxid(held.post)
      const recent = this.#recent.get(held.post.id) ?? (unique === undefined ? undefined : this.#recent.ofTransaction(unique))
      if (!recent) return true
      this.#noteDifference(held.post, recent, async () => {
        const { stores, path } = this.#options
        const place = this.#recent.placeOf(recent)!
        const [block] = await stores.blocks.read(path, place.n, 1)
        return block && entryAt(block, place.i)
      })
      this.#release([held])
      return false
    })
  }

  // ---- put: block n, if the mirror has none

  async #putLoop(): Promise<void> {
    const { clock, batchMs = () => 0, busy = BUSY, sweepMs = 5_000 } = this.#options
    let idleSince = clock.elapsed() // posts that are in the ledger already do not count
    while (!this.#halted) {
      if (!this.#looked.length) {
        if (this.#stopping && this.#lookEnded) return
        const left = timeLeft(clock, idleSince, sweepMs)
        if (this.#stopping) await this.#putWake.sleep(clock)
        else if (left) await this.#putWake.sleep(clock, left)
        else {
          await this.#sweep()
          idleSince = clock.elapsed()
        }
        continue
      }
      await this.#untilFull(Math.max(batchMs(), timeLeft(clock, this.#busyAt, busy.ms)))
      await this.#effectsKeepUp()
      await this.#put(this.#takeLooked())
      this.#forget()
      idleSince = clock.elapsed()
    }
  }

  /** Waits `ms` for more posts. It ends early when they fill a block, when a direct post waits, and when the writer stops. */
  async #untilFull(ms: number): Promise<void> {
    const { clock } = this.#options
    const began = clock.elapsed()
    while (!this.#direct && !this.#isFull() && !this.#stopping && !this.#halted) {
      const left = timeLeft(clock, began, ms)
      if (!left) return
      await this.#putWake.sleep(clock, left)
    }
  }

  /** Whether the posts that were looked up fill a block. */
  #isFull(): boolean {
    const bytes = this.#looked.reduce((sum, { held }) => sum + held.post.entry.length, 0)
    return this.#looked.length >= MAX_BLOCK_ENTRIES || bytes >= MAX_BLOCK_BYTES
  }

  /** Waits while too many effects are queued. It does not wait when the writer stops: the stores may be away. */
  #effectsKeepUp(): Promise<void> {
    return this.#effects.keepUp(() => this.#halted !== undefined || this.#stopping || (this.#options.stopping?.aborted ?? false))
  }

  /** Forgets the ids of old blocks. A pending look-up may have begun before the newest receipts were written, so ids since then stay. */
  #forget(): void {
    const since = this.#looked[0]?.since ?? this.#lookingSince ?? this.#effects.done
    this.#recent.forget(since)
    this.#gate.forget(since)
  }

  #takeLooked(): Looked[] {
    let bytes = 0
    const end = this.#looked.findIndex(({ held }, i) => (bytes += held.post.entry.length) > MAX_BLOCK_BYTES && i > 0)
    const batch = this.#looked.splice(0, end < 0 ? MAX_BLOCK_ENTRIES : end)
    this.#lookWake.wake()
    return batch
  }

  async #put(batch: Looked[]): Promise<void> {
    const { stores, path } = this.#options
    let fresh = this.#admitted(this.#stillNew(batch))
    while (fresh.length) {
      let block: Block | undefined
      const stands = await this.#untilDone('put', async () => {
        block = fresh.length ? this.#blockOf(fresh) : undefined
        try {
          return block && (await stores.blocks.put(path, block))
        } catch (error) {
          fresh = this.#admitted(this.#storeFailed(fresh)) // the block may still have been put: the next put, or the sweep, finds it
          throw error
        }
      })
      if (!block || !stands) return
      this.#storesWork = true
      if (Buffer.compare(stands.bytes, block.bytes) === 0) {
        this.#adopt(
          block,
          fresh.map(({ held }) => this.#gate.scanned(held.post)),
        )
        this.#release(fresh.map(({ held }) => held))
        return
      }
      // Another writer was first: its block is part of the ledger. Our posts that it lacks go into the next block.
      this.#foreign++
      this.#adopt(stands, scanEntries(entriesOf(stands)))
      fresh = this.#admitted(this.#stillNew(fresh))
    }
  }

  /** Leaves out statuses that change nothing, and releases them; and what was written for a ledger without the blocks of another writer, and lets it go. */
  #admitted(batch: Looked[]): Looked[] {
    const [stale, current] = split(batch, ({ held: { post } }) => post.foreign !== undefined && post.foreign !== this.#foreign)
    for (const { held } of stale) {
      this.#drop(held)
      this.#tell(held, false)
    }
    const { admitted, refused } = this.#gate.admitted(current, ({ held }) => held.post)
    if (refused.length) this.#release(refused.map(({ held }) => held))
    return admitted
  }

  #blockOf(fresh: Looked[]): Block {
    return encodeBlock(
      this.#length,
      this.#next,
      fresh.map(({ held }) => held.post.entry),
    )
  }

  #adopt(block: Block, entries: ScannedEntry[]): void {
    if (block.count >= (this.#options.busy ?? BUSY).entries) this.#busyAt = this.#options.clock.elapsed()
    this.#length = block.n + 1
    this.#next = block.first + block.count
    this.#recent.add(block.n, entries)
    this.#gate.add(block.n, entries)
    this.#follower.append(block)
    this.#effects.enqueue(block, entries)
    this.#options.report({ kind: 'block', pool: this.path, n: block.n, entries: block.count })
  }

  /** Adopts blocks that another writer has put, and rings again for lost bells. After a failure the next sweep tries again. */
  async #sweep(): Promise<void> {
    const { stores, path, report } = this.#options
    try {
      let blocks = await stores.blocks.read(path, this.#length)
      while (blocks.length) {
        this.#foreign += blocks.length
        for (const block of blocks) this.#adopt(block, scanEntries(entriesOf(block)))
        await this.#effectsKeepUp()
        blocks = await stores.blocks.read(path, this.#length)
      }
      this.#forget()
      await this.#effects.ringAgain()
    } catch (error) {
      if (error instanceof OverpoolError && (error.code === 'BAD_BLOCK' || isDamage(error))) throw error
      report({ kind: 'retrying', pool: path, step: 'sweep', error })
    }
  }

  // ---- leaving the ingress queue

  /** The posts are in the mirror: acknowledges direct posts and deletes messages. A message that cannot be deleted comes again, and is found to be a repeat. */
  #release(released: Held[]): void {
    this.#moved = this.#options.clock.elapsed()
    const messages: Message[] = []
    for (const held of released) {
      this.#drop(held)
      this.#tell(held, true)
      if (held.messages.length) messages.push(...held.messages)
    }
    if (!messages.length) return
    this.#options.ingress
      .delete(messages)
      .catch((error) => this.#options.report({ kind: 'retrying', pool: this.path, step: 'delete', error }))
  }

  #tell(held: Held, inMirror: boolean): void {
    if (!held.waiting.length) return
    this.#direct--
    for (const settled of held.waiting.splice(0)) settled(inMirror)
  }

  /**
   * A store has failed, perhaps for long. Callers of direct posts send them to the queue; posts without a message leave this writer.
   * @returns the posts of `batch` that are still held
   */
  #storeFailed(batch: Looked[]): Looked[] {
    this.#storesWork = false
    for (const held of this.#held.values()) {
      if (!held.messages.length) this.#drop(held)
      this.#tell(held, false)
    }
    this.#waiting = this.#waiting.filter((held) => this.#isHeld(held))
    this.#looked = this.#looked.filter(({ held }) => this.#isHeld(held))
    return batch.filter(({ held }) => this.#isHeld(held))
  }

  /** A post leaves this writer: the next one of its transaction is looked up. */
  #drop(held: Held): void {
    if (!this.#isHeld(held)) return
    const { id, txid = '' } = held.post
    this.#held.delete(id)
    this.#bytes -= held.bytes
    const next = this.#same.leave(txid, held, (follower) => this.#isHeld(follower))
    if (next) this.#lookUp(next)
  }

  #isHeld(held: Held): boolean {
    return this.#held.get(held.post.id) === held
  }

  /** Nothing more is put: callers of direct posts send them to the queue. */
  #letAllGo(): void {
    for (const held of this.#held.values()) this.#tell(held, false)
    this.#same.clear()
    this.#held.clear() // their messages come again when their visibility time is over
    this.#bytes = 0
  }

  /** Reports a post that is not the one that stands under its id: a handler that ran twice posted something else. `read` gives the entry that stands, for its payment. */
  #noteDifference(
    { id, txid, named, entry }: IngressMessage,
    kept: Pick<ScannedEntry, 'id' | 'txid'>,
    read: () => Entry | undefined | Promise<Entry | undefined>,
  ): void {
    const { report } = this.#options
    const keptTxid = kept.txid
    if (id !== kept.id || txid === undefined || keptTxid === undefined) return // the same transaction, posted in another way
    const differs = () => report({ kind: 'post-differs', pool: this.path, id, kept: keptTxid, dropped: txid })
    const compare = async () => {
      const stands = await read()
      if (stands && !isDeepStrictEqual(paymentOf(stands), paymentOf(decodeEntry(entry)))) differs()
    }
    if (txid !== keptTxid) differs()
    else if (named) compare().catch(() => {}) // the mirror is away: only the report is lost
  }

  // ---- ends

  /** Stops appending, here and after a restart, until an operator acts. */
  halt(error: OverpoolError): void {
    if (this.#halted || this.#stopping) return
    const { stores, path, report } = this.#options
    this.#halted = error
    this.#letAllGo()
    this.#follower.halt()
    report({ kind: 'halted', pool: path, error })
    this.#marked = this.#untilDone('halt', () => stores.control.update(path, { halted: error.message })).catch(() => {}) // the next start sees it again
    this.#lookWake.wake()
    this.#putWake.wake()
  }

  /** Puts the posts in hand, finishes the effects, and stops. Posts that fail come again from the ingress queue; effects are repeated at the next start. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#lookWake.wake()
    this.#putWake.wake()
    await this.#loops
    this.#letAllGo()
    await this.#marked
    await this.#follower.stop()
    await this.#effects.stop()
  }
}

function split<T>(list: T[], test: (one: T) => boolean): [T[], T[]] {
  return list.some(test) ? [list.filter(test), list.filter((one) => !test(one))] : [[], list]
}

function stateOf(core: PoolCore): CoreState {
  return {
    get length() {
      return core.length
    },
    async describe() {
      const coreLength = core.length
      return { coreLength, treeHash: await core.treeHash(coreLength) }
    },
  }
}

function paymentOf(entry: Entry): PaymentFields | undefined {
  return entry.kind === 'tx' ? entry.payment : undefined
}

function asHalt(error: unknown): OverpoolError {
  return error instanceof OverpoolError && error.code === 'POOL_HALTED'
    ? error
    : new OverpoolError('POOL_HALTED', messageOf(error), { cause: error })
}
