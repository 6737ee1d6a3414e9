import { timeLeft } from '../../shared/clock.ts'
import { type ErrorCode, OverpoolError, textOf } from '../../shared/errors.ts'
import { type Block, entriesOf, entryAt, isLost } from '../../shared/ledger/block.ts'
import type { Entry, Kind } from '../../shared/ledger/kinds.ts'
import type { Bell } from '../../shared/ledger/messages.ts'
import { backoff, waitsBefore } from '../../shared/retry.ts'
import { StateRun } from '../../shared/state/run.ts'
import type { PoolControl } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { Cursor, DeadLetter, Move } from '../../shared/store/progress.ts'
import { SHARED, type State } from '../../shared/store/state.ts'
import { type CallOptions, call } from './call.ts'

/** A stored error text is cut to this many characters. */
const MAX_ERROR = 1_000
/** It stops this long before the deadline, ms, so that the cursor can still be written. */
const MARGIN_MS = 1_000
/** In a long run the cursor is written at least this often, ms: after a kill, the entries of this time are handled again. */
const CURSOR_MS = 250
/** A program that entries are forwarded to may ask for this wait at most, ms. */
const MAX_ASKED_WAIT_MS = 60 * 60_000
/** The error of an entry whose every attempt ended with the process. */
const NO_END = 'the process ended while the handler ran, at each attempt'

export interface RunnerOptions extends CallOptions {
  /** `statuses` as for a call. `state` only for the user's handlers: the built-in ones remember nothing */
  stores: Pick<Stores, 'blocks' | 'progress'> & Partial<Pick<Stores, 'statuses' | 'state'>>
  /**
   * the handler has one state for all its pools (default: one for each): runs a pool's entries when those of no other pool run. Of two processes that do so at once, one has to begin
   * anew
   */
  shared?: <T>(run: () => Promise<T>) => Promise<T>
  /** an entry is given up after so many attempts that ended with the process; one whose handler fails, when it has been retried for `retryForMs` besides */
  maxAttempts: number
  retryForMs: number
  /** 'skip': a given-up entry becomes a dead letter and the pool goes on; 'stop': the pool stops there for this handler */
  onPoison: 'skip' | 'stop'
  /** wait after a first failure, ms; doubles up to `retryMostMs` */
  retryMs: number
  retryMostMs: number
  /** runs one after the other the attempts that may end the process: an entry must not be given up for what another pool's entry does to it */
  alone: <T>(attempt: () => Promise<T>) => Promise<T>
  /** the last entry that is run; default: all */
  until?: number
  /** once aborted, no further entry begins */
  stopping?: AbortSignal
}

/** The answer to a bell: it is done and can be deleted, or it comes again after `againMs`. */
export type Answer = { done: true } | { done: false; againMs: number }

const DONE: Answer = { done: true }

/** How often a bell for this block or a later one was received. */
export type Receives = (block: number) => number

/**
 * Answers a bell: runs the handler on every entry from the cursor's next one to the end of the bell's block, in order. The cursor and the mirror
 * say what to do, so a lost, repeated or reordered bell costs time, never an event (Promise 4).
 * @param receives how often this bell was received, or for each block those for it and later ones: from the second time on the cursor is written before each attempt, so that a
 *   slow batch makes progress, and an attempt counts that ends with the process
 * @param deadline in `Clock.elapsed`; entries that do not fit are left for the next time
 */
export async function answerBell(
  bell: Bell,
  { key, begins }: Pick<PoolControl, 'key' | 'begins'>,
  receives: number | Receives,
  deadline: number,
  options: RunnerOptions,
): Promise<Answer> {
  const answer = () => answerAlone(bell, { key, begins }, receives, deadline, options)
  if (!options.shared) return answer()
  return options.shared(async () => (options.clock.elapsed() >= deadline ? { done: false, againMs: 0 } : answer()))
}

