import { expect, it } from 'vitest'
import { shardOf } from '../../shared/queue/shards.ts'
import { Wallets } from '../chaos/wallets.ts'
import { CloudMachine } from '../machine/cloud.ts'
import { until } from '../machine/machine.ts'
import { seed } from '../random.ts'

const SHARDS = 2
const POOLS = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta']
const moved = POOLS.filter((pool) => shardOf(pool, SHARDS) === 1)

it('a second shard is added while posts wait in the queue of the first: nothing is lost, written twice or forked', async () => {
  console.log(`a second shard is added, seed ${seed}`)
  await using machine = await CloudMachine.open(Object.fromEntries(POOLS.map((pool) => [pool, {}])), { leaseMs: 2_000 })
  const wallets = new Wallets(machine, { pools: POOLS })
  const end = wallets.start()
  const lengths = () => Promise.all(moved.map((pool) => machine.call('length', pool)))
  await until(lengths, (all) => Math.min(...all) > 10)
  await machine.kill()
  await until(
    () => machine.call('ingress'),
    ({ waiting }) => waiting > 200,
  )
  await machine.grow(SHARDS)
  const before = await lengths()
  await machine.start()
  await until(lengths, (all) => all.every((length, i) => length > before[i]!))
  await end()
  await wallets.settled()
  const entries = await wallets.isAllThere()
  await machine.stop()
  for (const pool of POOLS) {
    const tasks = moved.includes(pool) ? [machine.working(0), machine.working(1)] : [machine.working(0)] // the first shard writes what waits in its queue
    for (const task of tasks) {
      const verified = await machine.verify(pool, task)
      expect(verified).toMatchObject({ problems: 0, signedBlocks: verified.coreLength, receipts: verified.entries })
      expect(verified.coreLength).toBeGreaterThan(0)
    }
  }
  console.log(`${wallets.acknowledged} payments acknowledged, ${entries} entries`)
})
