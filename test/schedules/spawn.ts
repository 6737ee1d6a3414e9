import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ChainOutcome } from './chain-schedule.ts'
import type { Outcome } from './schedule.ts'

const run = promisify(execFile)

/** The sums of many schedules. */
export interface Totals extends Omit<Outcome, 'broken'> {
  schedules: number
  broken?: { seed: number; law: string }
}

/** The same of schedules of the chain. */
export interface ChainTotals extends Omit<ChainOutcome, 'broken'> {
  schedules: number
  broken?: { seed: number; law: string }
}

/** Runs schedules over the code of this tree, in a process of their own, which ends at the first broken law. */
export async function schedulesOf(tree: string, count: number, seed: number): Promise<Totals> {
  return runIn<Totals>(tree, 'run.ts', count, seed)
}

/** The same of schedules of the chain. */
export async function chainSchedulesOf(tree: string, count: number, seed: number): Promise<ChainTotals> {
  return runIn<ChainTotals>(tree, 'run-chain.ts', count, seed)
}

async function runIn<Sums>(tree: string, name: string, count: number, seed: number): Promise<Sums> {
  const file = join(tree, 'test', 'schedules', name)
  const { stdout } = await run(process.execPath, [file, String(count), String(seed)], { maxBuffer: 2 ** 26 })
  return JSON.parse(stdout) as Sums
}
