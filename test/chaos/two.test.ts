import { expect, it } from 'vitest'
import { CloudMachine } from '../machine/cloud.ts'
import { until } from '../machine/machine.ts'
import { seed } from '../random.ts'
import { areOneLedger, forkNothing, pools } from './second-process.ts'
import { Wallets } from './wallets.ts'

/** How long two sidecars run at once, s. */
const SECONDS = Number(process.env.OVERPOOL_TWO_SECONDS ?? 5)

it(`two sidecars that run at once for ${SECONDS} s under load, without seeing each other's lease, fork nothing`, {
  timeout: SECONDS * 3_000 + 360_000,
}, async () => {
  await using machine = await CloudMachine.open(pools)
  await forkNothing(machine, SECONDS)
})

it('a sidecar that slept for longer than its lease wakes up beside its successor, forks nothing, and ends', {
  timeout: 360_000,
}, async () => {
  console.log(`a sleeping sidecar, seed ${seed}`)
  await using machine = await CloudMachine.open(pools, { leaseMs: 2_000 })
  const sleeper = machine.working()
  const wallets = new Wallets(machine, { pools: Object.keys(pools) })
  const end = wallets.start()
  await until(
    () => machine.call('length', 'a'),
    (length) => length > 50,
    120_000, // on a busy computer the emulators take long
  )
  sleeper.signal('SIGSTOP')
  const other = machine.task()
  await other.said('working')
  sleeper.signal('SIGCONT')
  expect(await sleeper.ended(), 'it finds that its lease is lost, and ends').toBe(1)
  await end()
  await areOneLedger(machine, wallets, [sleeper, other])
  console.log(`${wallets.acknowledged} payments`)
})
