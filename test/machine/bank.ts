import type { TxEvent } from '../../shared/ledger/event.ts'
import type { Pools } from '../../shared/machine/machine.ts'
import type { HandlerState } from '../../shared/state/handler-state.ts'

/** A bank: its accounts are a state, its transfers are the memos of payments. Whatever happens, the total of all accounts stays the same. */
export const ACCOUNTS = 8
/** What is in each account at first. */
export const OPENING = 1_000

export interface Transfer {
  from: number
  to: number
  amount: number
}

/** A share of the calls fails between the two halves of a transfer. */
const FAILING = 0.05

export async function bank(e: TxEvent, _pools: Pools, state: HandlerState): Promise<void> {
  const { from, to, amount } = JSON.parse(e.payment.memo!) as Transfer
  await state.update(account(from), (balance) => ((balance as number) ?? OPENING) - amount)
  if (Math.random() < FAILING) throw new Error('the bank fails in the middle of a transfer')
  await state.update(account(to), (balance) => ((balance as number) ?? OPENING) + amount)
  await state.set('last', e.seq)
  await state.update('transfers', (count) => ((count as number) ?? 0) + 1)
}

export function account(n: number): string {
  return `account ${n}`
}

/** What the state must be after these transfers. */
export function booked(transfers: Transfer[]): Record<string, number> {
  const balances: Record<string, number> = {}
  const add = (n: number, amount: number) => {
    balances[account(n)] = (balances[account(n)] ?? OPENING) + amount
  }
  for (const { from, to, amount } of transfers) {
    add(from, -amount)
    add(to, amount)
  }
  return { ...balances, last: transfers.length - 1, transfers: transfers.length }
}
