import { type Cursor, type DeadLetter, NO_CURSOR, type Progress } from '../progress.ts'
import { PARTITION } from './partitions.ts'
import { attributesOf, type Key, number, type Table, text, valuesOf } from './table.ts'

/** An item without `seq` was made by `askRedrive`. */
const cursorGoesOn = 'attribute_not_exists(#seq) OR #seq <= :seq'
const noLaterRedrive = 'attribute_not_exists(#redrive) OR #redrive < :redrive'
/** The end of a redrive does not undo a later request. */
const askedUpTo = '#redrive <= :at'

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