async function answerAlone(
  bell: Bell,
  { key, begins }: Pick<PoolControl, 'key' | 'begins'>,
  receives: number | Receives,
  deadline: number,
  options: RunnerOptions,
): Promise<Answer> {
  const { handler, stores } = options
  // The version is read before the cursor: whoever commits in between has moved both, and this run's commit does not hold.
  const shared = options.shared && (await stores.state?.open(handler, SHARED))
  const cursor = await stores.progress.readCursor(handler, bell.pool)
  const state = stores.state && (await stateOf(stores.state, handler, bell.pool, cursor, shared))
  const start = { ...laterOf(cursor, begins), stored: cursor.seq }
  const block = start.redrive === undefined && start.redriveSome === undefined ? start.block : 0
  const times = typeof receives === 'number' ? receives : receives(block)
  return new BellRun({ path: bell.pool, key }, start, times, deadline, options, state).answer(bell)
}

/** What the handler remembers. @param shared the version of the state that it has for all its pools */
async function stateOf(store: State, handler: string, pool: string, cursor: Cursor, shared: number | undefined): Promise<StateRun> {
  if (shared !== undefined) return new StateRun(store, handler, SHARED, shared)
  return new StateRun(store, handler, pool, await store.open(handler, pool, cursor))
}

/** Answers one bell: holds the handler's cursor in the pool, and runs the entries after it. */
class BellRun {
  readonly #pool: { path: string; key: string }
  readonly #start: Cursor
  readonly #receives: number
  readonly #deadline: number
  readonly #options: RunnerOptions
  readonly #state: StateRun | undefined
  #at: Cursor
  /** `seq` of the cursor as it is stored */
  #stored: number
  /** handled entries whose dead letters are deleted with the next commit */
  readonly #handled: number[] = []
  /** when the cursor was written last, or read (`Clock.elapsed`) */
  #keptAt: number
  readonly #pauses: Pauses

  constructor(
    pool: { path: string; key: string },
    start: Cursor & { stored: number },
    receives: number,
    deadline: number,
    options: RunnerOptions,
    state: StateRun | undefined,
  ) {
    this.#state = state
    this.#stored = start.stored
    this.#pool = pool
    this.#start = start
    this.#receives = receives
    this.#deadline = deadline
    this.#options = options
    this.#at = { seq: start.seq, block: start.block, attempts: start.attempts, begun: start.begun }
    this.#keptAt = options.clock.elapsed()
    this.#pauses = pausesOf(pool.path, options)
  }

