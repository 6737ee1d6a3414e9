import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import { payment, type TestMachine, until } from '../machine/machine.ts'
import { random, seed } from '../random.ts'

const POOLS = ['a', 'b']
const STEPS = 3

/** What a machine has that is to survive. */
export const pools = Object.fromEntries(POOLS.map((pool) => [pool, {}]))

/**
 * Posts through so many rounds, each of which ends with a death under load; then counts what is there.
 * @param dies resolves when the machine works again; wallets post until then, unless it says that they should not
 */
export async function survives(
  machine: TestMachine,
  rounds: number,
  dies: (round: number, noMorePosts: () => void) => Promise<void>,
): Promise<void> {
  console.log(`${rounds} rounds, seed ${seed}`)
  const acknowledged = new Set<string>()
  const loops = new Set<string>()
  let posted = 0
  const keys = new Map<string, string>()
  for (const pool of POOLS) keys.set(pool, (await machine.call('control', pool)).key)

  for (let round = 0; round < rounds; round++) {
    let over = false
    const wallets = Array.from({ length: 4 }, async () => {
      while (!over) {
        // A new payment, or one from before again, as a wallet does that has not heard: of an earlier round, too.
        const number = posted && random() < 0.2 ? Math.floor(random() * posted) : posted++
        const pool = POOLS[number % POOLS.length]!
        const isLoop = number % 10 === 0
        const wish = isLoop ? { loop: { pool: POOLS[(number + 1) % POOLS.length]!, left: STEPS, text: `loop ${number}` } } : undefined
        const sent = payment(`payment ${number}`, wish)
        const ack = await machine.post(pool, sent).catch(() => undefined) // the machine died meanwhile
        if (ack === undefined) continue
        expect(ack.status).toBe(200)
        acknowledged.add(`${pool} ${sent.transaction}`)
        if (isLoop) loops.add(`loop ${number}`)
      }
    })
    await wait(random() * 300)
    const noMorePosts = () => {
      over = true
    }
    await dies(round, noMorePosts)
    noMorePosts()
    await Promise.all(wallets)
  }

  await until(
    () => unfinished(machine),
    (left) => left === 0,
    60_000,
  )
  const ledger: string[] = []
  for (const pool of POOLS) {
    const events = await machine.call('read', { path: pool })
    expect(new Set(events.map(({ id }) => id)).size).toBe(events.length)
    ledger.push(...events.map(({ payment: { transaction } }) => `${pool} ${transaction}`))

    // What a function notes is heard of some time after its cursor has moved.
    const ran = await until(
      () => machine.ended(pool),
      (seqs) => new Set(seqs).size === events.length,
    )
    const firstRuns = [...new Set(ran)]
    expect(firstRuns, 'in order').toEqual([...firstRuns].sort((x, y) => x - y))
  }
  expect(new Set(ledger).size, 'no payment and no step of a loop is in the ledger twice').toBe(ledger.length)
  const held = new Set(ledger)
  expect(
    [...acknowledged].filter((one) => !held.has(one)),
    'acknowledged, and lost',
  ).toEqual([])
  for (const text of loops) {
    for (let left = 0; left < STEPS; left++) {
      const { transaction } = payment(`${text} ${left}`)
      expect(
        ledger.filter((line) => line.endsWith(` ${transaction}`)),
        `${text}, step ${left}`,
      ).toHaveLength(1)
    }
  }
  await machine.stop()

  for (const pool of POOLS) {
    const before = await machine.verify(pool)
    expect(before).toMatchObject({
      key: keys.get(pool),
      problems: 0,
      coreLength: before.blocks,
      signedBlocks: before.blocks,
      receipts: before.entries,
    })
    rmSync(join(machine.dir, 'cores'), { recursive: true, force: true })
    await machine.start({ idle: true })
    await until(
      () => machine.call('control', pool),
      ({ coreLength }) => coreLength === before.blocks,
    )
    await machine.stop()
    expect(await machine.verify(pool), 'made again from the mirror').toEqual(before)
  }
  expect(acknowledged.size).toBeGreaterThan(rounds)
  console.log(
    `${posted} payments, ${acknowledged.size} acknowledged, ${ledger.length} entries, ${machine.runs().filter(({ ended }) => !ended).length - ledger.length} runs of the handler more than entries`,
  )
}

/**
 * Posts that wait, and entries that no handler has finished. A handler posts before its cursor moves, and a post is in the ledger before it leaves the queue: looked
 * at in this order, no step of a loop slips through.
 */
async function unfinished(machine: TestMachine): Promise<number> {
  const sum = async (of: (pool: string) => Promise<number>) => (await Promise.all(POOLS.map(of))).reduce((a, b) => a + b)
  const handled = await sum(async (pool) => (await machine.call('cursor', pool)).seq + 1)
  const { waiting, inFlight } = await machine.call('ingress')
  const entries = await sum((pool) => machine.call('length', pool))
  return waiting + inFlight + entries - handled
}
