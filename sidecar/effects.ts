import { type Clock, timeLeft } from '../shared/clock.ts'
import type { Block } from '../shared/ledger/block.ts'
import { encodeBell } from '../shared/ledger/messages.ts'
import type { Mirror, PoolPatch, Receipt } from '../shared/mirror/port.ts'
import type { Queue } from '../shared/queue/port.ts'
import { untilDone } from '../shared/retry.ts'
import { Wake } from '../shared/wake.ts'
import type { PoolCore } from './core.ts'
import type { KnownEntry } from './known.ts'
import type { Report } from './report.ts'

/** The checkpoint is written at most once in this time, ms: it may lag, that costs a redo and nothing else (Promise 4). */
const CHECKPOINT_MS = 1_000
/** A handler that has come to the end of the pool is not asked again for so long, ms, unless a block follows: an idle pool asks next to nothing. */
const CAUGHT_UP_MS = 60_000

/** A handler that is to hear of this pool's blocks. */
export interface Ringer {
  handler: string
  queue: Queue
  /** a bell carries its block inside up to this many bytes, which saves the handler a read of the mirror */
  carryBytes: number
}

export interface EffectsOptions {
  path: string
  mirror: Mirror
  ringers: () => Ringer[]
  clock: Clock
  report: Report
  /** blocks before this one have had their effects */
  checkpoint: number
  /** the newest of them */
  last: Block | undefined
  /** length of the core, as last reported in the mirror */
  coreLength: number
  core: Pick<PoolCore, 'length' | 'treeHash'>
}

/** What follows a block: its receipts, then the bells, then the checkpoint; in the order of blocks, and all of it repeatable (Promise 4). */
export class Effects {
  readonly #options: EffectsOptions
  readonly #queue: { block: Block; entries: KnownEntry[] }[] = []
  readonly #wake = new Wake()
  readonly #running: Promise<void>
  #done: number
  #written: number
  #writtenCore: number
  #last: Block | undefined
  #stopping = false
  /** handlers that have come to the last block, and when that was seen */
  readonly #caughtUp = new Map<string, number>()

  constructor(options: EffectsOptions) {
    this.#options = options
    this.#done = options.checkpoint
    this.#written = options.checkpoint
    this.#last = options.last
    this.#writtenCore = options.coreLength
    this.#running = this.#run()
  }

  /** The receipts of all blocks before this one are in the mirror. */
  get done(): number {
    return this.#done
  }

  /** Blocks whose effects have not gone out. */
  get waiting(): number {
    return this.#queue.length
  }

  /** The core has followed: its length and tree hash are written with the next checkpoint, or for their own sake. */
  coreGrew(): void {
    this.#wake.wake()
  }

  follow(block: Block, entries: KnownEntry[]): void {
    this.#queue.push({ block, entries })
    this.#last = block
    this.#caughtUp.clear()
    this.#wake.wake()
  }

  async #run(): Promise<void> {
    const { clock } = this.#options
    let writtenAt = Number.NEGATIVE_INFINITY
    const untilDue = () => timeLeft(clock, writtenAt, CHECKPOINT_MS)
    while (true) {
      const next = this.#queue[0]
      if (next) {
        await this.#goOut(next.block, next.entries)
        this.#done = next.block.n + 1
        this.#queue.shift()
      } else if (this.#stopping) {
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

  #hasNews(): boolean {
    return this.#done > this.#written || this.#options.core.length > this.#writtenCore
  }

  async #goOut(block: Block, entries: KnownEntry[]): Promise<void> {
    const { path, mirror, ringers } = this.#options
    const receipts = entries.flatMap(({ id, txid, named }, i): Receipt[] => {
      const receipt = { key: txid, id, txid, seq: block.first + i, block: block.n }
      return named ? [receipt, { ...receipt, key: id }] : [receipt]
    })
    await this.#untilDone('receipts', () => mirror.putReceipts(path, receipts))
    await this.#untilDone('bell', () => Promise.all(ringers().map((ringer) => this.#ring(ringer, block, `${path}:${block.n}`))))
  }

  #ring({ queue, carryBytes }: Ringer, block: Block, dedupe: string): Promise<void> {
    const { path } = this.#options
    const inside = block.bytes.length <= carryBytes ? block : undefined
    return queue.send([{ body: encodeBell({ pool: path, n: block.n, block: inside }), group: path, dedupe }])
  }

  /** Rings again for handlers whose cursor lags though all bells are out: a bell can get lost. */
  async ringAgain(): Promise<void> {
    const { path, mirror, ringers, clock } = this.#options
    const last = this.#last
    if (this.#queue.length || !last) return
    for (const ringer of ringers()) {
      if (timeLeft(clock, this.#caughtUp.get(ringer.handler) ?? Number.NEGATIVE_INFINITY, CAUGHT_UP_MS)) continue
      const cursor = await mirror.readCursor(ringer.handler, path)
      const lags = cursor.redrive !== undefined || (cursor.stopped === undefined && cursor.seq < last.first + last.count - 1)
      if (lags) await this.#ring(ringer, last, `${path}:${last.n}:again:${clock.now()}`)
      else if (last === this.#last) this.#caughtUp.set(ringer.handler, clock.now())
    }
  }

  async #checkpoint(): Promise<void> {
    const { path, mirror, core } = this.#options
    const checkpoint = this.#done
    const coreLength = core.length
    await this.#untilDone('checkpoint', async () => {
      const patch: PoolPatch = coreLength ? { checkpoint, coreLength, treeHash: await core.treeHash(coreLength) } : { checkpoint }
      await mirror.updatePool(path, patch)
    })
    this.#written = checkpoint
    this.#writtenCore = coreLength
  }

  async #untilDone(step: string, work: () => Promise<unknown>): Promise<void> {
    const { path, clock, report } = this.#options
    await untilDone(
      work,
      clock,
      (error) => report({ kind: 'retrying', pool: path, step, error }),
      () => this.#stopping,
    )
  }

  /** Lets what waits go out, and writes the checkpoint. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#wake.wake()
    await this.#running.catch(() => {}) // what did not go out is redone by the next start
  }
}
