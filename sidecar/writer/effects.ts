import { type Clock, timeLeft } from '../../shared/clock.ts'
import type { Block } from '../../shared/ledger/block.ts'
import { encodeBell } from '../../shared/ledger/messages.ts'
import type { ScannedEntry } from '../../shared/ledger/scanned.ts'
import type { KeptStatus } from '../../shared/ledger/status.ts'
import type { Queue } from '../../shared/queue/port.ts'
import type { PoolPatch } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { Receipt } from '../../shared/store/receipts.ts'
import { Wake } from '../../shared/wake.ts'
import type { Report } from '../report.ts'
import { type Retry, retrying } from '../retrying.ts'
import type { Bells } from './bells.ts'

/** The checkpoint is written at most once in this time, ms. It may lag: then some effects are repeated (Promise 4). */
const CHECKPOINT_MS = 1_000
/** After the effects of `entries` entries or more, the next ones wait `ms`: effects of many blocks cost little more than those of one. */
const BUSY = { entries: 8, ms: 20 }
/** A handler that reached the end of the pool is not checked again for this time, ms, unless a block follows: an idle pool costs next to nothing. */
const CAUGHT_UP_MS = 60_000

/** Depth of the pipeline: bytes of the blocks whose effects may be pending while the next block is put. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
/** At most this many entries have their effects together, except those of a single larger block. One commit for many costs little more than one for one. */
const MAX_TOGETHER = 16_384

/** A handler that is rung for this pool's blocks. */
export interface Ringer {
  handler: string
  queue: Queue
  /** whether it is rung for a block with these entries (default: for each block) */
  wants?: (entries: ScannedEntry[]) => boolean
  /** a bell carries a block of up to this many bytes, which saves the handler a read */
  carryBytes: number
}

/** The core, as the checkpoint reports it. */
export interface CoreState {
  readonly length: number
  /** The fields to write for a core that has blocks. */
  describe(): Promise<PoolPatch>
}

export interface EffectsOptions {
  path: string
  stores: Stores
  ringers: () => Ringer[]
  clock: Clock
  report: Report
  /** number of the first block whose effects may be unfinished */
  checkpoint: number
  /** the newest of them */
  last: Block | undefined
  /** length of the core, as last reported in the mirror */
  coreLength: number
  core: CoreState
  /** whether the pool's control item says that it has statuses */
  hasStatuses?: true
  bells?: Bells
}

/** A block, with its bytes only if a bell may carry them: the effects of a large block must not keep it in memory. */
interface RungBlock extends Omit<Block, 'bytes'> {
  bytes?: Uint8Array
  /** how many bytes it has */
  size: number
}

interface Waiting {
  block: RungBlock
  entries: ScannedEntry[]
}

/**
 * The effects of blocks: receipts, statuses, then bells, then the checkpoint, in the order of blocks, all repeatable (Promise 4). Effects of several waiting blocks go out
 * together, step by step.
 */
export class Effects {
  readonly #options: Omit<EffectsOptions, 'last'>
  readonly #untilDone: Retry
  readonly #queue: Waiting[] = []
  #bytes = 0
  readonly #wake = new Wake()
  #running = Promise.resolve()
  #done: number
  #written: number
  #writtenCore: number
  #last: RungBlock | undefined
  /** when the last large batch of effects began */
  #busyAt = Number.NEGATIVE_INFINITY
  readonly #stopped = new AbortController()
  /** handlers that have reached the last block, and when that was seen */
  readonly #caughtUp = new Map<string, number>()
  #hasStatuses: boolean

  constructor({ last, ...options }: EffectsOptions) {
    this.#options = options
    this.#untilDone = retrying(options.path, options, () => this.#stopped.signal.aborted)
    this.#done = options.checkpoint
    this.#written = options.checkpoint
    this.#last = last && this.#rung(last)
    this.#writtenCore = options.coreLength
    this.#hasStatuses = options.hasStatuses ?? false
  }

  /** Starts the loop. */
  begin(): void {
    this.#running = this.#run()
  }

  /** From now on `Bells` may ring again here: every block up to the last one has had its effects, or is queued for them. */
  joinBells(): void {
    this.#options.bells?.add(this)
  }

  /** The receipts of all blocks before this one are in the mirror. */
  get done(): number {
    return this.#done
  }

  /** Too many effects wait: the next block has to wait, too. */
  get isFull(): boolean {
    return this.#bytes > MAX_WAITING_BYTES
  }

