import { type Clock, timeLeft } from '../../shared/clock.ts'
import type { Block } from '../../shared/ledger/block.ts'
import { encodeBell } from '../../shared/ledger/messages.ts'
import type { ScannedEntry } from '../../shared/ledger/scanned.ts'
import type { Queue } from '../../shared/queue/port.ts'
import type { PoolPatch } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { Receipt } from '../../shared/store/receipts.ts'
import { Wake } from '../../shared/wake.ts'
import type { Report } from '../report.ts'
import { type Retry, retrying } from '../retrying.ts'
import type { Bells } from './bells.ts'

/** The checkpoint is written at most once in this time, ms: it may lag, that costs a redo and nothing else (Promise 4). */
const CHECKPOINT_MS = 1_000
/** After effects of so many entries the next ones go out no sooner than after this time, ms: what many blocks wait for costs little more than what one waits for. */
const BUSY = { entries: 8, ms: 20 }
/** A handler that has come to the end of the pool is not asked again for so long, ms, unless a block follows: an idle pool asks next to nothing. */
const CAUGHT_UP_MS = 60_000

/** Bytes of the blocks whose effects may be under way while the next one is put: the pipeline's depth. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
/** Entries whose effects go out together at most, except those of a single larger block: a commit for many costs little more than a commit for one. */
const MAX_TOGETHER = 16_384

/** A handler that is to hear of this pool's blocks. */
export interface Ringer {
  handler: string
  queue: Queue
  /** a bell carries its block inside up to this many bytes, which saves the handler a read of the mirror */
  carryBytes: number
}

/** The core beside the mirror, as the checkpoint tells of it. */
export interface CoreState {
  readonly length: number
  /** what is to be written of a core that has blocks */
  describe(): Promise<PoolPatch>
}

export interface EffectsOptions {
  path: string
  stores: Stores
  ringers: () => Ringer[]
  clock: Clock
  report: Report
  /** blocks before this one have had their effects */
  checkpoint: number
  /** the newest of them */
  last: Block | undefined
  /** length of the core, as last reported in the mirror */
  coreLength: number
  core: CoreState
  bells?: Bells
}

interface Waiting {
  block: Block
  entries: ScannedEntry[]
}

/**
 * What follows a block: its receipts, then the bells, then the checkpoint; in the order of blocks, and all of it repeatable (Promise 4). What several blocks
 * wait for goes out together, step by step.
 */
export class Effects {
  readonly #options: EffectsOptions
  readonly #untilDone: Retry
  readonly #queue: Waiting[] = []
  #bytes = 0
  readonly #wake = new Wake()
  #running = Promise.resolve()
  #done: number
  #written: number
  #writtenCore: number
  #last: Block | undefined
  /** when those of many entries began to go out */
  #busyAt = Number.NEGATIVE_INFINITY
  readonly #stopped = new AbortController()
  /** handlers that have come to the last block, and when that was seen */
  readonly #caughtUp = new Map<string, number>()

  constructor(options: EffectsOptions) {
    this.#options = options
    this.#untilDone = retrying(options.path, options, () => this.#stopped.signal.aborted)
    this.#done = options.checkpoint
    this.#written = options.checkpoint
    this.#last = options.last
    this.#writtenCore = options.coreLength
  }

  /** Sets it to work. */
  begin(): void {
    this.#running = this.#run()
  }

  /** Rings again from now on when it is asked to: every block up to the last is here to have its effects, or has had them. */
  joinBells(): void {
    this.#options.bells?.add(this)
  }

  /** The receipts of all blocks before this one are in the mirror. */
  get done(): number {
    return this.#done
  }

  /** So many wait that the next block must. */
  get isFull(): boolean {
    return this.#bytes > MAX_WAITING_BYTES
  }

  /** Resolves when there is room for the next block's, or the wait has no sense any more. */
  async keepUp(isOver: () => boolean): Promise<void> {
    while (this.isFull && !isOver()) await this.#options.clock.sleep(5)
  }

  /** A log that is followed from here on: what was before has no effects here. */
  beginAt(block: number): void {
    this.#done = Math.max(this.#done, block)
  }

  /** The core has followed: its length and tree hash are written with the next checkpoint, or for their own sake. */
  coreGrew(): void {
    this.#wake.wake()
  }

  enqueue(block: Block, entries: ScannedEntry[]): void {
    this.#queue.push({ block, entries })
    this.#bytes += block.bytes.length
    this.#last = block
    this.#caughtUp.clear()
    this.#wake.wake()
  }

