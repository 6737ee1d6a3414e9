import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { answerAtDoor } from '../../functions/payments/door.ts'
import { Quotas } from '../../functions/payments/quotas.ts'
import { type LedgerFile, openLedgerFile } from '../../local/ports.ts'
import { checkSettings, type Filter, type FilterPayment } from '../../shared/config/config.ts'
import { payment } from '../machine/machine.ts'

// The door works on a large payment in steps, between which others have their turn. The turns are counted, not timed: how long a step takes depends on the computer.

let dir: string
let ledger: LedgerFile
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'overpool-turns-'))
  ledger = openLedgerFile(dir)
})
afterEach(() => {
  ledger.close()
  rmSync(dir, { recursive: true })
})

const MANY = 50
const FEW = 10

/** A transaction of almost ten million hex digits, all of it outputs. */
function manyOutputs(script: string): { transaction: string } {
  const output = `0100000000000000${(script.length / 2).toString(16).padStart(2, '0')}${script}`
  const outputs = Math.floor(9_990_000 / output.length)
  const count = Buffer.alloc(4)
  count.writeUInt32LE(outputs)
  return { transaction: `0100000000fe${count.toString('hex')}${output.repeat(outputs)}00000000` }
}

/** Posts to a pool with this filter; resolves to the turns that others had before the answer. */
async function turnsOf(filter: Filter | undefined, sent: unknown): Promise<number> {
  let [turns, isOver] = [0, false]
  const next = () => {
    turns++
    if (!isOver) setImmediate(next)
  }
  const pool = { path: 'mypool', ...checkSettings({ filter }, '') }
  const body = async () => Buffer.from(JSON.stringify(sent))
  const deps = {
    pool: () => pool,
    pools: () => [pool],
    ingress: ledger.ingress,
    ancestors: ledger.stores.ancestors,
    now: Date.now,
    log: () => {},
    quotas: new Quotas(),
  }
  setImmediate(next)
  const answer = await answerAtDoor({ method: 'POST', path: '/mypool', header: () => undefined, body }, deps)
  isOver = true
  expect(answer.status, answer.body?.slice(0, 200)).toBe(200)
  expect(JSON.parse(answer.body!)).toEqual({ payment: sent, memo: 'Received into mypool', error: 0, success: true })
  return turns
}

describe('while the door works on a payment of 10 MB, others have their turn', () => {
  it.each([
    ['147,000 outputs that pay to keys', `76a914${'07'.repeat(20)}88ac`],
    ['outputs of many opcodes', '61'.repeat(36)],
    ['outputs without scripts', ''],
  ])('when the filter reads `parsed`: %s', async (_, script) => {
    const sent = manyOutputs(script)
    let outputs = 0
    const filter: Filter = ({ parsed }) => void (outputs = parsed.out.length)
    for (let n = 0; n < 2; n++) expect(await turnsOf(filter, { ...sent, memo: `${n}` })).toBeGreaterThan(MANY)
    expect(outputs).toBeGreaterThan(10_000)
  })

  it('when there is no filter', async () => {
    expect(await turnsOf(undefined, manyOutputs(''))).toBeGreaterThan(3)
  })
})

describe('`parsed` is computed only for a filter that reads it', () => {
  it('a filter that has left it alone gets the next large payment without it', async () => {
    const filter: Filter = ({ memo }) => memo !== 'bad'
    const sent = manyOutputs('')
    await turnsOf(filter, sent)
    expect(await turnsOf(filter, { ...sent, memo: 'second' })).toBeLessThan(FEW)
  })

  it('a filter that reads it from some payments gets it for all large ones', async () => {
    const sent = manyOutputs('')
    const filter: Filter = (payment) => payment.memo !== 'look' || payment.parsed.out.length > 0
    for (const memo of ['pass', 'look']) await turnsOf(filter, { ...sent, memo })
    for (const memo of ['pass again', 'look again']) expect(await turnsOf(filter, { ...sent, memo })).toBeGreaterThan(MANY)
  })

  it('it is shown when the payment is printed, and a filter may write to it', async () => {
    let seen: FilterPayment | undefined
    const { transaction } = payment('printed')
    await turnsOf((it) => void (seen = it), { transaction, memo: 'tea' })
    expect(Object.keys(seen!)).toEqual(['transaction', 'memo', 'parsed'])
    expect(inspect(seen)).toContain(seen!.parsed.tx.h)
    const other = { ...seen!.parsed, out: [] }
    seen!.parsed = other
    expect(seen!.parsed).toBe(other)
  })
})
