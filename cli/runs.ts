import type { RemoteMachine } from '../client/remote.ts'
import { inLine } from '../shared/printed.ts'
import type { Run, RunsQuery } from '../shared/store/runs.ts'
import type { CommandContext } from './commands.ts'
import { withMachine } from './machine.ts'
import { count } from './out.ts'

/** How often `runs -f` looks for runs, ms: in a folder, where runs are written every quarter of a second, and on AWS, where each look is a request. */
const LOOK_MS = 250
const LOOK_ON_AWS_MS = 5_000
/** How far `runs -f` looks back each time, ms: a run may be written, or be found in a log, so late. */
const BACK_MS = 2_000
const BACK_ON_AWS_MS = 60_000
/** Runs that `runs -f` takes at a time. */
const FOLLOWED = 10_000
/** A duration of this many ms is shown in seconds. */
const SECONDS_FROM = 10_000

export interface RunsFlags {
  handler?: string
  seq?: number
  number: number
  follow?: boolean
}

/** Shows the newest runs of the handlers on a pool's entries, oldest first; with `follow` also those that come. */
export async function showRuns(pool: string, flags: RunsFlags, { where, out }: CommandContext, signal: AbortSignal): Promise<void> {
  const { handler, seq, number: limit, follow } = flags
  await withMachine(where, async (machine) => {
    const show = async (runs: Run[]) => {
      for (const run of runs) {
        out.show(run, linesOf(run))
        await out.drained()
      }
    }
    const runs = await machine.runs({ pool, handler, seq, limit })
    await show(runs.toReversed())
    if (!runs.length && !follow)
      out.say(`no runs of ${handler ?? 'handlers'} ${seq === undefined ? 'in' : `on #${seq} of`} ${pool} are kept`)
    if (follow) for await (const more of newRuns(machine, { pool, handler, seq }, runs, where.stack !== undefined, signal)) await show(more)
  })
}

/** Yields the runs that come, oldest first. @param shown those that were shown already */
async function* newRuns(
  machine: RemoteMachine,
  query: RunsQuery,
  shown: Run[],
  isOnAws: boolean,
  signal: AbortSignal,
): AsyncGenerator<Run[]> {
  const back = isOnAws ? BACK_ON_AWS_MS : BACK_MS
  let seen = new Set(shown.map(nameOf))
  let since = shown.length ? Math.floor(shown.reduce((latest, run) => Math.max(latest, run.startedAt + run.ms), 0)) : Date.now()
  while (true) {
    await machine.changed(isOnAws ? LOOK_ON_AWS_MS : LOOK_MS, signal)
    if (signal.aborted) return
    const newest = await machine.runs({ ...query, since: Math.max(0, since - back), limit: FOLLOWED })
    yield newest.filter((run) => !seen.has(nameOf(run))).toReversed()
    seen = new Set([...newest.map(nameOf), ...(newest.length ? [] : seen)])
    since = newest.reduce((latest, run) => Math.max(latest, Math.floor(run.startedAt + run.ms)), since)
  }
}

function nameOf({ handler, seq, attempt, startedAt, ms }: Run): string {
  return `${handler} ${seq} ${attempt} ${startedAt} ${ms}`
}

/** A run as lines: what it was, then what it printed, then its error. */
function linesOf({ seq, handler, kind, attempt, startedAt, ms, outcome, posts, error, console }: Run): string {
  const said = outcome === 'ok' ? 'ok' : outcome === 'failed' ? 'failed, it is tried again' : 'given up'
  return [
    `#${seq}  ${new Date(startedAt).toISOString()}  ${inLine(handler)}  ${inLine(kind)}  ${durationOf(ms)}  ${said}${attempt > 1 ? `, attempt ${attempt}` : ''}${posts ? `, ${count(posts, 'post', 'posts')}` : ''}`,
    ...console.flatMap((line) => line.split('\n')).map((line) => `    | ${inLine(line)}`),
    ...(error === undefined ? [] : error.split('\n').map((line) => `    ! ${inLine(line)}`)),
  ].join('\n')
}

function durationOf(ms: number): string {
  return ms >= SECONDS_FROM ? `${(ms / 1_000).toFixed(1)} s` : `${ms < 10 ? ms.toFixed(2) : Math.round(ms)} ms`
}
