import { brokenLaw } from './laws.ts'
import { BEGIN, type Process, type Scheduler } from './scheduler.ts'
import { World } from './world.ts'

/** The most steps of a schedule's first phase, in which things fail. */
const FAULTY_STEPS = 800
/** The time in which a schedule must come to rest when nothing fails any more, ms. */
const QUIET_MS = 30 * 60_000
/** The number of steps without open work after which a schedule is at rest. */
const REST_STEPS = 60
/** The longest pause of a process, ms. It is longer than a bell's visibility timeout. */
const PAUSE_MS = 20_000
/** The longest outage of all services, ms. */
const OUTAGE_MS = 15_000

export interface Outcome {
  /** the law that was broken */
  broken?: string
  entries: number
  acknowledged: number
  kills: number
  powerFailures: number
  steps: number
  /** repeated runs of handlers */
  again: number
  givenUp: number
}

/** Runs the real writer and runner under the schedule of this seed: first with faults, then without, and then it checks the laws. */
export async function runSchedule(seed: number, trace?: (line: string) => void): Promise<Outcome> {
  const world = new World(seed)
  const { scheduler } = world
  if (trace) scheduler.trace = (line) => trace(`${scheduler.now - BEGIN} ${line}`)
  const chance = Math.random
  Math.random = scheduler.random // the jitter of retries
  const unhandled = (error: unknown) =>
    world.break(`a rejection that nobody handles: ${error instanceof Error ? error.stack : String(error)}`)
  process.on('unhandledRejection', unhandled)
  try {
    for (let i = scheduler.below(FAULTY_STEPS); i > 0 && !world.broken; i--) {
      happen(world)
      await scheduler.step()
    }
    scheduler.faulty = false
    scheduler.trace?.('from here on nothing fails')
    for (const { process } of world.running) process.pausedUntil = 0
    const end = scheduler.now + QUIET_MS
    for (let atRest = 0; scheduler.now < end && atRest < REST_STEPS && !world.broken; ) {
      if (scheduler.chance(0.05)) world.users.post()
      if (scheduler.chance(0.05) && world.isStopped) world.users.operate()
      world.keepUp()
      await scheduler.step()
      atRest = world.unrest ? 0 : atRest + 1 // messages and calls in flight can still arrive
    }
  } finally {
    Math.random = chance
    process.off('unhandledRejection', unhandled)
    for (const { process } of world.running) process.dead = true
  }
  const entries = world.paths.reduce((sum, path) => sum + world.stores.pool(path).entries.length, 0)
  const { begun } = world.userHandlers
  return {
    broken: world.broken ?? brokenLaw(world),
    entries,
    acknowledged: world.users.acknowledged.size,
    kills: world.kills,
    powerFailures: world.powerFailures,
    steps: scheduler.steps,
    again: begun.length - new Set(begun).size,
    givenUp: world.stores.givenUp.size,
  }
}

/** Lets users and faults act on the machine between two steps. */
function happen(world: World): void {
  const { scheduler, running } = world
  if (scheduler.chance(0.05)) world.users.post()
  if (scheduler.fault(0.02)) world.users.operate()
  const one = running.length ? scheduler.pick(running) : undefined
  if (one && scheduler.fault(world.killChance)) world.kill(one)
  else if (one && scheduler.chance(0.005)) world.stop(one)
  else if (one && scheduler.fault(0.01)) disturb(one.process, scheduler)
  if (scheduler.fault(world.startChance)) world.start('sidecar')
  if (scheduler.fault(world.startChance)) world.start('runner')
  if (scheduler.fault(0.02)) world.noteForPowerFailure()
  if (scheduler.fault(0.02)) world.powerFails()
  if (scheduler.fault(0.002)) scheduler.outageUntil = scheduler.now + scheduler.below(OUTAGE_MS)
  if (scheduler.chance(0.002)) world.beginAudit()
  world.keepUp()
}

/** Pauses a process, or sets its clock forward or back, by a little or a lot. */
function disturb(process: Process, scheduler: Scheduler): void {
  if (scheduler.chance(0.5)) {
    process.pausedUntil = scheduler.now + scheduler.below(PAUSE_MS)
    return
  }
  const most = scheduler.pick([3_000, 3_600_000])
  process.skew += scheduler.below(2 * most) - most
}
