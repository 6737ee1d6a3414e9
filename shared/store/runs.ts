import type { Kind } from '../ledger/kinds.ts'

/** One call of a handler with an entry. */
export interface Run {
  handler: string
  /** the pool's path */
  pool: string
  seq: number
  kind: Kind
  /** 1 for the first attempt at the entry */
  attempt: number
  /** ms since 1970 */
  startedAt: number
  /** how long it took, ms */
  ms: number
  /** 'failed': the entry is tried again; 'given-up': it became a dead letter, or the handler stopped there */
  outcome: 'ok' | 'failed' | 'given-up'
  /** what it threw, with the stack */
  error?: string
  /** the lines that it printed with `console` until its end, cut if they are many */
  console: string[]
  /** how many posts, requests to broadcast and invoices it made */
  posts: number
}

/** Which runs to list. */
export interface RunsQuery {
  pool: string
  /** only this handler */
  handler?: string
  /** only the runs on this entry */
  seq?: number
  /** only runs that ended at this time or later, ms since 1970 */
  since?: number
  /** at most so many, default 100 */
  limit?: number
}

/** How many runs are listed unless the query says otherwise. */
export const RUNS_LISTED = 100

/** The runs of handlers, kept for a while: what is older than a bound is forgotten, and a process that is killed loses the last moment. */
export interface Runs {
  /** Notes a run that has ended. It is written later, together with others. */
  add(run: Run): void
  /** The newest first. */
  list(query: RunsQuery): Promise<Run[]>
  /** Resolves when all runs that were added are written. */
  flush(): Promise<void>
}

/** The order in which runs are listed. */
export function newestFirst(a: Run, b: Run): number {
  return b.startedAt - a.startedAt || b.seq - a.seq || b.attempt - a.attempt
}

/** A run as it is kept in a batch of one handler and pool; `error` and `console` are 0 if there is none. */
export type PackedRun = [
  seq: number,
  kind: Kind,
  attempt: number,
  startedAt: number,
  ms: number,
  outcome: Run['outcome'],
  error: string | 0,
  console: string[] | 0,
  posts: number,
]

/** The runs of a batch in short. A duration keeps two decimals. */
export function packRuns(runs: Run[]): PackedRun[] {
  return runs.map(({ seq, kind, attempt, startedAt, ms, outcome, error, console, posts }) => [
    seq,
    kind,
    attempt,
    startedAt,
    Math.round(ms * 100) / 100,
    outcome,
    error ?? 0,
    console.length ? console : 0,
    posts,
  ])
}

export function unpackRuns(handler: string, pool: string, packed: PackedRun[]): Run[] {
  return packed.map(([seq, kind, attempt, startedAt, ms, outcome, error, console, posts]) => ({
    handler,
    pool,
    seq,
    kind,
    attempt,
    startedAt,
    ms,
    outcome,
    ...(error !== 0 && { error }),
    console: console || [],
    posts,
  }))
}

/** A line of a function's log: runs of its handler on entries of one pool, whose numbers are from `first` to `last`. */
export interface RunsLine {
  message: typeof RUNS_LINE
  handler: string
  pool: string
  first: number
  last: number
  runs: PackedRun[]
}

/** What such a line is found by. */
export const RUNS_LINE = 'runs'
