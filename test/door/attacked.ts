import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import { payment, TestMachine } from '../machine/machine.ts'

/** The most MiB that the machine may grow by: when it refuses everything, and when it takes some posts, large ones among them, which fill the file caches. */
export const REFUSED = 150
export const TAKEN = 300
/** Starts a machine and attacks it, while an honest wallet posts one small payment after the other. The machine must take each of them, and stay small. */
export async function attacked(maxGrowth: number, attack: (machine: TestMachine) => Promise<void>): Promise<void> {
  await using machine = await TestMachine.start({ mypool: {} })
  const honest = async (n: number) => expect((await machine.post('mypool', payment(`honest ${n}`))).status).toBe(200)
  for (let n = 0; n < 50; n++) await honest(n)
  const before = await machine.call('rss')
  let [served, most, over] = [0, 0, false]
  const wallet = (async () => {
    do {
      await honest(50 + served++)
      most = Math.max(most, await machine.call('rss'))
      await wait(20)
    } while (!over)
  })()
  await Promise.race([attack(machine).finally(() => (over = true)), wallet]) // the first failure fails the test
  await wallet
  expect(most - before, 'growth of the machine, MiB').toBeLessThan(maxGrowth)
  console.log(`${expect.getState().currentTestName}: ${served} honest payments meanwhile, ${Math.round(most - before)} MiB more`)
}

/** Posts as the attacker; resolves to the status of the answer. */
export async function status(
  machine: TestMachine,
  body: string | Uint8Array<ArrayBuffer> | ReadableStream,
  type = 'application/json',
): Promise<number> {
  const response = await fetch(`${machine.url}/mypool`, {
    method: 'POST',
    headers: { 'content-type': type },
    body,
    duplex: 'half',
  } as RequestInit)
  await response.arrayBuffer()
  return response.status
}

export function repeatedly<T>(times: number, act: (i: number) => T): T[] {
  return Array.from({ length: times }, (_, i) => act(i))
}
