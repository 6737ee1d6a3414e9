import { type Cursor, type DeadLetter, type Move, NO_CURSOR, type Progress } from '../progress.ts'
import type { StateCommit } from '../state.ts'
import { PARTITION } from './partitions.ts'
import { cursorKey, type DynamoState } from './state.ts'
import { attributesOf, type Item, type Key, number, type Table, text, valuesOf } from './table.ts'

/** An item without `seq` was made by `askRedrive`. */
const cursorGoesOn = 'attribute_not_exists(#seq) OR #seq <= :seq'
const noLaterRedrive = 'attribute_not_exists(#redrive) OR #redrive < :redrive'
/** The end of a redrive does not undo a later request. */
const askedUpTo = '#redrive <= :at'

/** A commit moves the cursor from where its run left it: a run that was overtaken comes too late. */
const cursorStandsThere = '#seq = :from'
const nothingIsFinished = '(attribute_not_exists(#seq) OR #seq = :from)'

const letterIsThere = 'attribute_exists(pk)'

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

  async askRedrive(handler: string, pool: string, at: number): Promise<void> {
    await this.#table.update(cursorKey(handler, pool), attributesOf({ redrive: at }), noLaterRedrive)
  }

  async endRedrive(handler: string, pool: string, at: number): Promise<void> {
    await this.#table.update(cursorKey(handler, pool), attributesOf({ redrive: undefined }), askedUpTo, { ':at': number(at) })
  }

  async listHandlers(pool: string): Promise<string[]> {
    const pages = await Array.fromAsync(this.#table.pages(cursorKey('', pool).pk))
    return pages.flat().map(({ sk }) => sk!.S!)
  }

  async putDead(handler: string, pool: string, letter: DeadLetter): Promise<void> {
    await this.#table.put(letterItem(handler, pool, letter))
  }

  async updateDead(handler: string, pool: string, letter: DeadLetter): Promise<void> {
    await this.#table.put(letterItem(handler, pool, letter), letterIsThere)
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
