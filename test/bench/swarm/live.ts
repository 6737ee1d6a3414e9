import type { Program } from '../program.ts'
import { type Effort, type Goal, median, quantile } from '../report.ts'
import { type Line, World } from './world.ts'

/** Measures the time from `post` on one machine to the handler on another: for 50 posts a second to one subscriber, and for 1,000 a second to ten. */
export async function live({ smoke }: Effort): Promise<{ lines: Line[]; goals: Goal[] }> {
  const calm = (await arrivals(1, smoke ? 20 : 1_000, 50)).map(([, ms]) => ms)
  const [count, perSecond, subscribers] = smoke ? [200, 200, 2] : [30_000, 1_000, 10]
  const busy = await arrivals(subscribers, count, perSecond)
  const from = busy.reduce((least, [at]) => Math.min(least, at), Number.POSITIVE_INFINITY)
  const duration = (count / perSecond) * 1_000
  const third = (n: number) => median(busy.filter(([at]) => Math.floor((3 * (at - from)) / duration) === n).map(([, ms]) => ms))
  const [first, last] = [third(0), third(2)]
  const sustained = `${perSecond} posts/s to ${subscribers} subscribers`
  return {
    lines: [
      { what: 'live, ms from post to handler, p50', ours: median(calm) },
      { what: 'live, ms from post to handler, p99', ours: quantile(calm, 0.99) },
      { what: `${sustained}: ms to the handler, p50 of the first third`, ours: first },
      { what: `${sustained}: ms to the handler, p50 of the last third`, ours: last },
      {
        what: `${sustained}: ms to the handler, p99`,
        ours: quantile(
          busy.map(([, ms]) => ms),
          0.99,
        ),
      },
    ],
    goals: [
      { what: 'live p50 under 5 ms', met: median(calm) < 5 },
      { what: `${sustained} with no growing lag`, met: last < 1.5 * first + 20 },
    ],
  }
}

async function arrivals(subscribers: number, count: number, perSecond: number): Promise<[at: number, ms: number][]> {
  await using world = await World.start()
  const publisher = await world.peer('publisher')
  const key = await publisher.ask<string>('pub')
  const followers: Program[] = []
  for (let i = 0; i < subscribers; i++) followers.push(await world.peer(`subscriber-${i}`))
  await Promise.all(followers.map((follower) => follower.ask('sub', key)))
  const warm = subscribers > 1 ? 500 : 50
  await publisher.ask('post', { count: warm, perSecond: warm })
  for (const follower of followers) await follower.ask('reached', warm)
  for (const follower of followers) await follower.ask('time')
  await publisher.ask('post', { count, perSecond })
  for (const follower of followers) await follower.ask('reached', warm + count)
  return (await Promise.all(followers.map((follower) => follower.ask<[number, number][]>('arrivals')))).flat()
}
