import { type Effort, type Goal, median } from '../report.ts'
import { type Line, World } from './world.ts'

/** Measures the time from a post to the handler on another machine right after one of them was stopped or killed, and started again. */
export async function restart({ smoke }: Effort): Promise<{ lines: Line[]; goals: Goal[] }> {
  const rounds = smoke ? 1 : 5
  await using world = await World.start()
  let publisher = await world.peer('publisher')
  let subscriber = await world.peer('subscriber')
  const key = await publisher.ask<string>('pub')
  await subscriber.ask('sub', key)
  let posted = 0
  const next = async () => {
    const name = `#${posted++}`
    const [at, came] = await Promise.all([publisher.ask<number>('postNamed', name), subscriber.ask<number>('named', name)])
    return came - at
  }
  await next()
  const times = { 'publisher, stopped': [], 'publisher, killed': [], 'subscriber, stopped': [], 'subscriber, killed': [] } as Record<
    string,
    number[]
  >
  for (let round = 0; round < rounds; round++)
    for (const [what, took] of Object.entries(times)) {
      const [who, how] = what.split(', ')
      const program = who === 'publisher' ? publisher : subscriber
      if (how === 'stopped') await program.ask('close')
      await program.kill()
      if (who === 'publisher') publisher = await world.peer('publisher')
      else subscriber = await world.peer('subscriber')
      took.push(await next())
    }
  const lines = Object.entries(times).map(([what, took]) => ({
    what: `after a restart, s to the next entry: ${what}`,
    ours: median(took) / 1_000,
  }))
  return { lines, goals: [] }
}
