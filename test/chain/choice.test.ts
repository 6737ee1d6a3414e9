import { describe, expect, it } from 'vitest'
import { OverpoolError } from '../../shared/errors.ts'
import { SourceChoice } from '../../sidecar/chain/choice.ts'
import type { ChainSource } from '../../sidecar/chain/source.ts'
import { HandClock } from '../hand-clock.ts'

const first = { name: 'first' } as ChainSource
const second = { name: 'second' } as ChainSource
const AWAY = new OverpoolError('UNAVAILABLE', 'it is away', { retryable: true })
const WRONG = new OverpoolError('ACCESS_DENIED', 'the password is wrong')

describe('the choice of a source of the chain', () => {
  it('waits longer after each failure, for minutes after a fault that does not end by itself', () => {
    const waitsFor = (error: unknown) => {
      const choice = new SourceChoice([first], new HandClock())
      return Array.from({ length: 12 }, () => {
        choice.failed(first, error)
        return choice.next().waitMs
      })
    }
    const [away, wrong] = [waitsFor(AWAY), waitsFor(WRONG)]
    for (const waits of [away, wrong]) expect(waits[0]).toBeLessThanOrEqual(1_000)
    expect(away.at(-1)).toBeGreaterThanOrEqual(30_000)
    expect(away.at(-1)).toBeLessThanOrEqual(60_000)
    expect(wrong.at(-1)).toBeGreaterThanOrEqual(150_000)
    expect(wrong.at(-1)).toBeLessThanOrEqual(300_000)
  })

  it('asks a source that was away as soon as it has news, and one with a wrong password not sooner', () => {
    const choice = new SourceChoice([first], new HandClock())
    for (let i = 0; i < 5; i++) choice.failed(first, AWAY)
    choice.hasNews(first)
    expect(choice.next()).toEqual({ source: first, waitMs: 0 })
    choice.failed(first, WRONG)
    choice.hasNews(first)
    expect(choice.next().waitMs).toBeGreaterThan(0)
  })

  it('takes the next one while the first is left, and the first again when it has not failed for a minute', () => {
    const clock = new HandClock()
    const choice = new SourceChoice([first, second], clock)
    choice.failed(first, AWAY)
    expect(choice.next()).toEqual({ source: second, waitMs: 0 })
    clock.wind(61_000)
    expect(choice.next()).toEqual({ source: first, waitMs: 0 })
  })

  it('waits for the one that is to be asked next when all have failed', () => {
    const choice = new SourceChoice([first, second], new HandClock())
    for (let i = 0; i < 8; i++) choice.failed(first, WRONG)
    choice.failed(second, AWAY)
    const { source, waitMs } = choice.next()
    expect(source).toBe(second)
    expect(waitMs).toBeGreaterThan(0)
    expect(waitMs).toBeLessThanOrEqual(1_000)
  })
})
