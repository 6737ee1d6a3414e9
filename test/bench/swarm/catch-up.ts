import { type Effort, type Goal, median } from '../report.ts'
import { type Line, World } from './world.ts'

/** Measures the catch-up of a late subscriber: on a ledger written under load (full blocks), and on one written an entry at a time, compared with a bare hypercore. */
export async function catchUp({ smoke }: Effort): Promise<{ lines: Line[]; goals: Goal[] }> {
  const rounds = smoke ? 1 : 3
  const [loaded, single] = smoke ? [2_000, 200] : [200_000, 10_000]
  const full = await readers(loaded, 1_024, rounds)
  const one = await readers(single, 1, rounds, single)
  return {
    lines: [
      { what: 'catch-up, entries/s, written under load', ours: full.ours },
      {
        what: 'catch-up, entries/s, written an entry at a time',
        ours: one.ours,
        reference: one.core,
        referenceName: 'bare hypercore, fetched and read',
      },
      { what: 'the same', ours: one.ours, reference: one.fetched, referenceName: 'bare hypercore, fetched alone' },
    ],
    goals: [
      { what: '50,000 entries/s from a ledger written under load', met: full.ours >= 50_000 },
      {
        what: 'three quarters of what a bare hypercore needs for it, from one written an entry at a time',
        met: one.ours >= 0.75 * one.core,
      },
    ],
  }
}

/** @param blocks the number of the pool's blocks; if given, a bare hypercore reads them by turns with the subscriber */
async function readers(entries: number, inFlight: number, rounds: number, blocks?: number) {
  await using world = await World.start()
  const publisher = await world.peer('publisher')
  await publisher.ask('post', { count: entries, inFlight })
  const key = await publisher.ask<string>('pub')
  const [ours, core, fetched]: [number[], number[], number[]] = [[], [], []]
  for (let round = 0; round < rounds; round++) {
    const subscriber = await world.peer(`subscriber-${round}`)
    const start = await subscriber.ask<number>('sub', key)
    ours.push(entries / (((await subscriber.ask<number>('reached', entries)) - start) / 1_000))
    await subscriber.kill()
    if (blocks === undefined) continue
    const reader = await world.program('core', world.dir(`core-${round}`), world.bootstrap, key)
    const took = await reader.ask<{ fetched: number; read: number }>('fetch', blocks)
    core.push(blocks / (took.read / 1_000))
    fetched.push(blocks / (took.fetched / 1_000))
    await reader.kill()
  }
  return { ours: median(ours), core: median(core), fetched: median(fetched) }
}
