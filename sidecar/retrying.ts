import type { Clock } from '../shared/clock.ts'
import { untilDone } from '../shared/retry.ts'
import type { Report } from './report.ts'

/** Tries a step until it works; each failure is reported under the step's name. */
export type Retry = <T>(step: string, work: () => Promise<T>) => Promise<T>

/** Patience with the steps of a pool: it ends, with what failed last, when `stopped` says so. */
export function retrying(pool: string, { clock, report }: { clock: Clock; report: Report }, stopped: () => boolean): Retry {
  return (step, work) => untilDone(work, clock, (error) => report({ kind: 'retrying', pool, step, error }), stopped)
}
