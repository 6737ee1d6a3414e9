import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { badDay } from '../aws/weather.ts'
import { payment, TestMachine, until } from '../machine/machine.ts'
import { seed } from '../random.ts'
import { Wallets } from './wallets.ts'

// test/stack/chaos.test.ts does the same on a deployed machine, with more failures.

const SECONDS = 1
const POOLS = ['a', 'b']
/** Visibility timeouts: a message whose receive got no answer comes again after this time, ms. */
const ports = { ingressVisibilityMs: 3_000, bellVisibilityMs: 5_000 }

it('a machine keeps its promises on a day when a quarter of all requests to AWS fails', { timeout: 300_000 }, async () => {
  console.log(`a bad day at AWS, seed ${seed}`)
  await using machine = await TestMachine.start(Object.fromEntries(POOLS.map((pool) => [pool, {}])), { side: 'aws', ports })
  const { proxy } = machine.emulators
  proxy.weather = badDay
  const wallets = new Wallets(machine, { pools: POOLS, together: 8, refusals: [503] })
  const end = wallets.start()
  expect((await machine.post('a', { transaction: `${payment('wrong').transaction}00` })).status).toBe(422)
  await wait(SECONDS * 1_000)
  await end()
  await until(
    () => wallets.handled >= wallets.owed,
    (all) => all,
    240_000,
  )
  proxy.weather = () => undefined
  await wallets.settled()
  const entries = await wallets.isAllThere()
  await machine.stop()
  for (const pool of POOLS) expect(await machine.verify(pool)).toMatchObject({ problems: 0 })
  console.log(`${wallets.acknowledged} payments acknowledged, ${wallets.refused} posts refused, ${entries} entries`)
})
