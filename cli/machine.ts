import { openFolder } from '../client/folder.ts'
import type { RemoteMachine } from '../client/remote.ts'
import type { StackPlace } from '../client/stack.ts'

/** Where the machine is that a command works on. */
export type Where = { dir: string; stack?: undefined } | StackPlace

/** Opens a machine for the time of `work`. */
export async function withMachine<T>(where: Where, work: (machine: RemoteMachine) => Promise<T>): Promise<T> {
  await using machine = await open(where)
  return await work(machine)
}

async function open(where: Where): Promise<RemoteMachine> {
  if (where.stack === undefined) return openFolder(where.dir)
  const { openStack } = await import('../client/stack.ts')
  return openStack(where)
}
