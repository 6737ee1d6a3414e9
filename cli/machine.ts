import { openFolder } from '../client/folder.ts'
import type { RemoteMachine } from '../client/remote.ts'
import type { StackPlace } from '../client/stack.ts'

/** The machine that a command works on: a folder, or a stack. */
export type Where = { dir: string; stack?: undefined } | StackPlace

/** Opens the machine, does `work` on it, and closes it. */
export async function withMachine<T>(where: Where, work: (machine: RemoteMachine) => Promise<T>): Promise<T> {
  const machine = await open(where)
  return await work(machine).finally(() => machine.close())
}

async function open(where: Where): Promise<RemoteMachine> {
  if (where.stack === undefined) return openFolder(where.dir)
  const { openStack } = await import('../client/stack.ts')
  return openStack(where)
}
