import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import type { TestMachine } from '../machine/machine.ts'
import type { Task, WithTasks } from '../machine/task.ts'
import { seed } from '../random.ts'
import { type Pace, Wallets } from './wallets.ts'

const POOLS = ['a', 'b']

/** The pools of a machine with more than one sidecar. */
export const pools = Object.fromEntries(POOLS.map((pool) => [pool, {}]))

/** A second sidecar works beside the first for so long, under load, and neither sees the lease of the other: nothing is forked. */
export async function forkNothing(machine: TestMachine & WithTasks, seconds: number, pace: Pace = {}): Promise<void> {
  console.log(`two sidecars, seed ${seed}`)
  const beside = machine.task({ SHARD: '00', LEASE_MS: '20000' }) // the same shard, and another lease
  await beside.said('working')
  let late = 0
  machine.proxy.listen = ({ operation, input, status }) => {
    if (operation === 'PutItem' && status === 400 && String(input.Item.sk.S).startsWith('block#')) late++
  }
  const wallets = new Wallets(machine, { pools: POOLS, ...pace })
  const end = wallets.start()
  await wait(seconds * 1_000)
  await end()
  const entries = await areOneLedger(machine, wallets, [machine.working(), beside])
  expect(late, 'blocks that one of them put, and the other was first').toBeGreaterThan(seconds / 2)
  console.log(`${wallets.acknowledged} payments acknowledged, ${entries} entries; ${late} blocks were put too late`)
}

/** All is in the ledger once, and the hypercores of these tasks, whose blocks each of them signed, are parts of that ledger. @returns its entries */
export async function areOneLedger(machine: TestMachine & WithTasks, wallets: Wallets, tasks: Task[]): Promise<number> {
  await wallets.settled()
  const entries = await wallets.isAllThere()
  expect(wallets.unheard).toBe(0)
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
