import type { Clock } from '../shared/clock.ts'

interface Sleeper {
  at: number
  ms: number
  wake: () => void
}

/** A clock that moves only when a test winds it. */
export class HandClock implements Clock {
  readonly #sleepers = new Set<Sleeper>()
  #now = 1_700_000_000_000

  readonly now = (): number => this.#now
  readonly elapsed = this.now

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted || ms <= 0) return resolve()
      const sleeper = { at: this.#now + ms, ms, wake: () => this.#sleepers.delete(sleeper) && resolve() }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', sleeper.wake)
    })
  }

  /** The durations of all sleeps that have not ended, ms, the shortest first. */
  get sleeping(): number[] {
    return [...this.#sleepers].map(({ ms }) => ms).sort((a, b) => a - b)
  }

  wind(ms: number): void {
    this.#now += ms
    for (const { at, wake } of this.#sleepers) if (at <= this.#now) wake()
  }
}
