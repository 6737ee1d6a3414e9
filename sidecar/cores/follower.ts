import type { Clock } from '../../shared/clock.ts'
import type { Block } from '../../shared/ledger/block.ts'
import type { Stores } from '../../shared/store/port.ts'
import { Wake } from '../../shared/wake.ts'
import type { Report } from '../report.ts'
import { retrying } from '../retrying.ts'
import type { PoolCore } from './core.ts'

/** Blocks appended at once at most, and kept in memory until then; what is beyond is read from the mirror. */
const APPEND_BLOCKS = 64

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
  #stopping = false
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
    const untilDone = retrying(path, this.#options, () => this.#stopping)
    while (true) {
      if (this.#halted || core.length >= this.#length) {
        if (this.#stopping) return
        await this.#wake.sleep(clock)
        continue
      }
      await untilDone('append', async () => {
        const from = core.length // asked at each try: an append may have worked though it failed
        const blocks = this.#takeRecent(from) ?? (await stores.blocks.read(path, from, APPEND_BLOCKS))
        if (this.#halted) return
        await core.append(
          from,
          blocks.map(({ bytes }) => bytes),
        )
        appended()
      })
    }
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
    this.#stopping = true
    this.#wake.wake()
    await this.#running.catch(() => {}) // the mirror holds it: the next start appends it
  }
}
