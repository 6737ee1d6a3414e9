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

/**
 * Waits for `ms` that this process has been awake, or until the signal is aborted: a timer goes on while the process is stopped (SIGSTOP), frozen by Lambda, or blocked by
 * other code, and while its host sleeps. So the wait is made of ten parts, and each counts once, however late it ends.
 */
export async function sleepAwake(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const part = Math.min(Math.ceil(ms / 10), LONGEST_TIMER_MS)
  for (let left = ms; left > 0 && !signal.aborted; left -= part) await clock.sleep(Math.min(part, left), signal)
}

/** Made once: an abort without a reason makes an error with its stack each time. */
const OVER = new Error('the wait is over')

/** Waits for the work, but at most `ms`. */
export async function atMost(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  await Promise.race([work, clock.sleep(ms, over.signal)]).finally(() => over.abort(OVER))
}

/** The rest of a wait of `ms` that began at `since`; 0 if the clock was set back meanwhile, so that the wait does not grow. */
export function timeLeft(clock: Clock, since: number, ms: number): number {
  const passed = clock.now() - since
  return passed < 0 ? 0 : Math.max(0, ms - passed)
}