  async answer(bell: Bell): Promise<Answer> {
    const { redrive, redriveSome, stopped, paused } = this.#start
    if (paused !== undefined) return DONE
    if (redrive !== undefined || redriveSome !== undefined) {
      const againMs = await rerunDead(this.#pool, { redrive, redriveSome }, this.#receives, this.#deadline, this.#options, this.#state)
      if (againMs !== undefined) return { done: false, againMs }
      await this.#endRedrive({ redrive, redriveSome })
    }
    if (redrive === undefined && stopped !== undefined) return DONE

    const { stores } = this.#options
    try {
      for await (const block of blocksUpTo(bell, this.#at.block, stores)) {
        const answer = await this.#runBlock(block)
        if (answer) return answer
        this.#at = { ...this.#at, block: block.n + 1 } // even without entries: a peer can sign any number of invalid blocks, and each bell would read them all again
      }
      if (this.#at.block > this.#start.block || this.#state?.isChanged) await this.#keep(this.#at)
    } catch (error) {
      // The bell comes again: what is handled must not run again. The next entry's attempt may not have begun, so it does not count.
      if (isOvertaken(error)) await this.#endKnown().catch(() => {})
      else if (this.#at.seq !== this.#start.seq) await this.#keep({ ...this.#at, begun: undefined }).catch(() => {})
      throw error
    }
    return DONE
  }

  /** The changes of this run do not count, but the process has not died: the cursor says so, where the run began. */
  async #endKnown(): Promise<void> {
    const { handler, stores } = this.#options
    const { seq, block, attempts, stopped } = this.#start
    await stores.progress.writeCursor(handler, this.#pool.path, { seq, block, attempts, begun: 0, stopped })
  }

  /** The dead letters have been retried. If all were asked for, a handler that had stopped goes on, with all its attempts at the entry where it stopped. */
  async #endRedrive(done: RedriveTimes): Promise<void> {
    const { handler, stores } = this.#options
    if (done.redrive !== undefined) {
      if (this.#start.stopped !== undefined) this.#at = { ...this.#at, attempts: 0 }
      await this.#keep(this.#at)
    }
    await stores.progress.endRedrive(handler, this.#pool.path, done)
  }

  /** Runs the handler on the block's entries after the cursor. @returns the answer to the bell if the run ends in this block */
  async #runBlock(block: Block): Promise<Answer | undefined> {
    if (isLost(block)) return this.#passOverLost(block)
    const entries = readable(block, this.#pool.path, this.#options)
    for (const [i, entry] of entries.entries()) {
      const seq = block.first + i
      if (seq <= this.#at.seq) continue
      const next = i + 1 < entries.length ? block.n : block.n + 1
      if (seq > (this.#options.until ?? seq)) {
        await this.#keep(this.#at)
        return DONE
      }
      if (this.#passesOver(seq, entry)) {
        this.#at = { seq, block: next, attempts: 0 }
        continue
      }
      if (this.#mustStop()) return this.#later()
      if (this.#pauses.isDue() && (await this.#pauses.look())) {
        await this.#later()
        return DONE
      }
      const answer = await this.#runEntry(seq, entry, block.n, next)
      if (answer) return answer
    }
    return undefined
  }

  /** A lost block: each of its entries becomes a dead letter, or the handler stops there. */
  async #passOverLost({ n, first, count }: Block): Promise<Answer | undefined> {
    const { handler, stores, clock, report, onPoison } = this.#options
    const { path } = this.#pool
    const error = `block ${n} was damaged, and could not be had anywhere`
    report({ kind: 'lost', handler, pool: path, n, first, count })
    if (onPoison === 'stop' && this.#at.seq + 1 < first + count) {
      await this.#keep({ ...this.#at, stopped: error })
      return DONE
    }
    for (let seq = Math.max(first, this.#at.seq + 1); seq < first + count; seq++)
      await stores.progress.putDead(handler, path, { block: n, seq, error, attempts: 0, at: clock.now() })
    await this.#keep({ seq: first + count - 1, block: n + 1, attempts: 0 })
    return undefined
  }

  /** An entry is passed over if its kind is unknown, or if the handler has no function for it. */
  #passesOver(seq: number, entry: Entry): boolean {
    const { handler, report } = this.#options
    if (entry.kind === 'unknown') report({ kind: 'unknown-kind', handler, pool: this.#pool.path, seq, named: entry.named })
    return !isRunnable(this.#pool, entry, this.#options)
  }

  /** Whether to begin no further entry. At least one entry runs at the first receive, however late it is. */
  #mustStop(): boolean {
    const { clock, stopping } = this.#options
    const isLate = clock.elapsed() >= this.#deadline - MARGIN_MS && (this.#at.seq !== this.#start.seq || this.#receives > 1)
    return isLate || (stopping?.aborted ?? false)
  }

  /**
   * Makes an attempt at an entry, or gives it up if too many attempts have ended with the process. @param next the block where the following entry is looked for.
   * @returns the answer to the bell if the run ends with this entry
   */
  async #runEntry(seq: number, entry: Entry, block: number, next: number): Promise<Answer | undefined> {
    const { alone } = this.#options
    const { attempts, begun = 0 } = this.#at
    if (this.#isLastDeath(begun)) {
      this.#recordDeaths(seq, entry, attempts + begun)
      return this.#giveUp(seq, block, next, attempts + begun, new Error(NO_END))
    }
    const attempt = () => this.#attempt(seq, entry, block, next, attempts + begun)
    // At the first receive nothing is counted, since a write for each entry would be too much. At the second the process may therefore have died in this entry already, unless
    // the cursor says how the run before has ended.
    if (this.#receives === 1 && !begun) return attempt()
    const uncounted = this.#start.begun === undefined ? 1 : 0
    const counted = (this.#at.begun ?? uncounted) + 1
    const countAndAttempt = async () => {
      if (this.#mustStop()) return this.#later()
      await this.#keep({ ...this.#at, begun: counted })
      return attempt()
    }
    return begun || this.#isLastDeath(counted) ? alone(countAndAttempt) : countAndAttempt()
  }

  /** Records an entry that is given up for attempts that ended with the process: these runs could not record themselves. */
  #recordDeaths(seq: number, { kind }: Entry, attempt: number): void {
    const { handler, clock, ran } = this.#options
    const at = { handler, pool: this.#pool.path, seq, kind: kind as Kind, attempt, startedAt: clock.now() }
    ran?.({ ...at, ms: 0, outcome: 'given-up', error: NO_END, console: [], posts: 0 })
  }

  /** Calls the handler with an entry that `tried` attempts have failed with. */
  async #attempt(seq: number, entry: Entry, block: number, next: number, tried: number): Promise<Answer | undefined> {
    const { handler, stores, maxAttempts } = this.#options
    // What is undone must be in the journal.
    if (this.#options.undoes && entry.kind === 'reorg' && this.#state?.isChanged) await this.#keep(this.#at)
    const failure = await call(this.#pool, seq, entry, this.#options, this.#state, tried + 1, (thrown) => this.#givesUp(thrown, tried + 1))
    if (failure) return this.#fail(seq, block, next, tried, failure.thrown)
    // An earlier attempt may have stored a dead letter and died before the cursor was written; or an operator has, who passes over the entry where the handler had stopped.
    const mayBeDead = (this.#receives > 1 && tried + 1 >= maxAttempts) || this.#start.stopped !== undefined
    if (mayBeDead && this.#state?.isChanged) this.#handled.push(seq)
    else if (mayBeDead) await stores.progress.deleteDead(handler, this.#pool.path, seq)
    this.#at = { seq, block: next, attempts: 0 }
    if (this.#state?.isFull || !timeLeft(this.#options.clock, this.#keptAt, CURSOR_MS)) await this.#keep(this.#at)
    return undefined
  }

  /** Whether an entry is given up that the process has died in this often. It does not wait for `retryForMs`: each death stops every pool. */
  #isLastDeath(deaths: number): boolean {
    return deaths > 0 && (deaths >= this.#options.maxAttempts || this.#isOver(this.#at.attempts + deaths))
  }

  /** Whether an entry is given up after so many failed attempts. */
  #isOver(attempts: number): boolean {
    const { maxAttempts, retryForMs, retryMs, retryMostMs } = this.#options
    return attempts >= maxAttempts && waitsBefore(attempts, retryMs, retryMostMs) >= retryForMs
  }

  /** Whether an entry is given up whose attempt number `attempts` has failed. */
  #givesUp(thrown: unknown, attempts: number): boolean {
    if (isAway(thrown)) return false
    return isFinal(thrown) ? attempts >= this.#options.maxAttempts : this.#isOver(attempts)
  }

  /** No further entry begins now; the bell comes again at once. */
  async #later(): Promise<Answer> {
    await this.#keep({ ...this.#at, begun: this.#at.begun ?? 0 })
    return { done: false, againMs: 0 }
  }

  /** An attempt has failed: the entry is retried later, or given up. */
  async #fail(seq: number, block: number, next: number, tried: number, thrown: unknown): Promise<Answer | undefined> {
    const { handler, report, retryMs, retryMostMs } = this.#options
    const attempts = tried + 1
    const away = isAway(thrown)
    if (this.#givesUp(thrown, attempts)) return this.#giveUp(seq, block, next, attempts, thrown)
    report({ kind: 'failed', handler, pool: this.#pool.path, seq, attempt: attempts, error: thrown })
    await this.#keep({ ...this.#at, attempts: away ? tried : attempts, begun: 0 })
    const againMs = backoff(away ? this.#receives : attempts, retryMs, retryMostMs)
    return { done: false, againMs: Math.max(againMs, askedWait(thrown)) }
  }

  /** All attempts have failed: the handler stops here, or the entry becomes a dead letter and the pool goes on. */
  async #giveUp(seq: number, block: number, next: number, attempts: number, thrown: unknown): Promise<Answer | undefined> {
    const { handler, stores, clock, report, onPoison } = this.#options
    const { path } = this.#pool
    const error = errorText(thrown)
    if (onPoison === 'stop' || isGone(thrown)) {
      report({ kind: 'stopped', handler, pool: path, seq, error: thrown })
      await this.#keep({ ...this.#at, attempts, begun: 0, stopped: error })
      return DONE
    }
    report({ kind: 'given-up', handler, pool: path, seq, error: thrown })
    const letter = { seq, block, error, attempts, at: clock.now() }
    if (!this.#state) await stores.progress.putDead(handler, path, letter)
    await this.#keep({ seq, block: next, attempts: 0 }, letter)
    return undefined
  }

  /** Writes the cursor, and with it what the handler has changed in its state. With a state an entry is given up by the same write: another run may have handled it meanwhile. */
  async #keep(cursor: Cursor, givenUp?: DeadLetter): Promise<void> {
    const { handler, stores, clock } = this.#options
    if (!givenUp) this.#at = cursor // if the write of a dead letter fails, the cursor must not move without it
    this.#keptAt = clock.elapsed()
    if (this.#state && (this.#state.isChanged || givenUp)) {
      const move = { from: this.#stored, to: cursor, handled: [...this.#handled], ...(givenUp && { givenUp }) }
      await commitState(handler, this.#pool.path, move, this.#state, this.#options)
      this.#handled.length = 0
    } else await stores.progress.writeCursor(handler, this.#pool.path, cursor)
    this.#at = cursor
    this.#stored = cursor.seq
  }
}

function isOvertaken(error: unknown): boolean {
  return error instanceof OverpoolError && error.code === 'OVERTAKEN'
}

/** Commits what the handler has changed, with the cursor or the end of a dead letter. @throws OverpoolError OVERTAKEN: another run was faster */
async function commitState(
  handler: string,
  pool: string,
  of: Move | number,
  state: StateRun,
  { stores, clock }: Pick<RunnerOptions, 'stores' | 'clock'>,
): Promise<void> {
  if (await stores.progress.commit(handler, pool, of, state.commit(clock.now()))) return state.committed()
  const why = `the state of "${handler}" was changed by another run, or by hand, while this one worked in "${pool}"; the entries since then run again`
  throw new OverpoolError('OVERTAKEN', why, { retryable: true })
}

/** The cursor, or the start of the subscription if that is later. The first entry of such a subscription may be unknown. */
function laterOf(cursor: Cursor, begins: PoolControl['begins']): Cursor {
  if (!begins) return cursor
  return { ...cursor, seq: Math.max(cursor.seq, begins.seq - 1), block: Math.max(cursor.block, begins.block) }
}

/** Whether the kind is known and the handler has a function for it. What a peer's pool says of its invoices is passed over; a peer's pool has its key as its path. */
function isRunnable({ path, key }: { path: string; key: string }, entry: Entry, { functions, undoes, stores }: RunnerOptions): boolean {
  if (entry.kind === 'reorg' && undoes && stores.state) return true // the state changes, also if the handler has no function for it
  return entry.kind !== 'unknown' && functions[entry.kind] !== undefined && (entry.kind !== 'invoice' || path !== key)
}

/** Says whether an operator has paused the handler since its run began. A run over many entries asks before each, and looks now and then. */
interface Pauses {
  /** whether it is time to look */
  isDue: () => boolean
  look: () => Promise<boolean>
}

function pausesOf(pool: string, { handler, stores, clock }: RunnerOptions): Pauses {
  let lookedAt = clock.elapsed()
  return {
    isDue: () => timeLeft(clock, lookedAt, CURSOR_MS) === 0,
    async look() {
      lookedAt = clock.elapsed()
      return (await stores.progress.readCursor(handler, pool)).paused !== undefined
    },
  }
}

/** When redrives were asked for that are not carried out yet: of all dead letters, and of some. */
type RedriveTimes = Pick<Cursor, 'redrive' | 'redriveSome'>

/** Whether a dead letter is to be retried: not since a redrive of all of them, or of this one, was asked for. */
function isDue({ at, asked }: DeadLetter, { redrive, redriveSome }: RedriveTimes): boolean {
  return (redrive !== undefined && at < redrive) || (redriveSome !== undefined && asked !== undefined && at < asked)
}

/**
 * Retries the dead letters that are due, each once since it was asked for. Those that work now are deleted.
 * @returns if not all could be run: after how many ms to go on with the rest
 */
async function rerunDead(
  pool: { path: string; key: string },
  times: RedriveTimes,
  receives: number,
  deadline: number,
  options: RunnerOptions,
  state: StateRun | undefined,
): Promise<number | undefined> {
  const { handler, stores, clock, stopping } = options
  const letters = (await stores.progress.listDead(handler, pool.path)).filter((letter) => isDue(letter, times))
  const pauses = pausesOf(pool.path, options)
  for (const [i, letter] of letters.entries()) {
    if (stopping?.aborted || (i > 0 && clock.elapsed() >= deadline - MARGIN_MS) || (pauses.isDue() && (await pauses.look()))) return 0
    const block = await stores.blocks.find(pool.path, letter.seq)
    const entry = block && entryAt(block, letter.seq - block.first)
    if (!entry || !isRunnable(pool, entry, options)) continue // this version, or this handler, cannot run it: the letter stays
    const tried = { ...letter, attempts: letter.attempts + 1, at: Math.max(clock.now(), times.redrive ?? 0, times.redriveSome ?? 0) }
    if (receives > 1) await stores.progress.updateDead(handler, pool.path, tried) // counted before it is run: the process may have died in it
    const error = await call(pool, letter.seq, entry, options, state, tried.attempts, (thrown) => !isAway(thrown))
    if (error === undefined && state?.isChanged) await commitState(handler, pool.path, letter.seq, state, options)
    else if (error === undefined) await stores.progress.deleteDead(handler, pool.path, letter.seq)
    else if (isAway(error.thrown)) {
      if (receives > 1) await stores.progress.updateDead(handler, pool.path, letter)
      return backoff(receives, options.retryMs, options.retryMostMs)
    } else {
      options.report({ kind: 'given-up', handler, pool: pool.path, seq: letter.seq, error: error.thrown })
      await stores.progress.updateDead(handler, pool.path, { ...tried, error: errorText(error.thrown) })
    }
  }
  return undefined
}

/** The blocks from number `from` to the bell's. If the bell carries its block, that one is not read. */
async function* blocksUpTo(bell: Bell, from: number, { blocks: stored }: Pick<Stores, 'blocks'>): AsyncGenerator<Block> {
  const last = bell.block ? bell.n - 1 : bell.n
  for (let n = from; n <= last; ) {
    const blocks = await stored.read(bell.pool, n, Math.min(64, last - n + 1))
    if (blocks.length === 0) {
      const [later] = await stored.inspect(bell.pool, n, 1)
      if (later) throw stored.damaged(bell.pool, n, new Error('it is missing'))
      throw new OverpoolError('UNAVAILABLE', `block ${n} of "${bell.pool}" is not in the mirror`, { retryable: true })
    }
    yield* blocks
    n += blocks.length
  }
  if (bell.block && from <= bell.n) yield bell.block
}

/** The entries of a block. One that cannot be decoded was damaged before it had a checksum: it halts its pool. */
function readable(block: Block, pool: string, { stores }: RunnerOptions): Entry[] {
  try {
    return entriesOf(block)
  } catch (error) {
    throw stores.blocks.damaged(pool, block.n, error)
  }
}

/** Whether a service of the machine failed, such as the queue for a post. That is not the entry's fault, and counts as no attempt. */
function isAway(thrown: unknown): boolean {
  return thrown instanceof OverpoolError && thrown.code === 'UNAVAILABLE' && thrown.retryable
}

/** Errors that an operator or a restart ends, although the same call does not succeed by itself. */
const ENDS_LATER: ReadonlySet<string> = new Set<ErrorCode>(['POOL_HALTED', 'BLOCK_DAMAGED', 'CLOSED'])

/** Whether waiting does not help, such as for a loop that is too deep. */
function isFinal(thrown: unknown): boolean {
  return thrown instanceof OverpoolError && !thrown.retryable && !ENDS_LATER.has(thrown.code)
}

/** Whether what failed has nothing to do with this entry, and would be the same with all that follow. */
function isGone(thrown: unknown): boolean {
  return thrown instanceof OverpoolError && thrown.code === 'FORWARD_GONE'
}

/** How long the program that an entry was forwarded to asks to wait, ms. The broadcaster goes by the words of its services itself. */
function askedWait(thrown: unknown): number {
  if (!(thrown instanceof OverpoolError) || thrown.code !== 'FORWARD_FAILED') return 0
  return Math.min((thrown.retryAfterS ?? 0) * 1_000, MAX_ASKED_WAIT_MS)
}

function errorText(thrown: unknown): string {
  return textOf(thrown).slice(0, MAX_ERROR)
}
