import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Outcome } from './schedule.ts'

const run = promisify(execFile)

/** The sums of many schedules. */
export interface Totals extends Omit<Outcome, 'broken'> {
  schedules: number
  broken?: { seed: number; law: string }
}

/** Runs schedules over the code of this tree, in a process of their own, which ends at the first broken law. */
export async function schedulesOf(tree: string, count: number, seed: number): Promise<Totals> {
  const file = join(tree, 'test', 'schedules', 'run.ts')
  const { stdout } = await run(process.execPath, [file, String(count), String(seed)], { maxBuffer: 2 ** 26 })
  return JSON.parse(stdout) as Totals
}