  async #run(): Promise<void> {
    const { clock } = this.#options
    let writtenAt = Number.NEGATIVE_INFINITY
    const untilDue = () => timeLeft(clock, writtenAt, CHECKPOINT_MS)
    while (true) {
      await this.#untilMore()
      const next = this.#together()
      if (next.length) {
        if (next.reduce((sum, { block }) => sum + block.count, 0) >= BUSY.entries) this.#busyAt = clock.now()
        await this.#goOut(next)
        this.#done = next.at(-1)!.block.n + 1
        for (const { block } of this.#queue.splice(0, next.length)) this.#bytes -= block.bytes.length
      } else if (this.#stopped.signal.aborted) {
        break
      } else {
        await this.#wake.sleep(clock, this.#hasNews() ? untilDue() : undefined)
      }
      if (this.#hasNews() && untilDue() === 0) {
        writtenAt = clock.now()
        await this.#checkpoint()
      }
    }
    if (this.#hasNews()) await this.#checkpoint()
  }

  /** Under load, waits for a while, so that the effects of many small blocks go out together. */
  async #untilMore(): Promise<void> {
    const { clock } = this.#options
    const left = timeLeft(clock, this.#busyAt, BUSY.ms)
    if (left) await clock.sleep(left, this.#stopped.signal)
  }

  #hasNews(): boolean {
    return this.#done > this.#written || this.#options.core.length > this.#writtenCore
  }

  /** The blocks whose effects go out next. */
  #together(): Waiting[] {
    let entries = 0
    const end = this.#queue.findIndex(({ block }, i) => (entries += block.count) > MAX_TOGETHER && i > 0)
    return this.#queue.slice(0, end < 0 ? undefined : end)
  }

  async #goOut(together: Waiting[]): Promise<void> {
    const { path, stores, ringers } = this.#options
    const blocks = together.map(({ block }) => block)
    const receipts = together.flatMap(({ block, entries }) => receiptsOf(block, entries))
    await this.#untilDone('receipts', () => stores.receipts.put(path, receipts))
    await this.#untilDone('bell', () => Promise.all(ringers().map((ringer) => this.#ring(ringer, blocks))))
  }

  /** Of several bells the last one says it all; those before it are worth sending for the blocks that they carry. */
  async #ring({ queue, carryBytes }: Ringer, blocks: Block[], again = ''): Promise<void> {
    const { path } = this.#options
    const bells = blocks.flatMap((block) => {
      const inside = block.bytes.length <= carryBytes ? block : undefined
      if (!inside && block !== blocks.at(-1)) return []
      return [{ body: encodeBell({ pool: path, n: block.n, block: inside }), group: path, dedupe: `${path}:${block.n}${again}` }]
    })
    await queue.send(bells)
  }

  /** Rings again for handlers whose cursor lags though all bells are out: a bell can get lost. A failure waits for the next time. */
  async ringAgain(): Promise<void> {
    const { path, report } = this.#options
    await this.#ringLagging().catch((error) => report({ kind: 'retrying', pool: path, step: 'bell', error }))
  }

  async #ringLagging(): Promise<void> {
    const { path, stores, ringers, clock } = this.#options
    const last = this.#last
    if (this.#queue.length || !last) return
    for (const ringer of ringers()) {
      if (timeLeft(clock, this.#caughtUp.get(ringer.handler) ?? Number.NEGATIVE_INFINITY, CAUGHT_UP_MS)) continue
      const cursor = await stores.progress.readCursor(ringer.handler, path)
      const lags = cursor.redrive !== undefined || (cursor.stopped === undefined && cursor.seq < last.first + last.count - 1)
      if (lags) await this.#ring(ringer, [last], `:again:${clock.now()}`)
      else if (last === this.#last) this.#caughtUp.set(ringer.handler, clock.now())
    }
  }

  async #checkpoint(): Promise<void> {
    const { path, stores, core } = this.#options
    const checkpoint = this.#done
    const coreLength = core.length
    await this.#untilDone('checkpoint', async () => {
      const patch: PoolPatch = coreLength ? { checkpoint, ...(await core.describe()) } : { checkpoint }
      await stores.control.update(path, patch)
    })
    this.#written = checkpoint
    this.#writtenCore = coreLength
  }

  /** Lets what waits go out, and writes the checkpoint. */
  async stop(): Promise<void> {
    this.#options.bells?.delete(this)
    this.#stopped.abort()
    this.#wake.wake()
    await this.#running.catch(() => {}) // what did not go out is redone by the next start
  }
}

function receiptsOf({ n, first }: Block, entries: ScannedEntry[]): Receipt[] {
  return entries.flatMap(({ id, txid, named }, i) => {
    const receipt = { id, ...(txid !== undefined && { txid }), seq: first + i, block: n }
    if (txid === undefined) return [{ ...receipt, key: id }]
    return named
      ? [
          { ...receipt, key: txid },
          { ...receipt, key: id },
        ]
      : [{ ...receipt, key: txid }]
  })
}
