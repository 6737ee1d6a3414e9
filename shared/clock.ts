/** Time, for the writer and the runner. Tests pass a clock of their own. */
export interface Clock {
  /** ms since 1970: for the times that are written down. It jumps when the clock of the computer is set */
  now(): number
  /** ms since some moment: for waits. It never jumps */
  elapsed(): number
  /** Resolves after `ms`, or at once when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** Node fires a longer timer at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/**
 * ms since about the start of this computer, the same in all its processes. Nobody can set this clock, but the next start of the computer begins it anew.
 */
export function elapsed(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1_000 + Math.floor(nanoseconds / 1e6)
}

export const systemClock: Clock = {
  now: Date.now,
  elapsed,
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

/**
 * Waits for `ms` that this process has been awake, or until the signal is aborted: a timer goes on while the process is stopped (SIGSTOP), frozen by Lambda, or blocked by
 * other code, and while its host sleeps. So the wait is made of ten parts, and each counts once, however late it ends.
 */
export async function sleepAwake(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const part = Math.min(Math.ceil(ms / 10), LONGEST_TIMER_MS)
  for (let left = ms; left > 0 && !signal.aborted; left -= part) await clock.sleep(Math.min(part, left), signal)
}

/** One shared reason: `abort()` without one makes an error with a stack trace each time. */
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

/** The rest of a wait of `ms` that began when `elapsed` was `since`. */
export function timeLeft(clock: Clock, since: number, ms: number): number {
  return Math.max(0, ms - (clock.elapsed() - since))
}
