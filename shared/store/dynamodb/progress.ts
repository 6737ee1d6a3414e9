import { parallel } from '../../aws/call.ts'
import { type Cursor, type DeadLetter, type Move, NO_CURSOR, type Progress } from '../progress.ts'
import type { StateCommit } from '../state.ts'
import { PARTITION } from './partitions.ts'
import { cursorKey, type DynamoState } from './state.ts'
import { attributesOf, type Item, type Key, number, type Table, text, valuesOf } from './table.ts'

/** An item without `seq` was made by `askRedrive`. */
const cursorGoesOn = 'attribute_not_exists(#seq) OR #seq <= :seq'
const noLaterRedrive = (field: string) => `attribute_not_exists(#${field}) OR #${field} < :${field}`
/** The end of a redrive does not undo a later request. */
const askedUpTo = (field: string) => `#${field} <= :at`
/** A letter that was retried meanwhile is not made anew. */
const letterIsThere = 'attribute_exists(pk)'

/** Dead letters that are marked at a time. */
const MARKED_TOGETHER = 16

/** A commit moves the cursor from where its run left it: a run that was overtaken comes too late. */
const cursorStandsThere = '#seq = :from'
const nothingIsFinished = '(attribute_not_exists(#seq) OR #seq = :from)'

/** Cursors as items of `cursor#<path>`, dead letters as items of `dead#<path>#<handler>`. */
export class DynamoProgress implements Progress {
  readonly #table: Table
  readonly #state: DynamoState

  constructor(table: Table, state: DynamoState) {
    this.#table = table
    this.#state = state
  }

  async readCursor(handler: string, pool: string): Promise<Cursor> {
    const item = await this.#table.get(cursorKey(handler, pool))
    if (!item) return NO_CURSOR
    const { pending, ...fields } = item
    const cursor: Cursor = { ...NO_CURSOR, ...valuesOf(fields) }
    return pending?.B ? { ...cursor, unfinished: pending.B } : cursor
  }

  async writeCursor(handler: string, pool: string, cursor: Cursor): Promise<void> {
    const fields = attributesOf(fieldsOf(cursor))
    // The last commit is finished, and not needed any more. With it the item would cost a write unit for each KB.
    const version = this.#state.finished(handler, pool)
    if (version !== undefined) {
      const shorter = { ...fields, version: number(version), pending: undefined }
      if (await this.#table.update(cursorKey(handler, pool), shorter, `(${cursorGoesOn}) AND #version = :version`)) return
    }
    await this.#table.update(cursorKey(handler, pool), fields, cursorGoesOn)
  }

  async commit(handler: string, pool: string, of: Move | number | undefined, state: StateCommit): Promise<boolean> {
    const move = typeof of === 'object' ? of : undefined
    const handled = typeof of === 'number' ? [of] : (of?.handled ?? [])
    const dead = handled.map((seq) => deadKey(handler, pool, seq))
    const givenUp = typeof of === 'object' && of.givenUp ? letterItem(handler, pool, of.givenUp) : undefined
    const after = { dead, ...(givenUp && { givenUp }) }
    // The scope of one pool has its version in the item of the cursor, so that one write moves both.
    if (state.scope !== pool || !move)
      return this.#state.commit(handler, state, { ...after, ...(move && { pool, cursor: fieldsOf(move.to) }) })
    return this.#state.commit(handler, state, after, {
      fields: attributesOf(fieldsOf(move.to)),
      condition: move.from < 0 ? nothingIsFinished : cursorStandsThere,
      values: { ':from': number(move.from) },
    })
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
    await this.#table.put(letterItem(handler, pool, letter))
  }

  async updateDead(handler: string, pool: string, letter: DeadLetter): Promise<void> {
    const { error, attempts, at } = letter
    await this.#table.update(deadKey(handler, pool, letter.seq), attributesOf({ error, attempts, at }), letterIsThere)
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

/** What is written of a cursor. */
function fieldsOf({ seq, block, attempts, begun, stopped }: Cursor) {
  return { seq, block, attempts, begun, stopped }
}

function letterItem(handler: string, pool: string, letter: DeadLetter): Item {
  return { ...deadKey(handler, pool, letter.seq), ...attributesOf(letter) }
}

function deadKey(handler: string, pool: string, seq: number): Key {
  return { pk: text(`${PARTITION.dead}${pool}#${handler}`), sk: text(String(seq).padStart(16, '0')) }
}
