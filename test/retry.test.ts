import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoff, oneAfterTheOther, retriesWithin, waitsBefore } from '../shared/retry.ts'

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

  it('is known beforehand for all attempts together, on average', () => {
    const waits = Array.from({ length: 2_000 }, () => [1, 2, 3, 4].reduce((sum, attempt) => sum + backoff(attempt, 100, 300), 0))
    const average = waits.reduce((sum, wait) => sum + wait, 0) / waits.length
    expect(waitsBefore(5, 100, 300)).toBe(675)
    expect(average / waitsBefore(5, 100, 300)).toBeCloseTo(1, 1)
    expect(waitsBefore(1, 100, 300)).toBe(0)
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

it('works that run one after the other do so also when one fails', async () => {
  const alone = oneAfterTheOther()
  const said: string[] = []
  const work = (name: string, fails: boolean) =>
    alone(async () => {
      said.push(`${name} begins`)
      await Promise.resolve()
      said.push(`${name} ends`)
      if (fails) throw new Error(name)
      return name
    })
  expect(await Promise.allSettled([work('a', true), work('b', false)])).toMatchObject([{ reason: { message: 'a' } }, { value: 'b' }])
  expect(said).toEqual(['a begins', 'a ends', 'b begins', 'b ends'])
})
