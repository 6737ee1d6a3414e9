import type { Clock } from '../clock.ts'
import { encodeBell } from '../ledger/messages.ts'
import type { Queue } from '../queue/port.ts'
import type { Cursor, Mirror } from '../store/port.ts'

export interface Redriven {
  handler: string
  pool: string
  /** entries that the handler gave up, to be tried again once each */
  dead: number[]
  /** the entry where it had stopped (`onPoison: 'stop'`) */
  stoppedAt?: number
  /** it passes over that entry, which is kept as a dead letter */
  skipped: boolean
}

/**
 * Has a handler try again what it gave up in a pool, and go on where it stopped; with `skip` it only passes over the entry where it stopped.
 * The handler itself does it, when it hears the bell.
 */
export async function redrive(
  handler: string,
  pool: string,
  skip: boolean,
  { mirror, bells, clock }: { mirror: Mirror; bells: Queue; clock: Clock },
): Promise<Redriven> {
  const [cursor, letters, last] = await Promise.all([
    mirror.readCursor(handler, pool),
    mirror.listDead(handler, pool),
    mirror.lastBlock(pool),
  ])
  const { attempts, stopped } = cursor
  const next = stopped === undefined ? undefined : await nextEntry(cursor, pool, mirror)
  const nothing: Redriven = { handler, pool, dead: [], skipped: false }
  if (!last) return nothing
  if (skip) {
    if (stopped === undefined || !next) return nothing
    await mirror.putDead(handler, pool, { ...next, error: stopped, attempts, at: clock.now() })
    await mirror.writeCursor(handler, pool, { ...next, attempts: 0 })
  } else {
    if (stopped === undefined && !letters.length) return nothing
    // later than all of them, though the clock that they were written by may be ahead of this one
    await mirror.askRedrive(handler, pool, Math.max(clock.now(), ...letters.map(({ at }) => at + 1)))
  }
  await bells.send([{ body: encodeBell({ pool, n: last.n }), group: pool, dedupe: `${pool}:redrive:${clock.now()}` }])
  return {
    handler,
    pool,
    dead: skip ? [] : letters.map((letter) => letter.seq),
    ...(next && { stoppedAt: next.seq }),
    skipped: skip,
  }
}

/** The entry that a handler is at, and its block. In a peer's log numbers may be missing before it. */
export async function nextEntry(cursor: Cursor, pool: string, mirror: Mirror): Promise<{ seq: number; block: number } | undefined> {
  let from = cursor.block
  for (let blocks = await mirror.readBlocks(pool, from); blocks.length; blocks = await mirror.readBlocks(pool, from)) {
    for (const { n, first, count } of blocks) {
      if (first + count > cursor.seq + 1 && count) return { seq: Math.max(first, cursor.seq + 1), block: n }
      from = n + 1
    }
  }
  return undefined
}
