import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KeptBudget } from '../../client/kept-budget.ts'
import { Project } from '../cli/project.ts'

const DAY = 24 * 3_600_000
const NONE = {}

describe('a budget that is kept', () => {
  let dir: string
  let now: number
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'overpool-budget-'))
    now = 1_800_000_000_000
  })
  afterEach(() => rmSync(dir, { recursive: true }))

  const open = () => new KeptBudget(join(dir, 'budget.sqlite'), () => now)
  const asking = (satoshis: number, more: object = {}) => ({ satoshis, url: 'https://shop.example/', purpose: 'x', limits: NONE, ...more })

  it('pays nothing before somebody has set both limits', () => {
    using budget = open()
    expect(budget.standing()).toEqual({ spent: 0, left: 0 })
    expect(() => budget.reserve(asking(1))).toThrow(/nobody has set how much may be paid by one call/)
    budget.set({ perCall: 10 })
    expect(() => budget.reserve(asking(1))).toThrow(/nobody has set how much may be paid in a day/)
    budget.set({ perDay: 10 })
    expect(budget.standing()).toEqual({ perCall: 10, perDay: 10, spent: 0, left: 10 })
    expect(budget.reserve(asking(1))).toBe(1)
  })

  it('holds the limit of a call and of 24 hours, and the lower one of the file and of the process', () => {
    using budget = open()
    budget.set({ perCall: 60, perDay: 100 })
    expect(() => budget.reserve(asking(61))).toThrow(expect.objectContaining({ code: 'BUDGET_EXCEEDED', satoshis: 61 }))
    expect(() => budget.reserve(asking(50, { limits: { perCall: 49 } }))).toThrow(/49 may be paid now/)
    budget.reserve(asking(60))
    expect(() => budget.reserve(asking(41))).toThrow(/60 are spent/)
    expect(() => budget.reserve(asking(40, { limits: { perDay: 99 } }))).toThrow(/39 may be paid now/)
    budget.reserve(asking(40))
    now += DAY - 1
    expect(() => budget.reserve(asking(1))).toThrow(/0 may be paid now/)
    now += 1
    expect(budget.standing()).toMatchObject({ spent: 0, left: 60 })
  })

  it('counts what may have been paid as spent, after a restart as well, until it is released', () => {
    {
      using budget = open()
      budget.set({ perCall: 100, perDay: 100 })
      budget.reserve(asking(70))
    }
    using budget = open()
    expect(budget.standing()).toMatchObject({ spent: 70, left: 30 })
    expect(budget.release(1)).toBe(true)
    expect(budget.release(1)).toBe(false)
    expect(budget.standing()).toMatchObject({ spent: 0, left: 100 })
    const id = budget.reserve(asking(70))
    budget.paid(id, { txid: '11', receipt: { a: 1 } })
    expect(budget.release(id), 'what was paid cannot be given back').toBe(false)
    expect(budget.find('x')).toMatchObject({ id, state: 'paid', txid: '11', receipt: { a: 1 } })
  })

  it('gives no money back when the clock is set back', () => {
    using budget = open()
    budget.set({ perCall: 100, perDay: 100 })
    budget.reserve(asking(60))
    for (const ms of [1, DAY, 30 * DAY]) {
      now -= ms
      expect(() => budget.reserve(asking(41))).toThrow(/40 may be paid now/)
    }
    budget.reserve(asking(40)) // by a clock that is a month behind
    now += 31 * DAY + 1 // that was a minute ago, and the clock is right again
    expect(() => budget.reserve(asking(1))).toThrow(/0 may be paid now/)
    now += DAY
    expect(budget.standing().left).toBe(100)
  })

  it('lets the operator begin anew', () => {
    using budget = open()
    budget.set({ perCall: 100, perDay: 100 })
    now += 1_000 * DAY // the clock was wrong
    budget.reserve(asking(100))
    now -= 1_000 * DAY
    expect(budget.standing().left).toBe(0)
    budget.renew()
    expect(budget.standing().left).toBe(100)
    budget.reserve(asking(100))
    now += DAY
    expect(budget.standing().left).toBe(100)
  })

  it('lets an approval pay once, and counts what it paid', () => {
    using budget = open()
    budget.set({ perCall: 10, perDay: 100 })
    budget.reserve(asking(80, { approval: 'a' }))
    expect(() => budget.reserve(asking(80, { approval: 'a' }))).toThrow(/counts once/)
    expect(budget.standing()).toMatchObject({ spent: 80, left: 10 })
    budget.reserve(asking(90, { approval: 'b' }))
    expect(budget.standing()).toMatchObject({ spent: 170, left: 0 })
  })

  it.each([0, -1, 1.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY])('refuses to pay %s satoshis', (satoshis) => {
    using budget = open()
    budget.set({ perCall: 1_000, perDay: 1_000 })
    expect(() => budget.reserve(asking(satoshis))).toThrow(expect.objectContaining({ code: 'PAYMENT_REFUSED' }))
    expect(() => budget.set({ perCall: -1 })).toThrow(/whole number of satoshis/)
  })

  it('says so when its file is none', () => {
    writeFileSync(
      join(dir, 'budget.sqlite'),
      'something else, which is longer than a header of SQLite would be, so that it is looked at. '.repeat(9),
    )
    expect(open).toThrow(/budget.sqlite cannot be used as a budget/)
  })
})

