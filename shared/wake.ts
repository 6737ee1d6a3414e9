import { atMost, type Clock } from './clock.ts'

/** One loop sleeps until another has something for it. A wake that comes before the sleep is not lost. */
export class Wake {
  #awake = false
  #resolve: (() => void) | undefined

  wake(): void {
    this.#awake = true
    this.#resolve?.()
  }

  /** Resolves at the next wake, or after `ms`. */
  async sleep(clock: Clock, ms = Number.POSITIVE_INFINITY): Promise<void> {
    if (!this.#awake) {
      const woken = new Promise<void>((resolve) => (this.#resolve = resolve))
      await (ms === Number.POSITIVE_INFINITY ? woken : atMost(clock, ms, woken))
      this.#resolve = undefined
    }
    this.#awake = false
  }
}
