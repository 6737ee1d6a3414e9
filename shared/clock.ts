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
  // `node:timers/promises` makes an error object for each aborted sleep, and under load most sleeps are aborted.
  sleep: (ms, signal) => sleep(ms, signal, true),
}

/** The same, but Node does not wait for its sleeps: a program whose machine has nothing to do ends by itself. */
export const idleClock: Clock = { ...systemClock, sleep: (ms, signal) => sleep(ms, signal, false) }

function sleep(ms: number, signal: AbortSignal | undefined, keepsAlive: boolean): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, Math.min(ms, LONGEST_TIMER_MS))
    if (!keepsAlive) timer.unref()
    signal?.addEventListener('abort', done)
  })
}

/** One shared reason: `abort()` without one makes an error with a stack trace each time. */
const OVER = new Error('the wait is over')

/** Waits for the work, but at most `ms`. */
export async function atMost(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  await Promise.race([work, clock.sleep(ms, over.signal)]).finally(() => over.abort(OVER))
}

/** What is left of a wait of `ms` that began at `since`. It is 0 if the clock was set back, so that the wait does not grow. */
export function timeLeft(clock: Clock, since: number, ms: number): number {
  const passed = clock.now() - since
  return passed < 0 ? 0 : Math.max(0, ms - passed)
}
