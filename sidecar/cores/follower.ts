import { type Clock, timeLeft } from '../../shared/clock.ts'
import type { Block } from '../../shared/ledger/block.ts'
import type { Stores } from '../../shared/store/port.ts'
import { Wake } from '../../shared/wake.ts'
import type { Report } from '../report.ts'
import { retrying } from '../retrying.ts'
import type { PoolCore } from './core.ts'

/** At most this many blocks, and about this many bytes, are kept in memory until they are appended at once; further ones are read from the mirror. */
const APPEND_BLOCKS = 64
const APPEND_BYTES = 4 * 1024 * 1024
/** After blocks with `entries` entries or more, the next append waits `ms`, unless that many entries wait again: each append costs a signature. */
const BUSY = { entries: 8, ms: 20 }

export interface FollowerOptions {
  path: string
  stores: Stores
  core: PoolCore
  clock: Clock
  report: Report
  appended: () => void
  /** called when it cannot go on, since a block of the mirror is damaged */
  failed: (error: unknown) => void
}

/** Appends the mirror's blocks to the core, in order, in the background, and nothing else (Promise 1). */
export class CoreFollower {
  readonly #options: FollowerOptions
  readonly #wake = new Wake()
  #running = Promise.resolve()
  #recent: Block[] = []
  #recentBytes = 0
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

  /** Starts the loop. */
  begin(): void {
    this.#running = this.#run().catch((error) => {
      if (!this.#stopped.signal.aborted) this.#options.failed(error) // after a stop, the next start appends what is missing
    })
  }

  append(block: Block): void {
    this.#length = block.n + 1
    if (this.#recent.length < APPEND_BLOCKS && this.#recentBytes < APPEND_BYTES) {
      this.#recent.push(block)
      this.#recentBytes += block.bytes.length
    }
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
        const from = core.length // read at each try: a failed append may have worked
        const blocks = this.#takeRecent(from) ?? (await stores.blocks.read(path, from, APPEND_BLOCKS))
        if (this.#halted) return
        if (blocks.reduce((sum, { count }) => sum + count, 0) >= BUSY.entries) this.#busyAt = clock.elapsed()
        await core.append(
          from,
          blocks.map(({ bytes }) => bytes),
        )
        appended()
      })
    }
  }

  /** Under load it waits, so that many small blocks are appended together. */
  async #untilMore(): Promise<void> {
    const { core, clock } = this.#options
    const left = this.#length - core.length < APPEND_BLOCKS ? timeLeft(clock, this.#busyAt, BUSY.ms) : 0
    if (left) await clock.sleep(left, this.#stopped.signal)
  }

  #takeRecent(from: number): Block[] | undefined {
    const recent = this.#recent
    this.#recent = []
    this.#recentBytes = 0
    return recent[0]?.n === from ? recent : undefined
  }

  /** Appends nothing more. */
  halt(): void {
    this.#halted = true
  }

  /** Appends the remaining blocks, as far as possible, and stops. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#wake.wake()
    await this.#running
  }
}
