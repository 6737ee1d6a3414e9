import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoff, retriesWithin } from '../shared/retry.ts'

describe('the wait before another attempt', () => {
  it('doubles from the first to the longest wait, and half of it is random', () => {
    const [attempts, waits] = [fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 1, max: 100_000 })]
    fc.assert(
      fc.property(attempts, waits, waits, (attempt, base, most) => {
        const whole = Math.min(most, base * 2 ** (attempt - 1))
        const wait = backoff(attempt, base, most)
        expect(wait).toBeGreaterThanOrEqual(whole / 2)
        expect(wait).toBeLessThanOrEqual(whole)
      }),
    )
    expect(new Set(Array.from({ length: 100 }, () => backoff(3))).size).toBeGreaterThan(1)
  })

  it('does not begin when the next attempt would come too late', async () => {
    expect(await retriesWithin(600_000, 1, 1)()).toBe(true)
    expect(await retriesWithin(10, 600_000, 600_000)()).toBe(false)
  })

  it('ends when the signal is aborted', async () => {
    const stop = new AbortController()
    const waiting = retriesWithin(3_600_000, 600_000, 600_000, stop.signal)()
    stop.abort()
    expect(await waiting).toBe(true)
  })
})
