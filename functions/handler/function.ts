import type { Clock } from '../../shared/clock.ts'
import type { CheckedSettings } from '../../shared/config/config.ts'
import type { BoundFunctions, HandlerOptions } from '../../shared/machine/handlers.ts'
import type { LedgerPools } from '../../shared/machine/pools.ts'
import { oneAfterTheOther } from '../../shared/retry.ts'
import type { PoolControl } from '../../shared/store/control.ts'
import { answerBatch, type BellsDeps, type BellsEvent, type BellsResponse } from './lambda.ts'
import type { RunnerReport } from './report.ts'
import { answerBell, type RunnerOptions } from './runner.ts'

/** Wait after a failed attempt, ms, doubling up to the most. SQS knows whole seconds. */
const RETRY_MS = 1_000
const RETRY_MOST_MS = 30_000

export interface FunctionDeps {
  /** the handler's name */
  handler: string
  /** the queue of its bells */
  queue: BellsDeps['queue']
  /** `statuses` only where the machine takes part in Bitcoin */
  stores: RunnerOptions['stores']
  pools: Pick<LedgerPools, 'control'>
  settings: (path: string) => Pick<CheckedSettings, 'maxAttempts' | 'retryForMs' | 'onPoison' | 'timeoutMs'>
  clock: Clock
  /** the user's functions */
  functions: BoundFunctions
  options?: HandlerOptions
  report: (report: RunnerReport) => void
  /** called with each run that has ended */
  ran?: RunnerOptions['ran']
  /** called when bells could not be answered */
  failed: (error: unknown) => void
}

/** The Lambda function of one handler: called with a batch of its bells, and the time that is left. */
export function handlerFunction(deps: FunctionDeps): (event: BellsEvent, remainingMs: () => number) => Promise<BellsResponse> {
  const { handler, queue, stores, pools, settings, clock, functions, options = {}, report, ran, failed } = deps
  /** Our own pools, whose keys never change. A subscription may change, so it is read each time. */
  const own = new Map<string, Pick<PoolControl, 'key' | 'begins'>>()
  const alone = oneAfterTheOther()
  const inTurn = oneAfterTheOther()
  const answer: BellsDeps['answer'] = async (bell, receives, remainingMs) => {
    const { maxAttempts, retryForMs, onPoison, timeoutMs } = settings(bell.pool)
    const pool = own.get(bell.pool) ?? (await pools.control(bell.pool))
    if ('kind' in pool && pool.kind === 'own') own.set(bell.pool, { key: pool.key })
    // An entry begins only if its whole time-out is left: Lambda never ends the call in the middle of a handler.
    const deadline = clock.elapsed() + remainingMs() - timeoutMs
    const attempts = { maxAttempts, retryForMs, onPoison, timeoutMs, retryMs: RETRY_MS, retryMostMs: RETRY_MOST_MS, alone }
    const remembers = { ...(options.state === 'shared' && { shared: inTurn }), undoes: options.undo ?? false }
    return answerBell(bell, pool, receives, deadline, { handler, stores, clock, report, functions, ran, ...remembers, ...attempts })
  }
  return (event, remainingMs) => answerBatch(event, remainingMs, { queue, answer, report: failed })
}
