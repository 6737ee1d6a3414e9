import { stackOf } from '../../shared/errors.ts'
import type { Kind } from '../../shared/ledger/kinds.ts'
import type { HandlerContext } from '../../shared/machine/context.ts'
import type { Run } from '../../shared/store/runs.ts'

/** A run keeps this much of its error, characters. */
const MAX_ERROR = 8_000

/** Begins the record of a run. @returns what ends it: with the outcome, and what the handler threw */
export function recording(
  context: HandlerContext,
  kind: Kind,
  attempt: number,
  now: () => number,
  ran: (run: Run) => void,
): (outcome: Run['outcome'], thrown?: unknown) => void {
  const startedAt = now()
  const start = performance.now() // finer than the clock's milliseconds
  return (outcome, thrown) =>
    ran({
      handler: context.handler,
      pool: context.pool,
      seq: context.cause.seq,
      kind,
      attempt,
      startedAt,
      ms: performance.now() - start,
      outcome,
      ...(outcome !== 'ok' && { error: stackOf(thrown).slice(0, MAX_ERROR) }),
      console: context.printed?.lines ?? [],
      posts: context.ordinal,
    })
}
