import { setTimeout as wait } from 'node:timers/promises'

/** Time, as the writer and the runner see it; tests hand in one that they wind themselves. */
export interface Clock {
  /** ms since 1970 */
  now(): number
  /** Resolves after `ms`, or at once when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: Date.now,
  async sleep(ms, signal) {
    await wait(ms, undefined, { signal }).catch(() => {})
  },
}
