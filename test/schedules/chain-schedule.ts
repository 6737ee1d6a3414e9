import { ChainWorld } from './chain-world.ts'
import { BEGIN, Scheduler } from './scheduler.ts'

/** The most steps of a schedule's first phase, in which things fail. */
const FAULTY_STEPS = 3_000
/** The time in which all has to be as the network says when nothing fails any more, ms. */
const QUIET_MS = 60 * 60_000
/** For so many steps. */
const REST_STEPS = 100

export interface ChainOutcome {
  /** the law that was broken */
  broken?: string
  kills: number
  reorganisations: number
  statuses: number
}

/** Runs the real follower, broadcaster, tracker and writer under the schedule of this seed: first with faults, then without, and then it checks the laws. */
export async function runChainSchedule(seed: number, trace?: (line: string) => void): Promise<ChainOutcome> {
  const scheduler = new Scheduler(seed)
  if (trace) scheduler.trace = (line) => trace(`${scheduler.now - BEGIN} ${line}`)
  const world = new ChainWorld(scheduler, seed % 6 === 5) // the schedules of all other seeds stay as they were
  const { random } = Math
  Math.random = scheduler.random
  const unhandled = (error: unknown) =>
    world.break(`a rejection that nobody handles: ${error instanceof Error ? error.stack : String(error)}`)
  process.on('unhandledRejection', unhandled)
  try {
    for (let i = 200 + scheduler.below(FAULTY_STEPS); i > 0 && !world.broken; i--) {
      world.happen()
      await scheduler.step()
    }
    scheduler.faulty = false
    scheduler.outageUntil = 0
    scheduler.trace?.('from here on nothing fails')
    if (!world.process) world.start()
    world.end()
    const end = scheduler.now + QUIET_MS
    for (let atRest = 0; scheduler.now < end && atRest < REST_STEPS && !world.broken; ) {
      await scheduler.step()
      atRest = scheduler.steps % 10 || world.unrest === undefined ? atRest + 1 : 0
    }
    world.checkHistory()
  } finally {
    Math.random = random
    process.off('unhandledRejection', unhandled)
    if (world.process) world.process.dead = true
  }
  const statuses = [...world.stores.pools.values()].reduce(
    (sum, { entries }) => sum + entries.filter(({ kind }) => kind === 'status').length,
    0,
  )
  const { unrest } = world
  return {
    broken: world.broken ?? (unrest && `it does not come to rest: ${unrest}`),
    kills: world.kills,
    reorganisations: world.network.reorganisations,
    statuses,
  }
}
