import { type Clock, timeLeft } from '../../shared/clock.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { backoff } from '../../shared/retry.ts'
import type { ChainSource } from './source.ts'

/** Wait before a source that failed is asked again, ms, doubling up to the most. */
const WAIT_MS = 1_000
const WAIT_MOST_MS = 60_000
/** The most after a fault that does not end by itself, such as a wrong password, ms. */
const WRONG_MOST_MS = 5 * 60_000
/** While another source works, one that failed is not asked for this time at least, ms. */
const LEFT_MS = 60_000

interface Failed {
  /** when it failed last (`Clock.elapsed`), and how often since it last worked */
  at: number
  times: number
  waitMs: number
  /** the fault may end by itself: when the source has news, it has ended */
  retryable: boolean
}

/** Chooses the source to ask: the first one that works. */
export class SourceChoice {
  readonly #sources: readonly ChainSource[]
  readonly #clock: Clock
  readonly #failed = new Map<ChainSource, Failed>()

  constructor(sources: readonly ChainSource[], clock: Clock) {
    this.#sources = sources
    this.#clock = clock
  }

  /** The first source that has not failed lately; if all have, the one that is to be asked next, and how long to wait until then, ms. */
  next(): { source: ChainSource; waitMs: number } {
    const left = (source: ChainSource, least: number) => {
      const failed = this.#failed.get(source)
      return failed ? timeLeft(this.#clock, failed.at, Math.max(least, failed.waitMs)) : 0
    }
    const [first, ...others] = this.#sources
    const good = this.#sources.find((source) => !left(source, others.length ? LEFT_MS : 0))
    if (good) return { source: good, waitMs: 0 }
    const source = others.reduce((soonest, other) => (left(other, 0) < left(soonest, 0) ? other : soonest), first!)
    return { source, waitMs: left(source, 0) }
  }

  failed(source: ChainSource, error: unknown): void {
    const times = (this.#failed.get(source)?.times ?? 0) + 1
    const retryable = error instanceof OverpoolError && error.retryable
    const waitMs = backoff(times, WAIT_MS, retryable ? WAIT_MOST_MS : WRONG_MOST_MS)
    this.#failed.set(source, { at: this.#clock.elapsed(), times, waitMs, retryable })
  }

  works(source: ChainSource): void {
    this.#failed.delete(source)
  }

  /** A source has news: it is there again, if it was away. */
  hasNews(source: ChainSource): void {
    const failed = this.#failed.get(source)
    if (failed?.retryable) this.#failed.set(source, { ...failed, waitMs: 0 })
  }
}
