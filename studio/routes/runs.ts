import { OverpoolError } from '../../shared/errors.ts'
import type { RunsPage } from '../shapes.ts'
import { numberIn, type RouteDeps, type Routes, textIn } from './route.ts'

/** Runs of one answer, and the runs that are looked at for them where only some outcomes are asked for. */
const MAX_RUNS = 100
const MAX_LOOKED = 1_000

const OUTCOMES = ['ok', 'failed', 'given-up']

export const runRoutes: Routes = {
  'GET runs': ({ query }, deps) => runsOf(query, deps),
}

/** The newest runs of a pool's handlers: of all, or of one, with any outcome or with one, on all entries or on one. */
async function runsOf(query: URLSearchParams, { machine }: RouteDeps): Promise<RunsPage> {
  const pool = textIn(query, 'pool')
  const [handler, outcome] = [query.get('handler') || undefined, query.get('outcome') || undefined]
  if (outcome !== undefined && !OUTCOMES.includes(outcome))
    throw new OverpoolError('BAD_ARGUMENT', `outcome is one of ${OUTCOMES.join(', ')}`)
  const seq = query.has('seq') ? numberIn(query, 'seq') : undefined
  if (!machine.runs) return { isKept: false, rows: [], looked: 0, isCut: false }
  const limit = outcome === undefined ? MAX_RUNS : MAX_LOOKED
  const found = await machine.runs({ pool, limit, ...(handler !== undefined && { handler }), ...(seq !== undefined && { seq }) })
  const rows = found.filter((run) => outcome === undefined || run.outcome === outcome)
  return { isKept: true, rows: rows.slice(0, MAX_RUNS), looked: found.length, isCut: found.length === limit || rows.length > MAX_RUNS }
}
