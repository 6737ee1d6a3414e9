import { expect, it } from 'vitest'
import { CloudMachine } from '../machine/cloud.ts'
import { payment, until } from '../machine/machine.ts'
import type { Task } from '../machine/task.ts'
import { random, seed } from '../random.ts'

/** How long two sidecars work at once. */
const SECONDS = Number(process.env.OVERPOOL_TWO_SECONDS ?? 5)
const POOLS = ['a', 'b']
const pools = Object.fromEntries(POOLS.map((pool) => [pool, {}]))

/** Wallets post until `over`; resolves to what was acknowledged. */
async function load(machine: CloudMachine, over: () => boolean): Promise<Set<string>> {
  const acknowledged = new Set<string>()
  let posted = 0
  const wallets = Array.from({ length: 4 }, async () => {
    while (!over()) {
      const number = posted && random() < 0.2 ? Math.floor(random() * posted) : posted++
      const pool = POOLS[number % POOLS.length]!
      const sent = payment(`payment ${number}`)
      expect((await machine.post(pool, sent)).status).toBe(200)
      acknowledged.add(`${pool} ${sent.transaction}`)
    }
  })
  await Promise.all(wallets)
  return acknowledged
}

/** Every acknowledged payment is in the ledger once, and the hypercores of these tasks, whose blocks each of them signed, are parts of one ledger. */
async function isOneLedger(machine: CloudMachine, acknowledged: Set<string>, tasks: Task[]): Promise<void> {
  const ledger: string[] = []
  for (const pool of POOLS) {
    const events = await machine.call('read', { path: pool })
    ledger.push(...events.map(({ payment: { transaction } }) => `${pool} ${transaction}`))
    for (const task of tasks) {
      const verified = await machine.verify(pool, task)
      expect(verified).toMatchObject({ problems: 0, receipts: events.length, signedBlocks: verified.coreLength })
      expect(verified.coreLength).toBeGreaterThan(0)
    }
  }
  expect(ledger.sort(), 'each once').toEqual([...acknowledged].sort())
}

async function isEmpty(machine: CloudMachine): Promise<void> {
  await until(
    () => machine.call('ingress'),
    ({ waiting, inFlight }) => waiting + inFlight === 0,
    60_000,
  )
}

it(`two sidecars that work at once for ${SECONDS} s under load, neither of which sees the lease of the other, fork nothing`, {
  timeout: SECONDS * 3_000 + 120_000,
}, async () => {
  console.log(`two sidecars, seed ${seed}`)
  await using machine = await CloudMachine.open(pools)
  const beside = machine.task(0, { SHARD: '00' }) // the same shard, and another lease
  await beside.said('working')
  let lost = 0
  machine.emulators.proxy.listen = ({ operation, input, status }) => {
    if (operation === 'PutItem' && status === 400 && String(input.Item.sk.S).startsWith('block#')) lost++
  }
  const end = performance.now() + SECONDS * 1_000
  const acknowledged = await load(machine, () => performance.now() > end)
  await isEmpty(machine)
  const tasks = [machine.working(), beside]
  expect(await Promise.all(tasks.map((task) => task.ended('SIGTERM')))).toEqual([0, 0])
  await isOneLedger(machine, acknowledged, tasks)
  expect(lost, 'blocks that one of them put, and the other was first').toBeGreaterThan(SECONDS)
  console.log(`${acknowledged.size} payments; ${lost} blocks were put too late`)
})

it('a sidecar that slept for longer than its lease goes on beside the one that took over, forks nothing, and ends', {
  timeout: 120_000,
}, async () => {
  console.log(`a sleeping sidecar, seed ${seed}`)
  await using machine = await CloudMachine.open(pools)
  const sleeper = machine.working()
  let isOver = false
  const loading = load(machine, () => isOver)
  await until(
    () => machine.call('length', 'a'),
    (length) => length > 50,
  )
  sleeper.signal('SIGSTOP')
  await machine.freeLease()
  const other = machine.task(0)
  await other.said('working')
  sleeper.signal('SIGCONT')
  expect(await sleeper.ended(), 'it looks for its lease, and ends').toBe(1)
  isOver = true
  const acknowledged = await loading
  await isEmpty(machine)
  expect(await other.ended('SIGTERM')).toBe(0)
  await isOneLedger(machine, acknowledged, [sleeper, other])
  console.log(`${acknowledged.size} payments`)
})
