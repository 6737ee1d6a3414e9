/** Time, as the writer and the runner see it; tests hand in one that they wind themselves. */
export interface Clock {
  /** ms since 1970 */
  now(): number
  /** Resolves after `ms`, or at once when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** A longer timer would ring at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: Date.now,
  // That of `node:timers/promises` makes an error of each sleep that ends early, which under load most do.
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const done = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, Math.min(ms, LONGEST_TIMER_MS))
      signal?.addEventListener('abort', done)
    }),
}

/** Made once: without a reason, each abort would make an error with its stack. */
const OVER = new Error('the wait is over')

/** Waits for the work, but no longer than so many ms. */
export async function atMost(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  await Promise.race([work, clock.sleep(ms, over.signal)]).finally(() => over.abort(OVER))
}

/** How much of `ms` is left of those that began at `since`; nothing when the clock was set back meanwhile, or it would be waited for as long again. */
export function timeLeft(clock: Clock, since: number, ms: number): number {
  const passed = clock.now() - since
  return passed < 0 ? 0 : Math.max(0, ms - passed)
}
