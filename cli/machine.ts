import { openFolder } from '../client/folder.ts'
import type { RemoteMachine } from '../client/remote.ts'
import type { StackPlace } from '../client/stack.ts'
import type { CheckedSettings } from '../shared/config/config.ts'

/** The machine that a command works on: a folder, or a stack. */
export type Where = { dir: string; stack?: undefined } | StackPlace

/** Opens the machine, does `work` on it, and closes it. @param settings for posts; default: no filter is asked */
export async function withMachine<T>(where: Where, work: (machine: RemoteMachine) => Promise<T>, settings?: CheckedSettings): Promise<T> {
  const machine = await openMachine(where, settings)
  return await work(machine).finally(() => machine.close())
}

/** Opens the machine; the caller closes it. */
export async function openMachine(where: Where, settings?: CheckedSettings): Promise<RemoteMachine> {
  if (where.stack === undefined) return openFolder(where.dir, settings)
  const { openStack } = await import('../client/stack.ts')
  return openStack(where, settings)
}