describe('a budget that several processes share', () => {
  it('is never exceeded, however they race, and whichever of them is killed', { timeout: 120_000 }, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'overpool-budget-'))
    const [file, paidFile] = [join(dir, 'budget.sqlite'), join(dir, 'paid')]
    writeFileSync(paidFile, '')
    const perDay = 4_000
    using budget = new KeptBudget(file)
    budget.set({ perCall: 9, perDay })
    const paid = () =>
      readFileSync(paidFile, 'utf8')
        .split('\n')
        .reduce((sum, line) => sum + Number(line), 0)
    let killed = 0
    const spend = async () => {
      while (budget.standing().left > 0) {
        const child = spawn(process.execPath, [fileURLToPath(new URL('spender.ts', import.meta.url)), file, paidFile], {
          stdio: ['ignore', 'pipe', 'inherit'],
        })
        const exited = once(child, 'exit')
        await once(child.stdout, 'data')
        const timer = setTimeout(() => child.kill('SIGKILL') && killed++, 20 + Math.random() * 200)
        const [code, signal] = await exited
        clearTimeout(timer)
        expect(signal ?? code).toBe(signal === null ? 0 : 'SIGKILL')
        expect(paid()).toBeLessThanOrEqual(budget.standing().spent)
      }
    }
    await Promise.all([spend(), spend(), spend()])
    expect(budget.standing()).toMatchObject({ spent: perDay, left: 0 })
    expect(paid()).toBeLessThanOrEqual(perDay)
    expect(paid(), 'a killed process loses at most the payment that it was about to make').toBeGreaterThanOrEqual(perDay - 9 * killed)
    expect(killed).toBeGreaterThan(5)
    rmSync(dir, { recursive: true })
  })
})

describe('overpool budget', () => {
  it('shows and sets the limits, and gives money back', async () => {
    await using project = new Project()
    const dir = join(project.dir, '.overpool')
    expect((await project.result('budget')).out).toMatch(
      /^per call {2}not set: nothing can be paid\nper day {3}not set: nothing can be paid\nspent {5}0 satoshis/,
    )
    expect((await project.result('budget', '--per-call', '100', '--per-day', '500')).out).toMatch(
      /^per call {2}100 satoshis\nper day {3}500 satoshis\n.*; 100 may be paid now/,
    )
    {
      using budget = new KeptBudget(join(dir, 'budget.sqlite'))
      budget.reserve({ satoshis: 90, url: 'https://shop.example/a\u001b[2J', purpose: 'x', limits: NONE })
    }
    const { out } = await project.result('budget')
    expect(out).toMatch(
      /^payment 1 {2}\S+ {2}90 sat {2}under way, or it is not known whether it was paid {2}https:\/\/shop\.example\/a\\u001b\[2J$/m,
    )
    expect(JSON.parse((await project.result('--json', 'budget', '--release', '1')).out)).toMatchObject({
      perCall: 100,
      spent: 0,
      left: 100,
      payments: [{ id: 1, state: 'released' }],
    })
    const again = await project.result('budget', '--release', '1')
    expect([again.code, again.err]).toEqual([2, expect.stringContaining('so nothing can be released')])
    const stack = await project.result('--stack', 'X', 'budget')
    expect([stack.code, stack.err]).toEqual([2, expect.stringContaining('--file')])
  })
})
