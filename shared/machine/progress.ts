import { parallel } from '../aws/call.ts'
import type { Clock } from '../clock.ts'
import { handlerNotFound, OverpoolError } from '../errors.ts'
import { encodeBell } from '../ledger/messages.ts'
import type { Queue } from '../queue/port.ts'
import type { Stores } from '../store/port.ts'
import type { Cursor, DeadLetter } from '../store/progress.ts'

/** How many dead letters are deleted at a time. */
const DROPPED_TOGETHER = 16

export interface RedriveOptions extends Selection {
  /** only this handler */
  handler?: string
  /** pass over the entry where a handler stopped */
  skip?: boolean
  /** delete the dead letters instead */
  drop?: boolean
}

export interface Redriven {
  handler: string
  pool: string
  /** entries that the handler gave up; each is tried once more */
  dead: number[]
  /** the entry where it stopped (`onPoison: 'stop'`) */
  stoppedAt?: number
  /** it passes over that entry, which becomes a dead letter */
  skipped: boolean
  /** the entries in `dead` are not tried again: their dead letters were deleted */
  dropped: boolean
  /** why it is paused, if it is: it does all this when it is unpaused */
  paused?: string
}

/** Some of a handler's dead letters in a pool; a field that is left out excludes none. */
export interface Selection {
  /** those whose error contains this text */
  error?: string
  /** those from this entry on */
  from?: number
  /** those up to and with this entry */
  to?: number
}

interface ProgressPorts {
  stores: Stores
  bells: Queue
  clock: Clock
}

/** Why a handler is paused, characters. */
const MAX_REASON = 1_000

/** The queue of the bells of a handler that has worked on a pool. @throws OverpoolError HANDLER_NOT_FOUND */
export async function bellsOf(
  handler: string,
  pool: string,
  { stores, bells }: { stores: Pick<Stores, 'progress'>; bells: (handler: string) => Queue | undefined },
): Promise<Queue> {
  const known = await stores.progress.listHandlers(pool)
  const queue = known.includes(handler) ? bells(handler) : undefined
  if (queue) return queue
  throw handlerNotFound(handler, pool, known)
}

/** Rings for a handler, so that it looks at the pool again. @param why makes the bell another one than those of the writer */
async function ring(pool: string, last: number, why: string, { bells, clock }: Pick<ProgressPorts, 'bells' | 'clock'>): Promise<void> {
  await bells.send([{ body: encodeBell({ pool, n: last }), group: pool, dedupe: `${pool}:${why}:${clock.now()}` }])
}

/** Pauses a handler in a pool: it finishes the entry under way, and is called with no further one until it is unpaused, also after a restart. */
export async function pause(handler: string, pool: string, reason: string, { stores, clock }: Omit<ProgressPorts, 'bells'>): Promise<void> {
  await stores.progress.setPaused(handler, pool, { reason: reason.toWellFormed().slice(0, MAX_REASON), at: clock.now() })
}

/** Has a paused handler go on where it is. @returns whether it was paused */
export async function unpause(handler: string, pool: string, { stores, bells, clock }: ProgressPorts): Promise<boolean> {
  const { paused } = await stores.progress.readCursor(handler, pool)
  await stores.progress.setPaused(handler, pool, undefined)
  const last = await stores.blocks.last(pool)
  if (last) await ring(pool, last.n, 'unpause', { bells, clock })
  return paused !== undefined
}

/** Whether a dead letter is one of the selection. */
function isIn({ error, from = 0, to = Number.POSITIVE_INFINITY }: Selection, letter: DeadLetter): boolean {
  return letter.seq >= from && letter.seq <= to && (error === undefined || letter.error.includes(error))
}

/**
 * Asks a handler to retry what it gave up in a pool, and to go on where it stopped. With `skip` it only passes over the entry where it stopped. With a selection it
 * only retries these dead letters. The runner does so at the bell that this sends.
 */
