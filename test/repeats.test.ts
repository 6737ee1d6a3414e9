import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { OverpoolError, reasonOf, stackOf } from '../shared/errors.ts'
import { Repeats } from '../shared/repeats.ts'

const WINDOW_MS = 10_000

let said: string[]
let repeats: Repeats
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  said = []
  repeats = new Repeats((line) => said.push(line))
})
afterEach(() => {
  vi.useRealTimers()
})

function saidSince(): string[] {
  return said.splice(0)
}

describe('a message that comes again and again', () => {
  it('is said at once, then counted, and anew when it comes back', () => {
    for (let i = 0; i < 1_000; i++) repeats.say('the disk is full')
    expect(saidSince()).toEqual(['the disk is full'])
    vi.advanceTimersByTime(WINDOW_MS)
    expect(saidSince()).toEqual(['the disk is full (999 times more)'])
    repeats.say('the disk is full')
    repeats.say('the disk is broken')
    expect(saidSince()).toEqual(['the disk is broken'])
    vi.advanceTimersByTime(2 * WINDOW_MS)
    expect(saidSince()).toEqual(['the disk is full (once more)'])
    vi.advanceTimersByTime(4 * WINDOW_MS)
    expect(saidSince()).toEqual([])
    repeats.say('the disk is full')
    expect(saidSince()).toEqual(['the disk is full'])
  })

  it('is counted for twice the time, again and again, up to about ten minutes', () => {
    const waits: number[] = []
    for (let seconds = 0, last = 0; seconds < 3_600; seconds++) {
      repeats.say('the password is wrong')
      vi.advanceTimersByTime(1_000)
      if (!saidSince().length) continue
      waits.push(seconds + 1 - last)
      last = seconds + 1
    }
    expect(waits).toEqual([1, 9, 20, 40, 80, 160, 320, 640, 640, 640, 640])
  })

  it('is counted to the end', () => {
    for (let i = 0; i < 3; i++) repeats.say('a\n    at b')
    repeats.end()
    expect(saidSince()).toEqual(['a\n    at b', 'a (2 times more)'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('is not hidden by many others, of which a hundred are said in ten seconds', () => {
    for (let i = 0; i < 5_000; i++) repeats.say(`refused ${i}`)
    expect(saidSince()).toEqual(Array.from({ length: 100 }, (_, i) => `refused ${i}`))
    vi.advanceTimersByTime(WINDOW_MS)
    expect(saidSince()).toEqual(['other messages that are not shown: 4900'])
    vi.advanceTimersByTime(WINDOW_MS)
    repeats.say('the disk is full')
    expect(saidSince()).toEqual(['the disk is full'])
  })

  it('keeps its details', () => {
    const details: unknown[] = []
    const detailed = new Repeats<[pool: string]>((_, pool) => details.push(pool))
    for (let i = 0; i < 2; i++) detailed.say('halted', 'mypool')
    detailed.end()
    expect(details).toEqual(['mypool', 'mypool'])
  })
})

describe('an error that quotes a payment', () => {
  const payment = 'ab'.repeat(5_000_000)

  it('is cut, and keeps its code and its place', () => {
    expect(reasonOf(new OverpoolError('BAD_PAYMENT', payment, { cause: new Error(`ab${payment}`) }))).toMatch(
      /^(ab){500}… \(9999000 characters more\) \[BAD_PAYMENT\] \((ab){500}… \(9999002 characters more\)\)$/,
    )
    const stack = stackOf(new TypeError(payment))
    expect(stack).toMatch(/^TypeError: (ab){500}… \(9999000 characters more\)\n +at /)
    expect(stack.length).toBeLessThan(5_000)
    expect(reasonOf(payment)).toHaveLength(1_000 + '… (9999000 characters more)'.length)
  })

  it('says once what its cause says, too', () => {
    const refused = 'the shop is closed'
    expect(reasonOf(new OverpoolError('FILTER_REFUSED', refused, { cause: new Error(refused) }))).toBe(`${refused} [FILTER_REFUSED]`)
  })

  it('may be any thrown value', () => {
    expect(stackOf(Object.create(null))).toBe('a thrown object')
    expect(reasonOf(undefined)).toBe('undefined')
  })
})
