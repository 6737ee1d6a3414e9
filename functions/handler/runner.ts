import type { Clock } from '../../shared/clock.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { type Block, entriesOf, entryAt } from '../../shared/ledger/block.ts'
import type { Entry } from '../../shared/ledger/entry.ts'
import type { Bell } from '../../shared/ledger/messages.ts'
import { type HandlerContext, handlerContext } from '../../shared/machine/context.ts'
import { eventOf, type TxEvent } from '../../shared/machine/event.ts'
import { backoff } from '../../shared/retry.ts'
import type { PoolControl } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { Cursor } from '../../shared/store/progress.ts'
import type { RunnerReport } from './report.ts'

/** An error text that is kept is cut to so many characters. */
const MAX_ERROR = 1_000
/** Stop before the time is up, so that the cursor can still be written, ms. */
const MARGIN_MS = 1_000
/** Why an entry is given up that no attempt has come to an end with. */
const NO_END = 'the process ended while the handler ran, each time'

export interface RunnerOptions {
  /** the handler's name: its cursor, its dead letters and the ids of its posts go by it */
  handler: string
  stores: Stores
  clock: Clock
  report: (report: RunnerReport) => void
  /** the user's function */
  onTx: (event: TxEvent) => unknown
  /** attempts at an entry until it is given up */
  maxAttempts: number
  /** 'skip': a given-up entry becomes a dead letter and the pool goes on; 'stop': the pool stops there for this handler */
  onPoison: 'skip' | 'stop'
  /** a call that takes longer has failed, ms */
  timeoutMs: number
  /** wait after a first failure, ms; doubles up to `retryMostMs` */
  retryMs: number
  retryMostMs: number
  /** aborted: no further entry is begun */
  stopping?: AbortSignal
}

/** What becomes of a bell: it has been answered and can be deleted, or comes again after `againMs`. */
export type Answer = { done: true } | { done: false; againMs: number }

const DONE: Answer = { done: true }

/**
 * Answers a bell: runs the handler on every entry from the cursor's next one to the end of the bell's block, in order. What is to be done is
 * said by the cursor and the mirror, so a lost, repeated or reordered bell costs time, never an event (Promise 4).
 * @param receives how often this bell was given out: from the second time the cursor is written after each entry, so that a slow batch moves on
 * @param deadline ms since 1970; what does not fit is left for the next time
 */
export async function answerBell(
  bell: Bell,
  { key, begins }: Pick<PoolControl, 'key' | 'begins'>,
  receives: number,
  deadline: number,
  options: RunnerOptions,
): Promise<Answer> {
  const { handler, stores, clock } = options
  const pool = { path: bell.pool, key }
  const start = laterOf(await stores.progress.readCursor(handler, pool.path), begins)
  let at: Cursor = { seq: start.seq, block: start.block, attempts: start.attempts }
  if (start.redrive !== undefined) {
    const againMs = await rerunDead(pool, start.redrive, receives, deadline, options)
    if (againMs !== undefined) return { done: false, againMs }
    if (start.stopped !== undefined) at = { ...at, attempts: 0 } // it is tried anew, all attempts over
    await stores.progress.writeCursor(handler, pool.path, at)
    await stores.progress.endRedrive(handler, pool.path, start.redrive)
  } else if (start.stopped !== undefined) return DONE
  const keep = async (cursor: Cursor, written: boolean) => {
    at = cursor
    if (written) await stores.progress.writeCursor(handler, pool.path, at)
  }

  // A process that dies in the handler leaves nobody to count it. A bell that has come so often may have seen that: its next attempt is counted before it is made.
  let isSuspect = receives > options.maxAttempts
  for await (const block of blocksUpTo(bell, at.block, stores)) {
    const entries = readable(block, pool.path, options)
    for (const [i, entry] of entries.entries()) {
      const seq = block.first + i
      if (seq <= at.seq) continue
      const next = i + 1 < entries.length ? block.n : block.n + 1
      const late = clock.now() >= deadline - MARGIN_MS && (at.seq !== start.seq || receives > 1)
      if (late || options.stopping?.aborted) {
        await keep(at, true)
        return { done: false, againMs: 0 }
      }
      const tried = at.attempts
      if (isSuspect) await keep({ ...at, attempts: tried + 1 }, true)
      isSuspect = false
      const error = tried > options.maxAttempts ? { thrown: new Error(NO_END) } : await run(pool, seq, entry, options)
      if (error === undefined) {
        // an earlier attempt may have come as far as giving it up, and no further
        if (receives > 1 && tried + 1 >= options.maxAttempts) await stores.progress.deleteDead(handler, pool.path, seq)
        await keep({ seq, block: next, attempts: 0 }, receives > 1)
        continue
      }
      const attempts = tried + 1
      const away = isAway(error.thrown)
      if (away || attempts < options.maxAttempts) {
        options.report({ kind: 'failed', handler, pool: pool.path, seq, attempt: attempts, error: error.thrown })
        await keep({ ...at, attempts: away ? tried : attempts }, true)
        return { done: false, againMs: backoff(away ? receives : attempts, options.retryMs, options.retryMostMs) }
      }
      const text = errorText(error.thrown)
      if (options.onPoison === 'stop') {
        options.report({ kind: 'stopped', handler, pool: pool.path, seq, error: error.thrown })
        await keep({ ...at, attempts, stopped: text }, true)
        return DONE
      }
      options.report({ kind: 'given-up', handler, pool: pool.path, seq, error: error.thrown })
      await stores.progress.putDead(handler, pool.path, { seq, block: block.n, error: text, attempts, at: clock.now() })
      await keep({ seq, block: next, attempts: 0 }, true)
    }
    at = { ...at, block: block.n + 1 } // though it had no entry: a peer can sign any number of such blocks, and each bell would read them all again
  }
  if (at.block > start.block) await stores.progress.writeCursor(handler, pool.path, at)
  return DONE
}