export async function redrive(
  handler: string,
  pool: string,
  { skip, only }: { skip: boolean; only?: Selection },
  { stores, bells, clock }: ProgressPorts,
): Promise<Redriven> {
  const [cursor, all, last] = await Promise.all([
    stores.progress.readCursor(handler, pool),
    stores.progress.listDead(handler, pool),
    stores.blocks.last(pool),
  ])
  const letters = only ? all.filter((letter) => isIn(only, letter)) : all
  const { attempts, paused } = cursor
  const stopped = only ? undefined : cursor.stopped
  const next = stopped === undefined ? undefined : await nextEntry(cursor, pool, stores)
  const nothing: Redriven = { handler, pool, dead: [], skipped: false, dropped: false, ...(paused !== undefined && { paused }) }
  if (!last) return nothing
  if (skip) {
    if (stopped === undefined || !next) return nothing
    // A run that begins at the same time must not count the entry as well: one of the two comes too late.
    const at = clock.now()
    const version = await stores.state.open(handler, pool, cursor)
    const moved = { from: cursor.seq, to: { ...next, attempts: 0 }, givenUp: { ...next, error: stopped, attempts, at } }
    if (!(await stores.progress.commit(handler, pool, moved, { scope: pool, version, changes: [], at }))) return nothing
  } else {
    if (stopped === undefined && !letters.length) return nothing
    // later than all letters, even if the clock that wrote them was ahead of this one
    const at = letters.reduce((latest, letter) => Math.max(latest, letter.at + 1), clock.now())
    await stores.progress.askRedrive(handler, pool, at, only && letters.map(({ seq }) => seq))
  }
  await ring(pool, last.n, 'redrive', { bells, clock })
  return {
    ...nothing,
    dead: skip ? [] : letters.map((letter) => letter.seq),
    ...(next && { stoppedAt: next.seq }),
    skipped: skip,
  }
}

/**
 * Asks handlers to retry what they gave up in a pool, or to go on where they stopped; with `skip` they pass over the entry where they stopped. With `drop` they retry
 * nothing: the dead letters are deleted. With `error`, `from` or `to` only these dead letters are retried or deleted, and a handler that stopped stays where it is.
 * @param handler only this one, HANDLER_NOT_FOUND if there is none; default: all that have worked on the pool
 */
export async function redriveAll(
  pool: string,
  { handler, skip = false, drop = false, ...selection }: RedriveOptions,
  { stores, bells, clock }: { stores: Stores; bells: (handler: string) => Queue | undefined; clock: Clock },
): Promise<Redriven[]> {
  const only = Object.values(selection).some((value) => value !== undefined) ? selection : undefined
  if (skip && only)
    throw new OverpoolError('BAD_ARGUMENT', 'skip applies only to the entry where a handler stopped: leave out the selection of entries')
  if (skip && drop)
    throw new OverpoolError('BAD_ARGUMENT', 'skip goes on without the next entry, drop forgets earlier entries: choose one of the two')
  const names = await stores.progress.listHandlers(pool)
  const known = names.filter((name) => drop || bells(name)) // a handler that is no longer deployed has no queue, but may have left dead letters
  const asked = known.filter((name) => handler === undefined || name === handler)
  if (handler !== undefined && !asked.length) throw handlerNotFound(handler, pool, known)
  const redriven: Redriven[] = []
  for (const name of asked)
    redriven.push(
      await (drop ? dropDead(name, pool, only ?? {}, stores) : redrive(name, pool, { skip, only }, { stores, bells: bells(name)!, clock })),
    )
  return redriven
}

/** Deletes dead letters of a handler in a pool: their entries stay in the ledger, and are not tried again. @param only which; default: all */
async function dropDead(handler: string, pool: string, only: Selection, { progress }: Pick<Stores, 'progress'>): Promise<Redriven> {
  const dead = (await progress.listDead(handler, pool)).filter((letter) => isIn(only, letter)).map(({ seq }) => seq)
  await parallel(dead, DROPPED_TOGETHER, (seq) => progress.deleteDead(handler, pool, seq))
  return { handler, pool, dead, skipped: false, dropped: dead.length > 0 }
}

/** The next entry of a handler, and its block. A peer's log may lack numbers before it. */
export async function nextEntry(cursor: Cursor, pool: string, stores: Stores): Promise<{ seq: number; block: number } | undefined> {
  let from = cursor.block
  for (let blocks = await stores.blocks.read(pool, from); blocks.length; blocks = await stores.blocks.read(pool, from)) {
    for (const { n, first, count } of blocks) {
      if (first + count > cursor.seq + 1 && count) return { seq: Math.max(first, cursor.seq + 1), block: n }
      from = n + 1
    }
  }
  return undefined
}
