import { type Clock, sleepAwake } from '../../shared/clock.ts'
import { eventOf, type LedgerEvent, type ReorgEvent } from '../../shared/ledger/event.ts'
import type { Entry, Kind, ReorgEntry } from '../../shared/ledger/kinds.ts'
import type { KeptStatus } from '../../shared/ledger/status.ts'
import { type HandlerContext, handlerContext } from '../../shared/machine/context.ts'
import type { BoundFunctions } from '../../shared/machine/handlers.ts'
import { StateAttempt } from '../../shared/state/attempt.ts'
import type { HandlerState } from '../../shared/state/handler-state.ts'
import type { StateRun } from '../../shared/state/run.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { Run } from '../../shared/store/runs.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { recording } from './recording.ts'
import type { RunnerReport } from './report.ts'

/** What a call of a handler needs. */
export interface CallOptions {
  /** the handler's name: its cursor, its dead letters and the ids of its posts go by it */
  handler: string
  /** `statuses` only where the machine takes part in Bitcoin: then an event shows the newest status */
  stores: Partial<Pick<Stores, 'statuses'>>
  /** before a reorganisation is handled, the state loses what the undone entries have changed */
  undoes?: boolean
  clock: Clock
  report: (report: RunnerReport) => void
  /** the user's functions by kind; entries of other kinds are passed over */
  functions: BoundFunctions
  /** a longer call counts as failed, ms */
  timeoutMs: number
  /** resolves when all promise callbacks that are due have run (default: the next turn of the event loop) */
  turn?: () => Promise<void>
  /** called with each run that has ended; without it they are not recorded */
  ran?: (run: Run) => void
}

/** Calls the handler's function for the entry's kind. @param givesUp whether the entry is given up for what was thrown @returns what it threw, if it failed */
export async function call(
  pool: { path: string; key: string },
  seq: number,
  entry: Entry,
  options: CallOptions,
  state: StateRun | undefined,
  attempt: number,
  givesUp: (thrown: unknown) => boolean,
): Promise<{ thrown: unknown } | undefined> {
  const { handler, functions, clock, timeoutMs, report, ran } = options
  const remembers = state && new StateAttempt(state, { pool: pool.path, seq, ...placeOf(entry) })
  const context: HandlerContext = {
    handler,
    pool: pool.path,
    cause: { key: pool.key, seq },
    hops: entry.hops,
    ordinal: 0,
    posts: [],
    ended: false,
    failed: false,
    threwLate: (error) => report({ kind: 'threw-late', handler, pool: pool.path, seq, error }),
  }
  const record = ran && recording(context, entry.kind as Kind, attempt, clock.now, ran)
  try {
    const event = eventOf(pool, seq, entry, options.stores.statuses && (await statusOf(pool.path, entry, options)))
    if (entry.kind === 'reorg' && options.undoes && remembers) await undo(event as ReorgEvent, entry, remembers)
    const onEvent = (functions[event.kind as Kind] ?? (() => {})) as (event: LedgerEvent, state: HandlerState | undefined) => unknown
    const returned = handlerContext.run(context, onEvent, event, remembers)
    if (!isThenable(returned) && !context.posts.length && (remembers?.isUntouched ?? true)) {
      record?.('ok')
      return undefined
    }
    const result = finished(returned, context, remembers, options.turn ?? nextTurn)
    const timer = new AbortController()
    const tooLong = sleepAwake(clock, timeoutMs, timer.signal).then(() => {
      if (!timer.signal.aborted) throw new Error(`the handler took longer than ${timeoutMs} ms`)
    })
    try {
      await Promise.race([result, tooLong])
    } finally {
      timer.abort()
    }
    remembers?.take()
    record?.('ok')
    return undefined
  } catch (thrown) {
    context.failed = true
    record?.(givesUp(thrown) ? 'given-up' : 'failed', thrown)
    return { thrown }
  } finally {
    context.ended = true
    remembers?.end()
    context.posts.length = 0
  }
}

/** Takes back what the undone entries have changed in the state, and tells the handler what was left as it was. */
async function undo(event: ReorgEvent, entry: ReorgEntry, state: StateAttempt): Promise<void> {
  event.kept = await state.undo(entry)
}

/** The block of the chain that an entry goes back with: it records the block, a transaction that came with it, or that a transaction was mined in it. */
function placeOf(entry: Entry): { height?: number; blockHash?: string } {
  if (entry.kind === 'block') return { height: entry.height, blockHash: entry.hash }
  const isMined = entry.kind === 'tx' || (entry.kind === 'status' && entry.status === 'mined')
  if (!isMined || entry.blockHash === undefined || entry.height === undefined) return {}
  return { height: entry.height, blockHash: entry.blockHash }
}

/** The newest status of a transaction. */
async function statusOf(pool: string, entry: Entry, { stores }: CallOptions): Promise<KeptStatus | undefined> {
  if (entry.kind !== 'tx' || !stores.statuses) return undefined
  return (await stores.statuses.newest(pool, [scanTransaction(entry.tx).txid]))[0]
}

/** Resolves when the handler, all its posts and all its uses of the state have ended. A failed post is reported where it failed; the handler may look at it. */
async function finished(
  returned: unknown,
  { posts }: HandlerContext,
  state: StateAttempt | undefined,
  turn: () => Promise<void>,
): Promise<void> {
  await returned
  // The code that waited for a post, or for the state, may make the next post.
  do {
    while (posts.length) {
      await Promise.allSettled(posts.splice(0))
      await turn()
    }
    if (state?.isBusy) {
      await state.settled()
      await turn()
    }
  } while (posts.length || state?.isBusy)
  await state?.settled()
}

/** Resolves when all promise callbacks that are due have run. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
