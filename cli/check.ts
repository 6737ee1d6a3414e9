import type { RemoteMachine } from '../client/remote.ts'
import { reasonOf } from '../shared/errors.ts'
import { handlersOf, problemsOf, unseenIn } from '../shared/machine/health.ts'
import type { CommandContext } from './commands.ts'
import { withMachine } from './machine.ts'

/** A door that has not answered after this time does not work, ms. */
const DOOR_MS = 15_000

/** Says what is wrong with a machine. @returns whether all is well */
export async function check({ where, out }: CommandContext): Promise<boolean> {
  return withMachine(where, async (machine) => {
    const running = machine.isRunning
    const problems = [
      ...(running ? [] : [`no machine runs in ${where.stack ?? where.dir}: start it with \`overpool start\``]),
      ...(running ? (await Promise.all(machine.doors.map(problemsOfDoor))).flat() : []),
      ...(await problemsOfIngress(machine)),
      ...(await problemsOfPools(machine)),
    ]
    const ok = !problems.length
    out.show({ ok, running, problems }, ok ? 'all is well' : problems.join('\n'))
    return ok
  })
}

async function problemsOfDoor(url: string): Promise<string[]> {
  try {
    const answer = await fetch(`${url}/_/health`, { signal: AbortSignal.timeout(DOOR_MS) })
    const { problems = [] } = (await answer.json()) as { problems?: string[] }
    return problems.map((problem) => `the door ${url} says: ${problem}`)
  } catch (error) {
    return [`the door ${url} does not answer: ${reasonOf(error)}`]
  }
}

async function problemsOfIngress({ ingress }: RemoteMachine): Promise<string[]> {
  try {
    await ingress.check()
    return []
  } catch (error) {
    return [`posts cannot be stored: ${reasonOf(error)}`]
  }
}

async function problemsOfPools({ pools, stores }: RemoteMachine): Promise<string[]> {
  const chain = await pools.chain()
  const found = await Promise.all(
    (await pools.list()).map(async (pool) => [
      ...problemsOf(pool, await handlersOf(pool.path, await pools.length(pool.path), stores)),
      ...(await unseenIn(pool, stores, Date.now())),
    ]),
  )
  return [...chain.flatMap((pool) => problemsOf(pool, [])), ...found.flat()]
}
