import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { TxEvent } from '../../shared/ledger/event.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { ACCOUNTS, account, booked, OPENING, type Transfer } from '../machine/bank.ts'
import { TestMachine, until } from '../machine/machine.ts'
import { random, seed } from '../random.ts'

const rounds = Number(process.env.OVERPOOL_BANK_ROUNDS ?? 6)
/** Deaths of the machine. A start on the emulators takes long. */
const ROUNDS = { sqlite: rounds, aws: Math.ceil(rounds / 4) }
/** The longest time from the begin of a round to its death, ms. */
const ROUND_MS = { sqlite: 300, aws: 1_200 }
/** Wallets that pay at once. */
const WALLETS = 4

it.each(['sqlite', 'aws'] as const)(
  'a bank keeps its total, and counts no transfer twice, through rounds of kill -9 (%s)',
  {
    timeout: rounds * 10_000 + 120_000,
  },
  async (side) => {
    console.log(`${ROUNDS[side]} rounds, seed ${seed}`)
    await using machine = await TestMachine.start({ bank: {} }, { side, bank: true, idle: true })
    let acknowledged = 0
    for (let round = 0; round < ROUNDS[side]; round++) {
      let isOver = false
      const wallets = Array.from({ length: WALLETS }, async () => {
        while (!isOver) {
          const posted = await machine
            .post('bank', { transaction: sampleTransaction(String(random())), memo: JSON.stringify(someTransfer()) })
            .catch(() => undefined)
          if (posted?.status === 200) acknowledged++
        }
      })
      await wait(random() * ROUND_MS[side])
      await machine.kill()
      isOver = true
      await Promise.all(wallets)
      await machine.start()
    }
    const all = (await machine.call('read', { path: 'bank' })) as unknown as TxEvent[]
    const state = await until(
      async () =>
        Object.fromEntries((await machine.call('state', 'bank', 'bank')).map(({ key, value }) => [key, value])) as Record<string, number>,
      ({ last }) => last === all.length - 1,
      60_000,
    )
    expect(all.length).toBeGreaterThanOrEqual(acknowledged)
    expect(acknowledged).toBeGreaterThan(ROUNDS[side])
    expect(state).toEqual(booked(all.map(({ payment }) => JSON.parse(payment.memo!) as Transfer)))
    const balances = Array.from({ length: ACCOUNTS }, (_, n) => state[account(n)] ?? OPENING)
    expect(balances.reduce((sum, balance) => sum + balance)).toBe(ACCOUNTS * OPENING)
    console.log(`${side}: ${all.length} transfers, ${acknowledged} acknowledged`)
  },
)

function someTransfer(): Transfer {
  const n = () => Math.floor(random() * ACCOUNTS)
  return { from: n(), to: n(), amount: n() + 1 }
}
