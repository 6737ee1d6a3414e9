import { type Clock, timeLeft } from '../../shared/clock.ts'
import type { Block } from '../../shared/ledger/block.ts'
import type { Stores } from '../../shared/store/port.ts'
import { Wake } from '../../shared/wake.ts'
import type { Report } from '../report.ts'
import { retrying } from '../retrying.ts'
import type { PoolCore } from './core.ts'

/** Blocks appended at once at most, and kept in memory until then; what is beyond is read from the mirror. */
const APPEND_BLOCKS = 64
/** After blocks of so many entries the next ones are appended no sooner than after this time, ms, unless they are as many as that: each time costs a signature. */
const BUSY = { entries: 8, ms: 20 }

export interface FollowerOptions {
  path: string
  stores: Stores
  core: PoolCore
  clock: Clock
  report: Report
  appended: () => void
}

/** Makes the core follow the mirror: it appends nothing but what the mirror holds, in order, in the background (Promise 1). */
export class CoreFollower {
  readonly #options: FollowerOptions
  readonly #wake = new Wake()
  #running = Promise.resolve()
  #recent: Block[] = []
  #length: number
  #busyAt = Number.NEGATIVE_INFINITY
  readonly #stopped = new AbortController()
  #halted = false

  /** @param length blocks in the mirror */
  constructor(options: FollowerOptions, length: number) {
    this.#options = options
    this.#length = length
    this.#wake.wake()
  }

  /** Sets it to work. */
  begin(): void {
    this.#running = this.#run()
  }

  append(block: Block): void {
    this.#length = block.n + 1
    if (this.#recent.length < APPEND_BLOCKS) this.#recent.push(block)
    this.#wake.wake()
  }

  async #run(): Promise<void> {
    const { path, stores, core, clock, appended } = this.#options
    const untilDone = retrying(path, this.#options, () => this.#stopped.signal.aborted)
    while (true) {
      if (this.#halted || core.length >= this.#length) {
        if (this.#stopped.signal.aborted) return
        await this.#wake.sleep(clock)
        continue
      }
      await untilDone('append', async () => {
        await this.#untilMore()
        const from = core.length // asked at each try: an append may have worked though it failed
        const blocks = this.#takeRecent(from) ?? (await stores.blocks.read(path, from, APPEND_BLOCKS))
        if (this.#halted) return
        if (blocks.reduce((sum, { count }) => sum + count, 0) >= BUSY.entries) this.#busyAt = clock.now()
        await core.append(
          from,
          blocks.map(({ bytes }) => bytes),
        )
        appended()
      })
    }
  }

  /** Under load, waits for a while, so that many small blocks are appended together. */
  async #untilMore(): Promise<void> {
    const { core, clock } = this.#options
    const left = this.#length - core.length < APPEND_BLOCKS ? timeLeft(clock, this.#busyAt, BUSY.ms) : 0
    if (left) await clock.sleep(left, this.#stopped.signal)
  }

  #takeRecent(from: number): Block[] | undefined {
    const recent = this.#recent
    this.#recent = []
    return recent[0]?.n === from ? recent : undefined
  }

  /** Appends nothing more. */
  halt(): void {
    this.#halted = true
  }

  /** Appends what the mirror has, as far as it works, and stops. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#wake.wake()
    await this.#running.catch(() => {}) // the mirror holds it: the next start appends it
  }
}
