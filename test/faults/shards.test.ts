import { afterEach, beforeEach, expect, it } from 'vitest'
import { decodeIngress } from '../../shared/ledger/messages.ts'
import { shardOf } from '../../shared/queue/shards.ts'
import type { AwsCall } from '../aws/proxy.ts'
import { CloudMachine } from '../machine/cloud.ts'
import { payment, until } from '../machine/machine.ts'

// One machine with two shards: a sidecar and an ingress queue for each, and one table.

const SHARDS = 2
const POOLS = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta']
const EACH = 5
const ofShard = (shard: number) => POOLS.filter((pool) => shardOf(pool, SHARDS) === shard)

let machine: CloudMachine
let calls: AwsCall[]

beforeEach(async () => {
  machine = await CloudMachine.open(Object.fromEntries(POOLS.map((pool) => [pool, {}])), { shards: SHARDS, leaseMs: 2_000 })
  calls = []
  machine.emulators.proxy.listen = (call) => calls.push(call)
})
afterEach(() => machine[Symbol.asyncDispose]())

async function postTo(pools: string[], text: string): Promise<void> {
  for (let i = 0; i < EACH; i++) for (const pool of pools) expect((await machine.post(pool, payment(`${text} ${i}`))).status).toBe(200)
}

/** Resolves when the handler has run for this number of entries of each of these pools. */
async function handled(pools: string[], entries: number): Promise<void> {
  const all = Array.from({ length: entries }, (_, seq) => seq)
  for (const pool of pools)
    await until(
      () => machine.ended(pool),
      (ended) => String(ended) === String(all),
    )
}

it('a post goes to the queue of its pool’s shard, and one sidecar writes all blocks of a pool', async () => {
  expect(Math.min(ofShard(0).length, ofShard(1).length), 'pools of each shard').toBeGreaterThan(0)
  await postTo(POOLS, 'payment')
  await handled(POOLS, EACH)
  const sent = calls.flatMap(({ operation, input }) => {
    const [, shard] = /ingress-(\d)$/.exec(input?.QueueUrl ?? '') ?? []
    if (operation !== 'SendMessageBatch' || shard === undefined) return []
    return (input.Entries as { MessageBody: string }[]).map(({ MessageBody }) => ({
      pool: decodeIngress(Buffer.from(MessageBody, 'base64')).pool,
      shard: Number(shard),
    }))
  })
  expect(sent).toHaveLength(POOLS.length * EACH)
  expect(sent.filter(({ pool, shard }) => shardOf(pool, SHARDS) !== shard)).toEqual([])
  await machine.stop()
  for (const pool of POOLS) {
    const { entries, problems, coreLength, blocks } = await machine.verify(pool)
    expect([entries, problems, coreLength]).toEqual([EACH, 0, blocks])
    const other = machine.working(1 - shardOf(pool, SHARDS))
    await expect(machine.verify(pool, other), 'the other sidecar has no such hypercore, and a reader makes none').rejects.toThrow(
      'Batch was not applied',
    )
  }
})

it.each([
  ['reads the list of pools', 'control', 'late'],
  ['opens a pool, which can take long,', `pool#${ofShard(0)[0]}`, 'unavailable'],
] as const)('a task that is told to stop while it %s stops, and leaves the lease to the next task', async (_, pk, fault) => {
  await machine.stop()
  const task = machine.task({ LEASE_MS: '60000' })
  machine.emulators.proxy.weather = ({ operation, input }) => {
    if (operation !== 'Query' || input.ExpressionAttributeValues[':pk'].S !== pk) return undefined
    task.signal('SIGTERM')
    return fault
  }
  expect(await task.ended()).toBe(0)
  machine.emulators.proxy.weather = () => undefined
  const began = performance.now()
  await machine.task().said('working')
  expect(performance.now() - began, 'the next task did not wait for the end of the lease').toBeLessThan(30_000)
})

it('a shard without a sidecar delays only its own pools, and loses no post', async () => {
  const [gone, there] = [ofShard(1), ofShard(0)]
  await postTo(POOLS, 'before')
  await handled(POOLS, EACH)
  await machine.kill([1])
  await postTo(POOLS, 'meanwhile')
  await handled(there, 2 * EACH)
  for (const pool of gone) expect(await machine.call('length', pool)).toBe(EACH)
  await machine.start()
  await handled(gone, 2 * EACH)
  await machine.stop()
  for (const pool of POOLS) expect(await machine.verify(pool)).toMatchObject({ entries: 2 * EACH, receipts: 2 * EACH, problems: 0 })
})