  /** Resolves when there is room for the effects of the next block, or `isOver`. */
  async keepUp(isOver: () => boolean): Promise<void> {
    while (this.isFull && !isOver()) await this.#options.clock.sleep(5)
  }

  /** For a subscription that begins at this block: earlier ones have no effects here. */
  beginAt(block: number): void {
    this.#done = Math.max(this.#done, block)
  }

  /** The core has grown: its length and tree hash are written with the next checkpoint, or alone. */
  coreGrew(): void {
    this.#wake.wake()
  }

  enqueue(whole: Block, entries: ScannedEntry[]): void {
    const block = this.#rung(whole)
    this.#queue.push({ block, entries })
    this.#bytes += block.size
    this.#last = block
    this.#caughtUp.clear()
    this.#wake.wake()
  }

  #rung({ n, first, count, bytes }: Block): RungBlock {
    const block = { n, first, count, size: bytes.length }
    return this.#options.ringers().some(({ carryBytes }) => bytes.length <= carryBytes) ? { ...block, bytes } : block
  }

  async #run(): Promise<void> {
    const { clock } = this.#options
    let writtenAt = Number.NEGATIVE_INFINITY
    const untilDue = () => timeLeft(clock, writtenAt, CHECKPOINT_MS)
    while (true) {
      await this.#untilMore()
      const next = this.#together()
      if (next.length) {
        if (next.reduce((sum, { block }) => sum + block.count, 0) >= BUSY.entries) this.#busyAt = clock.elapsed()
        await this.#goOut(next)
        this.#done = next.at(-1)!.block.n + 1
        for (const { block } of this.#queue.splice(0, next.length)) this.#bytes -= block.size
      } else if (this.#stopped.signal.aborted) {
        break
      } else {
        await this.#wake.sleep(clock, this.#hasNews() ? untilDue() : undefined)
      }
      if (this.#hasNews() && untilDue() === 0) {
        writtenAt = clock.elapsed()
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
    const receipts = together.flatMap(({ block, entries }) => receiptsOf(block, entries))
    await this.#untilDone('receipts', () => stores.receipts.put(path, receipts))
    const statuses = together.flatMap(({ block, entries }) =>
      entries.flatMap(({ status }, i) => (status ? [{ ...status, seq: block.first + i }] : [])),
    )
    if (statuses.length) await this.#untilDone('statuses', () => this.#putStatuses(statuses))
    await this.#untilDone('bell', () => Promise.all(ringers().map((ringer) => this.#ring(ringer, wanted(ringer, together)))))
  }

  async #putStatuses(statuses: KeptStatus[]): Promise<void> {
    const { path, stores } = this.#options
    if (!this.#hasStatuses) await stores.control.update(path, { hasStatuses: true })
    this.#hasStatuses = true
    await stores.statuses.put(path, statuses)
  }

  /** Rings for these blocks. The last bell alone would do; earlier ones are sent only if they carry their block. */
  async #ring({ queue, carryBytes }: Ringer, blocks: RungBlock[], again = ''): Promise<void> {
    const { path } = this.#options
    const bells = blocks.flatMap((block) => {
      const { n, first, count, bytes, size } = block
      const inside = bytes && size <= carryBytes ? { n, first, count, bytes } : undefined
      if (!inside && block !== blocks.at(-1)) return []
      return [{ body: encodeBell({ pool: path, n, block: inside }), group: path, dedupe: `${path}:${n}${again}` }]
    })
    if (bells.length) await queue.send(bells)
  }

  /** Rings again for handlers whose cursor lags although all bells are out: a bell can get lost. A failure is reported; the next sweep tries again. */
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
      const waits = cursor.stopped === undefined && cursor.seq < last.first + last.count - 1
      const lags = cursor.paused === undefined && (cursor.redrive !== undefined || cursor.redriveSome !== undefined || waits)
      if (lags) await this.#ring(ringer, [last], `:again:${clock.now()}`)
      else if (last === this.#last) this.#caughtUp.set(ringer.handler, clock.elapsed())
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

  /** Finishes the waiting effects, and writes the checkpoint. */
  async stop(): Promise<void> {
    this.#options.bells?.delete(this)
    this.#stopped.abort()
    this.#wake.wake()
    await this.#running.catch(() => {}) // the next start repeats the effects that are missing
  }
}

function wanted({ wants }: Ringer, together: Waiting[]): RungBlock[] {
  return together.flatMap(({ block, entries }) => ((wants?.(entries) ?? true) ? [block] : []))
}

function receiptsOf({ n, first }: Pick<Block, 'n' | 'first'>, entries: ScannedEntry[]): Receipt[] {
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
