import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import type { TestMachine } from '../machine/machine.ts'
import type { Task, WithTasks } from '../machine/task.ts'
import { seed } from '../random.ts'
import { type Pace, Wallets } from './wallets.ts'

const POOLS = ['a', 'b']

/** The pools of a machine with more than one sidecar. */
export const pools = Object.fromEntries(POOLS.map((pool) => [pool, {}]))

/** Runs a second sidecar beside the first for some seconds, under load. Neither sees the lease of the other, and still nothing is forked. */
export async function forkNothing(machine: TestMachine & WithTasks, seconds: number, pace: Pace = {}): Promise<void> {
  console.log(`two sidecars, seed ${seed}`)
  const second = machine.task({ SHARD: '00', LEASE_MS: '20000' }) // the same shard under the name of another lease
  await second.said('working')
  let late = 0
  machine.proxy.listen = ({ operation, input, status }) => {
    if (operation === 'PutItem' && status === 400 && String(input.Item.sk.S).startsWith('block#')) late++
  }
  const wallets = new Wallets(machine, { pools: POOLS, ...pace })
  const end = wallets.start()
  await wait(seconds * 1_000)
  await end()
  const entries = await areOneLedger(machine, wallets, [machine.working(), second])
  expect(late, 'puts of a block whose place the other sidecar had taken').toBeGreaterThan(seconds / 2)
  console.log(`${wallets.acknowledged} payments acknowledged, ${entries} entries; ${late} puts found their place taken`)
}

/** Expects that all is in the ledger once, and that the hypercore of each task is a prefix of that ledger. @returns the number of entries */
export async function areOneLedger(machine: TestMachine & WithTasks, wallets: Wallets, tasks: Task[]): Promise<number> {
  await wallets.settled()
  const entries = await wallets.isAllThere()
  expect(wallets.unanswered).toBe(0)
  const working = tasks.filter(({ end }) => end === undefined)
  expect(await Promise.all(working.map((task) => task.ended('SIGTERM')))).toEqual(working.map(() => 0))
  for (const pool of POOLS) {
    const { length } = await machine.call('read', { path: pool })
    for (const task of tasks) {
      const verified = await machine.verify(pool, task)
      expect(verified).toMatchObject({ problems: 0, receipts: length, signedBlocks: verified.coreLength })
      expect(verified.coreLength).toBeGreaterThan(0)
    }
  }
  return entries
}
