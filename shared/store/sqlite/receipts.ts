import { OverpoolError } from '../../errors.ts'
import { entriesOf } from '../../ledger/block.ts'
import { scanTransaction } from '../../transaction/index.ts'
import { MAX_RECEIPTS, type Receipt, type ReceiptKey, type Receipts } from '../receipts.ts'
import type { SqliteBlocks } from './blocks.ts'
import type { SqliteFile } from './file.ts'

interface Place {
  seq: number
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS receipts (pool INTEGER NOT NULL, key INTEGER NOT NULL, id INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (pool, key, id, seq)) WITHOUT ROWID;
`

/**
 * A receipt is kept as 48 bits of its key, 48 of its id and the sequence number, and is checked against the block it points to: the block holds the whole truth
 * already, and a small index stays fast when it grows.
 */
export class SqliteReceipts implements Receipts {
  readonly #file: SqliteFile
  readonly #blocks: SqliteBlocks
  readonly #poolNumbers = new Map<string, number>()

  constructor(file: SqliteFile, blocks: SqliteBlocks) {
    this.#file = file
    this.#blocks = blocks
    file.exec(SCHEMA)
  }

  async put(pool: string, receipts: Receipt[]): Promise<void> {
    // sorted, so that neighbours go into the same page of the index
    const rows = receipts.map(({ key, id, seq }) => ({ key: prefixOf(key), id: prefixOf(id), seq })).sort((a, b) => a.key - b.key)
    const number = this.#poolNumber(pool)
    if (number < 0) throw new OverpoolError('POOL_NOT_FOUND', `no pool named "${pool}" in this mirror`)
    await this.#file.write(() => {
      for (const { key, id, seq } of rows) this.#file.run('INSERT OR IGNORE INTO receipts VALUES (?, ?, ?, ?)', number, key, id, seq)
    }, 'ordered')
  }

  async find(pool: string, asked: ReceiptKey[]): Promise<(Receipt | undefined)[]> {
    const number = this.#poolNumber(pool)
    return asked.map(({ key, id }) => {
      const rows = this.#file.all<Place>(
        'SELECT seq FROM receipts WHERE pool = ? AND key = ? AND id = ? ORDER BY seq',
        number,
        prefixOf(key),
        prefixOf(id),
      )
      return this.#completed(pool, key, rows).find((receipt) => receipt.id === id)
    })
  }

  async ofTransaction(pool: string, txid: string): Promise<Receipt[]> {
    const rows = this.#file.all<Place>(
      'SELECT seq FROM receipts WHERE pool = ? AND key = ? ORDER BY seq LIMIT ?',
      this.#poolNumber(pool),
      prefixOf(txid),
      MAX_RECEIPTS,
    )
    return this.#completed(pool, txid, rows)
  }

  /** The receipts at these places whose key is whole, not only its prefix. */
  #completed(pool: string, key: string, places: Place[]): Receipt[] {
    return places.flatMap(({ seq }) => {
      const block = this.#blocks.holding(pool, seq)
      if (!block) return []
      const entry = entriesOf(block)[seq - block.first]!
      const txid = scanTransaction(entry.tx).txid
      return txid === key || entry.id === key ? [{ key, id: entry.id, txid, seq, block: block.n }] : []
    })
  }

  /** The row number of a pool: a receipt carries it instead of the name. */
  #poolNumber(pool: string): number {
    let number = this.#poolNumbers.get(pool)
    if (number === undefined) {
      number = this.#file.get<{ rowid: number }>('SELECT rowid FROM pools WHERE path = ?', pool)?.rowid ?? -1
      if (number >= 0) this.#poolNumbers.set(pool, number)
    }
    return number
  }
}

/** The first 48 bits of a key: the most that a JavaScript number and six bytes of SQLite hold exactly. */
function prefixOf(key: string): number {
  return Number.parseInt(key.slice(0, 12), 16)
}
