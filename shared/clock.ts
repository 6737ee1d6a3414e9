/** Time, for the writer and the runner. Tests pass a clock of their own. */
export interface Clock {
  /** ms since 1970 */
  now(): number
  /** Resolves after `ms`, or at once when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** Node fires a longer timer at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: Date.now,
  // `node:timers/promises` makes an error object for each sleep that ends early, and under load most do.
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

/** Made once: an abort without a reason makes an error with its stack each time. */
const OVER = new Error('the wait is over')

/** Waits for the work, but at most `ms`. */
export async function atMost(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  await Promise.race([work, clock.sleep(ms, over.signal)]).finally(() => over.abort(OVER))
}

/**
 * Waits for the work, or until the signal is aborted: then it fails with the signal's reason. `Promise.race` against a promise that lives on would leave a listener there each
 * time, and with it the result of each race.
 */
export function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason)
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop)
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

/** The rest of a wait of `ms` that began at `since`; 0 if the clock was set back meanwhile, so that the wait does not grow. */
export function timeLeft(clock: Clock, since: number, ms: number): number {
  const passed = clock.now() - since
  return passed < 0 ? 0 : Math.max(0, ms - passed)
}
