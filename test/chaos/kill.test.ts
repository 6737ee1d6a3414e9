import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'vitest'
import { CloudMachine } from '../machine/cloud.ts'
import { TestMachine } from '../machine/machine.ts'
import { random } from '../random.ts'
import { pools, survives } from './survives.ts'

const ROUNDS = Number(process.env.OVERPOOL_ROUNDS ?? 20)
const TASK_ROUNDS = Number(process.env.OVERPOOL_TASK_ROUNDS ?? 4)

it(`a machine loses nothing and writes nothing twice through ${ROUNDS} rounds of kill -9 under load`, {
  timeout: ROUNDS * 10_000 + 120_000,
}, async () => {
  await using machine = await TestMachine.start(pools)
  await survives(machine, ROUNDS, async (_, noMorePosts) => {
    noMorePosts() // the door is in the same process
    await machine.kill()
    if (random() < 0.2) rmSync(join(machine.dir, 'cores'), { recursive: true, force: true })
    await machine.start()
  })
})

it(`on AWS nothing is lost or written twice through ${TASK_ROUNDS} deaths of the sidecar under load, by kill -9 and by a deployment`, {
  timeout: TASK_ROUNDS * 10_000 + 120_000,
}, async () => {
  await using machine = await CloudMachine.open(pools, { leaseMs: 2_000 })
  await survives(machine, TASK_ROUNDS, (round) => machine.replace(round % 3 ? 'deployed' : 'killed'))
})
