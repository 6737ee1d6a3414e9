import { type Clock, systemClock } from './clock.ts'
import { OverpoolError } from './errors.ts'

/**
 * How long to wait before attempt `attempt + 1`, ms. It doubles from `base` to `most`, so that a service that stays down is not called often. Half of it is random, so that
 * callers that failed together do not return together. The other half is fixed, so that no caller retries at once.
 */
export function backoff(attempt: number, base = 50, most = 5_000): number {
  return longestWait(attempt, base, most) * (0.5 + Math.random() / 2)
}

/** How long all waits before attempt `attempt` are together, on average, ms. */
export function waitsBefore(attempt: number, base: number, most: number): number {
  let sum = 0
  for (let before = 1; before < attempt; before++) sum += longestWait(before, base, most) * 0.75
  return sum
}

function longestWait(attempt: number, base: number, most: number): number {
  return Math.min(most, base * 2 ** (attempt - 1))
}

/** Runs works one after the other, whether they succeed or not. */
export function oneAfterTheOther(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const result = last.then(work)
    last = result.catch(() => {})
    return result
  }
}

/**
 * For retries that end after `giveUpMs`: a function that waits before the next attempt, longer each time. It resolves to false, at once, if that attempt would
 * begin too late. An aborted signal ends the wait.
 */
export function retriesWithin(giveUpMs: number, base: number, most: number, signal?: AbortSignal): () => Promise<boolean> {
  const end = performance.now() + giveUpMs
  let attempt = 0
  return async () => {
    const waitMs = backoff(++attempt, base, most)
    if (performance.now() + waitMs > end) return false
    await systemClock.sleep(waitMs, signal)
    return true
  }
}

/** Retries a step until it works or `stopped` is true: for steps that must happen and can be repeated. Each failure is reported. A damaged block ends it: waiting does not help. */
export async function untilDone<T>(
  step: () => Promise<T>,
  clock: Clock,
  report: (error: unknown) => void,
  stopped: () => boolean,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await step()
    } catch (error) {
      if (stopped() || (error instanceof OverpoolError && error.code === 'BLOCK_DAMAGED')) throw error
      report(error)
      await clock.sleep(backoff(attempt))
    }
  }
}
