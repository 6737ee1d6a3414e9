import type { Clock } from '../shared/clock.ts'
import { untilDone } from '../shared/retry.ts'
import type { Report } from './report.ts'

/** Retries a step until it works, and reports each failure under the step's name. */
export type Retry = <T>(step: string, work: () => Promise<T>) => Promise<T>

/** Retries the steps of a pool. Once `stopped` is true, the next failure is thrown. */
export function retrying(pool: string, { clock, report }: { clock: Clock; report: Report }, stopped: () => boolean): Retry {
  return (step, work) => untilDone(work, clock, (error) => report({ kind: 'retrying', pool, step, error }), stopped)
}
