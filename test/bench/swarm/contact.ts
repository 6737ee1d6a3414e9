import { type Effort, type Goal, median, quantile } from '../report.ts'
import { type Line, World } from './world.ts'

/** Measures first contact: the time from `sub` on a machine that the publisher has never met to the first entry in its handler. Each round has two new machines. */
export async function contact({ smoke }: Effort): Promise<{ lines: Line[]; goals: Goal[] }> {
  const times: number[] = []
  await using world = await World.withOneNode()
  for (let round = 0; round < (smoke ? 1 : 10); round++) {
    const publisher = await world.peer(`publisher-${round}`)
    const key = await publisher.ask<string>('pub')
    await publisher.ask('post', { count: 1 })
    const subscriber = await world.peer(`subscriber-${round}`)
    const begun = await subscriber.ask<number>('sub', key)
    times.push((await subscriber.ask<number>('reached', 1)) - begun)
    await Promise.all([publisher.kill(), subscriber.kill()])
  }
  const longest = quantile(times, 1)
  return {
    lines: [
      { what: 'first contact, ms from sub to the first entry, p50', ours: median(times) },
      { what: 'first contact, ms from sub to the first entry, longest', ours: longest },
    ],
    goals: [{ what: 'every first contact under 1 s', met: longest < 1_000 }],
  }
}
