import { parallel } from '../../aws/call.ts'
import { type Cursor, type DeadLetter, NO_CURSOR, type Progress } from '../progress.ts'
import { PARTITION } from './partitions.ts'
import { attributesOf, type Key, number, type Table, text, valuesOf } from './table.ts'

/** An item without `seq` was made by `askRedrive`. */
const cursorGoesOn = 'attribute_not_exists(#seq) OR #seq <= :seq'
const noLaterRedrive = (field: string) => `attribute_not_exists(#${field}) OR #${field} < :${field}`
/** The end of a redrive does not undo a later request. */
const askedUpTo = (field: string) => `#${field} <= :at`
/** A letter that was retried meanwhile is not made anew. */
const letterIsThere = 'attribute_exists(pk)'

/** Dead letters that are marked at a time. */
const MARKED_TOGETHER = 16

/** Cursors as items of `cursor#<path>`, dead letters as items of `dead#<path>#<handler>`. */
export class DynamoProgress implements Progress {
  readonly #table: Table

  constructor(table: Table) {
    this.#table = table
  }

  async readCursor(handler: string, pool: string): Promise<Cursor> {
    const item = await this.#table.get(cursorKey(handler, pool))
    if (!item) return NO_CURSOR
    return { ...NO_CURSOR, ...valuesOf(item) }
  }

  async writeCursor(handler: string, pool: string, { seq, block, attempts, begun, stopped }: Cursor): Promise<void> {
    await this.#table.update(cursorKey(handler, pool), attributesOf({ seq, block, attempts, begun, stopped }), cursorGoesOn)
  }

  async askRedrive(handler: string, pool: string, at: number, seqs?: readonly number[]): Promise<void> {
    await parallel(seqs ?? [], MARKED_TOGETHER, (seq) =>
      this.#table.update(deadKey(handler, pool, seq), attributesOf({ asked: at }), letterIsThere),
    )
    const field = seqs ? 'redriveSome' : 'redrive'
    await this.#table.update(cursorKey(handler, pool), attributesOf({ [field]: at }), noLaterRedrive(field))
  }

  async endRedrive(handler: string, pool: string, done: Pick<Cursor, 'redrive' | 'redriveSome'>): Promise<void> {
    for (const field of ['redrive', 'redriveSome'] as const) {
      const at = done[field]
      if (at === undefined) continue
      await this.#table.update(cursorKey(handler, pool), attributesOf({ [field]: undefined }), askedUpTo(field), { ':at': number(at) })
    }
  }

  async setPaused(handler: string, pool: string, paused: { reason: string; at: number } | undefined): Promise<void> {
    await this.#table.update(cursorKey(handler, pool), attributesOf({ paused: paused?.reason, pausedAt: paused?.at }))
  }

  async listHandlers(pool: string): Promise<string[]> {
    const pages = await Array.fromAsync(this.#table.pages(cursorKey('', pool).pk))
    return pages.flat().map(({ sk }) => sk!.S!)
  }

  async putDead(handler: string, pool: string, letter: DeadLetter): Promise<void> {
    await this.#table.put({ ...deadKey(handler, pool, letter.seq), ...attributesOf(letter) })
  }

  async listDead(handler: string, pool: string): Promise<DeadLetter[]> {
    const pages = await Array.fromAsync(this.#table.pages(deadKey(handler, pool, 0).pk))
    return pages.flat().map((item) => valuesOf(item) as unknown as DeadLetter)
  }

  async deleteDead(handler: string, pool: string, seq: number): Promise<void> {
    await this.#table.delete(deadKey(handler, pool, seq))
  }

  /** Sets a cursor back after the mirror was shortened (`Control.beginAnew`). */
  async setBack(handler: string, pool: string, { seq, block, attempts }: Cursor): Promise<void> {
    await this.#table.update(cursorKey(handler, pool), attributesOf({ seq, block, attempts, begun: undefined, stopped: undefined }))
  }
}

/** By pool, so that one query lists the handlers of a pool. */
function cursorKey(handler: string, pool: string): Key {
  return { pk: text(PARTITION.cursor + pool), sk: text(handler) }
}

function deadKey(handler: string, pool: string, seq: number): Key {
  return { pk: text(`${PARTITION.dead}${pool}#${handler}`), sk: text(String(seq).padStart(16, '0')) }
}
