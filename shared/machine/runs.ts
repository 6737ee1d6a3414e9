import { OverpoolError } from '../errors.ts'
import { isUint } from '../ledger/values.ts'
import { RUNS_LISTED, type RunsQuery } from '../store/runs.ts'
import { optionsOf } from './options.ts'

/** Runs that are listed at once. */
const MOST = 10_000

/** Checks what a caller asks for. @throws OverpoolError BAD_ARGUMENT */
export function checkRunsQuery(query: RunsQuery): RunsQuery & { limit: number } {
  const { pool, handler, seq, since, limit = RUNS_LISTED } = optionsOf(query, 'runs')
  if (typeof pool !== 'string') throw wrong('name a pool')
  if (handler !== undefined && typeof handler !== 'string') throw wrong('`handler` is the name of a handler')
  if (seq !== undefined && !isUint(seq)) throw wrong('`seq` is the number of an entry')
  if (since !== undefined && !isUint(since)) throw wrong('`since` is a time in ms since 1970')
  if (!isUint(limit) || limit < 1 || limit > MOST) throw wrong(`\`limit\` is a whole number from 1 to ${MOST}`)
  return { pool, handler, seq, since, limit }
}

function wrong(what: string): OverpoolError {
  return new OverpoolError('BAD_ARGUMENT', `runs: ${what}`)
}