/** A pool that is not followed from its first block has nothing before that for a handler to do, and perhaps nobody knows which entry comes first. */
function laterOf(cursor: Cursor, begins: PoolControl['begins']): Cursor {
  if (!begins) return cursor
  return { ...cursor, seq: Math.max(cursor.seq, begins.seq - 1), block: Math.max(cursor.block, begins.block) }
}

/**
 * Runs the dead letters again, each once since it was asked for at `asked`; those that work now are dead no more.
 * @returns when not all could be run: after how many ms the rest goes on
 */
async function rerunDead(
  pool: { path: string; key: string },
  asked: number,
  receives: number,
  deadline: number,
  options: RunnerOptions,
): Promise<number | undefined> {
  const { handler, stores, clock, stopping } = options
  const letters = (await stores.progress.listDead(handler, pool.path)).filter(({ at }) => at < asked)
  for (const [i, letter] of letters.entries()) {
    if (stopping?.aborted || (i > 0 && clock.now() >= deadline - MARGIN_MS)) return 0
    const tried = { ...letter, attempts: letter.attempts + 1, at: Math.max(clock.now(), asked) }
    if (receives > 1) await stores.progress.putDead(handler, pool.path, tried) // the process may have died in it, and would again
    const block = await stores.blocks.find(pool.path, letter.seq)
    const entry = block && entryAt(block, letter.seq - block.first)
    if (!entry) continue
    const error = await run(pool, letter.seq, entry, options)
    if (error === undefined) await stores.progress.deleteDead(handler, pool.path, letter.seq)
    else if (isAway(error.thrown)) {
      if (receives > 1) await stores.progress.putDead(handler, pool.path, letter)
      return backoff(receives, options.retryMs, options.retryMostMs)
    } else {
      options.report({ kind: 'given-up', handler, pool: pool.path, seq: letter.seq, error: error.thrown })
      await stores.progress.putDead(handler, pool.path, { ...tried, error: errorText(error.thrown) })
    }
  }
  return undefined
}

/** The blocks from number `from` to the bell's, which is not read where the bell carries it. */
async function* blocksUpTo(bell: Bell, from: number, stores: Stores): AsyncGenerator<Block> {
  const last = bell.block ? bell.n - 1 : bell.n
  for (let n = from; n <= last; ) {
    const blocks = await stores.blocks.read(bell.pool, n, Math.min(64, last - n + 1))
    if (blocks.length === 0)
      throw new OverpoolError('UNAVAILABLE', `block ${n} of "${bell.pool}" is not in the mirror`, { retryable: true })
    yield* blocks
    n += blocks.length
  }
  if (bell.block && from <= bell.n) yield bell.block
}

/** A block that does not decode is named, counted, and passed over: it must not hold up what follows. */
function readable(block: Block, pool: string, { handler, report }: RunnerOptions): Entry[] {
  try {
    return entriesOf(block)
  } catch (error) {
    report({ kind: 'bad-block', handler, pool, n: block.n, error })
    return []
  }
}

/** Calls the handler; what it threw, if it failed. */
async function run(
  pool: { path: string; key: string },
  seq: number,
  entry: Entry,
  options: RunnerOptions,
): Promise<{ thrown: unknown } | undefined> {
  const { handler, onTx, clock, timeoutMs } = options
  const context: HandlerContext = { handler, cause: { key: pool.key, seq }, hops: entry.hops, ordinal: 0, posts: [], ended: false }
  try {
    const returned = handlerContext.run(context, onTx, eventOf(pool, seq, entry))
    if (!isThenable(returned) && !context.posts.length) return undefined
    const result = finished(returned, context)
    const timer = new AbortController()
    const tooLong = clock.sleep(timeoutMs, timer.signal).then(() => {
      if (!timer.signal.aborted) throw new Error(`the handler took longer than ${timeoutMs} ms`)
    })
    try {
      await Promise.race([result, tooLong])
    } finally {
      timer.abort()
    }
    return undefined
  } catch (thrown) {
    return { thrown }
  } finally {
    context.ended = true
    context.posts.length = 0
  }
}

/** What the handler needed of the machine, such as its queue for a post, is away at this moment. That is no fault of the entry, and costs it no attempt. */
function isAway(thrown: unknown): boolean {
  return thrown instanceof OverpoolError && thrown.code === 'UNAVAILABLE' && thrown.retryable
}

/** The handler's own end, and that of its posts, and of those that come after them. Whether a post failed is for the handler to see, and is reported where it failed. */
async function finished(returned: unknown, { posts }: HandlerContext): Promise<void> {
  await returned
  while (posts.length) await Promise.allSettled(posts.splice(0)) // one may have led to the next
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}

function errorText(thrown: unknown): string {
  return (thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown)).slice(0, MAX_ERROR)
}
