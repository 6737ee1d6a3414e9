import type { Clock } from './clock.ts'

/** How long to wait before attempt `attempt + 1`, ms: doubles from `base` to `most`, with half of it left to chance so that many do not come at once. */
export function backoff(attempt: number, base: number, most: number): number {
  return Math.min(most, base * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2)
}

/** Tries until it works or `stopped` says so: for steps that must happen and can be redone. Each failure is reported. */
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
      if (stopped()) throw error
      report(error)
      await clock.sleep(backoff(attempt, 50, 5_000))
    }
  }
}
