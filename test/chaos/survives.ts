import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import { type TestMachine, until } from '../machine/machine.ts'
import { random, seed } from '../random.ts'
import { type Pace, Wallets } from './wallets.ts'

const POOLS = ['a', 'b']
/** The longest time from the begin of a round to its death, ms. */
const ROUND_MS = 300

/** The pools of the machine. */
export const pools = Object.fromEntries(POOLS.map((pool) => [pool, {}]))

/**
 * Posts through a number of rounds, each of which ends with a death under load. Then it counts the entries, and lets the hypercores be rebuilt.
 * @param dies kills the machine and starts it again; wallets post meanwhile, unless it calls `noMorePosts`
 */
export async function survives(
  machine: TestMachine,
  rounds: number,
  dies: (round: number, noMorePosts: () => void) => Promise<void>,
  pace: Pace = {},
): Promise<void> {
  console.log(`${rounds} rounds, seed ${seed}`)
  const wallets = new Wallets(machine, { pools: POOLS, ...pace })
  const keys = new Map<string, string>()
  for (const pool of POOLS) keys.set(pool, (await machine.call('control', pool)).key)
  for (let round = 0; round < rounds; round++) {
    const end = wallets.start()
    await wait(random() * ROUND_MS)
    await dies(round, () => void end())
    await end()
  }
  await wallets.settled()
  const entries = await wallets.isAllThere()
  await machine.stop()

  const verified = new Map(await Promise.all(POOLS.map(async (pool) => [pool, await machine.verify(pool)] as const)))
  for (const [pool, { blocks, entries, ...rest }] of verified)
    expect(rest).toMatchObject({ key: keys.get(pool), problems: 0, coreLength: blocks, signedBlocks: blocks, receipts: entries })
  rmSync(join(machine.dir, 'cores'), { recursive: true, force: true })
  await machine.start({ idle: true })
  for (const [pool, { blocks }] of verified)
    await until(
      () => machine.call('control', pool),
      ({ coreLength }) => coreLength === blocks,
    )
  await machine.stop()
  for (const [pool, before] of verified) expect(await machine.verify(pool), 'rebuilt from the mirror').toEqual(before)
  expect(wallets.acknowledged).toBeGreaterThan(rounds)
  const runs = machine.runs().filter(({ ended }) => !ended).length
  console.log(`${wallets.acknowledged} payments acknowledged, ${entries} entries, ${runs - entries} repeated runs of the handler`)
}
