import { type BoundFunctions, observed } from '../../shared/machine/handlers.ts'
import type { Telemetry } from '../telemetry.ts'
import { lineOf, type PostFailed, type RunnerReport } from './report.ts'

/** A handler's functions, with metrics: calls, and how long each entry waited. */
export function measured(bound: BoundFunctions, telemetry: Telemetry): BoundFunctions {
  return observed(bound, ({ at }) => {
    telemetry.count('entries')
    telemetry.time('lagMs', Math.max(0, Date.now() - at))
  })
}

/** Logs and counts what the runner of a function reports. */
export function reportTo(telemetry: Telemetry, said: RunnerReport | PostFailed): void {
  telemetry.log.error(lineOf(said), { kind: said.kind, ...('pool' in said && { pool: said.pool }) })
  if (said.kind === 'failed' || said.kind === 'threw-late') telemetry.count('handlerErrors')
  if (said.kind === 'given-up' || said.kind === 'stopped') telemetry.count('givenUp')
}
