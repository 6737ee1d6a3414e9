import type { RunnerReport } from '../functions/handler/report.ts'
import { answerBell } from '../functions/handler/runner.ts'
import type { Clock } from '../shared/clock.ts'
import { type AnyFunctions, bindFunctions, type HandlerOptions, observed } from '../shared/machine/handlers.ts'
import type { Pools } from '../shared/machine/machine.ts'
import { oneAfterTheOther } from '../shared/retry.ts'
import type { StateOptions, StateView } from '../shared/state/view.ts'
import type { Stores } from '../shared/store/port.ts'
import { type Cursor, type DeadLetter, NO_CURSOR, type Progress } from '../shared/store/progress.ts'

export interface ReplayOptions {
  pool: { path: string; key: string }
  /** the handler's name: the ids of its posts go by it, so that what it posted before is not posted again */
  handler: string
  functions: AnyFunctions
  options: HandlerOptions
  /**
   * a new name: the handler has a cursor, dead letters and a state of its own under it, goes on there when it is asked again, and its posts are only counted. Without it the handler's
   * state stays as it is
   */
  into?: string
  /** the first entry, and the last */
  from: number
  to: number
  stores: Pick<Stores, 'blocks' | 'progress' | 'state'> & Partial<Pick<Stores, 'statuses'>>
  /** what the handler posts with */
  pools: Pools
  clock: Clock
  timeoutMs: number
  /** called after each entry, and with each failure */
  progress: (seq: number) => void
  report: (said: RunnerReport) => void
  stopping: AbortSignal
}

export interface Replayed {
  /** the first entry that was run, and the one with which a further replay would begin */
  from: number
  next: number
  /** calls of the handler, those that failed, and the posts that were counted instead of made */
  calls: number
  failed: DeadLetter[]
  posts: number
}

/** Runs a handler again over a part of the ledger, in this process, beside the running machine. Each entry is tried once. */
export async function replay(options: ReplayOptions): Promise<Replayed> {
  const { pool, handler, into, from, to, stores, clock, timeoutMs, progress, report } = options
  const counted = { calls: 0, posts: 0 }
  const kept = into === undefined ? new KeptProgress() : stores.progress
  const name = into ?? handler
  const begun = await beginAt(name, pool.path, from, { ...stores, progress: kept })
  const { stopping } = options
  const pools = into === undefined ? options.pools : countingPosts(options.pools, () => void counted.posts++)
  const functions = observed(bindFunctions({ functions: options.functions }, pools), ({ seq }) => {
    counted.calls++
    progress(seq)
  })
  const last = (await stores.blocks.find(pool.path, to))?.n
  if (last !== undefined && begun <= to) {
    // The bell comes again as long as anything is left: the cursor says how far it is.
    for (let done = false; !done && !stopping.aborted; ) {
      const answer = await answerBell({ pool: pool.path, n: last }, pool, 1, clock.elapsed() + 3_600_000, {
        handler: name,
        stores: { blocks: stores.blocks, progress: kept, state: stores.state, ...(stores.statuses && { statuses: stores.statuses }) },
        ...(options.options.state === 'shared' && { shared: oneAfterTheOther() }),
        undoes: options.options.undo ?? false,
        clock,
        report,
        functions,
        maxAttempts: 1,
        retryForMs: 0,
        onPoison: 'skip',
        timeoutMs,
        retryMs: 0,
        retryMostMs: 0,
        alone: oneAfterTheOther(),
        until: to,
        stopping,
      })
      done = answer.done
      if (!answer.done && !stopping.aborted) await clock.sleep(answer.againMs, stopping)
    }
  }
  const { seq } = await kept.readCursor(name, pool.path)
  const failed = (await kept.listDead(name, pool.path)).filter((letter) => letter.seq >= from && letter.seq <= to)
  return { from: begun, next: Math.min(seq, to) + 1, ...counted, failed }
}

/** Puts the cursor before the entry, unless it is past it already. @returns the entry to begin with */
async function beginAt(
  handler: string,
  pool: string,
  from: number,
  { blocks, progress }: Pick<Stores, 'blocks' | 'progress'>,
): Promise<number> {
  const cursor = await progress.readCursor(handler, pool)
  if (cursor.seq >= from - 1) return cursor.seq + 1
  const block = await blocks.find(pool, from)
  if (block) await progress.writeCursor(handler, pool, { seq: from - 1, block: block.n, attempts: 0 })
  return from
}

/** The same pools, whose posts, broadcasts and invoices are counted and not made. */
function countingPosts(pools: Pools, counted: () => void): Pools {
  const isMade = new Set<string | symbol>(['post', 'broadcast', 'invoice', 'prune', 'watch', 'pub', 'unpub', 'sub', 'unsub'])
  return new Proxy(pools, {
    get(target, name) {
      if (name === 'state') return async (options: StateOptions) => readOnly(await target.state(options), counted)
      if (!isMade.has(name)) return Reflect.get(target, name)
      const count = async () => {
        counted()
        return {}
      }
      return name === 'invoice' ? Object.assign(count, { get: target.invoice.get, list: target.invoice.list, cancel: count }) : count
    },
  })
}

/** The state of another handler, which a replay only reads: changes are counted and not made. */
function readOnly(view: StateView, counted: () => void): StateView {
  const changes = new Set<string | symbol>(['set', 'delete', 'change'])
  return new Proxy(view, {
    get: (target, name) => {
      if (changes.has(name)) return async () => counted()
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** How far a replay has come, in memory: the cursor, the dead letters and the state of the handler itself stay as they are. */
class KeptProgress implements Progress {
  #cursor = NO_CURSOR
  readonly #dead = new Map<number, DeadLetter>()

  async readCursor(): Promise<Cursor> {
    return this.#cursor
  }

  async writeCursor(_handler: string, _pool: string, cursor: Cursor): Promise<void> {
    this.#cursor = cursor
  }

  async commit(_handler: string, _pool: string, of: { to: Cursor; givenUp?: DeadLetter } | number | undefined): Promise<boolean> {
    if (typeof of !== 'object') return true
    this.#cursor = of.to
    if (of.givenUp) this.#dead.set(of.givenUp.seq, of.givenUp)
    return true
  }

  async putDead(_handler: string, _pool: string, letter: DeadLetter): Promise<void> {
    this.#dead.set(letter.seq, letter)
  }

  async listDead(): Promise<DeadLetter[]> {
    return [...this.#dead.values()]
  }

  async askRedrive(): Promise<void> {}
  async endRedrive(): Promise<void> {}
  async updateDead(): Promise<void> {}
  async setPaused(): Promise<void> {}
  async deleteDead(): Promise<void> {}
  async listHandlers(): Promise<string[]> {
    return []
  }
}
