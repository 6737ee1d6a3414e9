import { OverpoolError } from '../../errors.ts'
import { type Block, entryReader } from '../../ledger/block.ts'
import type { Entry } from '../../ledger/kinds.ts'
import { scanTransaction } from '../../transaction/index.ts'
import { MAX_RECEIPTS, type Receipt, type ReceiptKey, type Receipts } from '../receipts.ts'
import type { SqliteBlocks } from './blocks.ts'
import type { SqliteFile } from './file.ts'

interface Place {
  seq: number
}

/** The block that one call read last: receipts looked for together mostly lie in one block. */
interface Read {
  block?: Block
  entry?: (i: number) => Entry | undefined
}

/** How many receipts one statement looks for. */
const AT_ONCE = 32
const PLACES_OF_ONE = placesOf(1)
const PLACES_OF_MANY = placesOf(AT_ONCE)

function placesOf(count: number): string {
  const values = new Array(count).fill('(?, ?, ?)').join(', ')
  return `WITH wanted (i, key, id) AS (VALUES ${values}) SELECT i, seq FROM wanted CROSS JOIN receipts r ON r.pool = ? AND r.key = wanted.key AND r.id = wanted.id`
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS receipts (pool INTEGER NOT NULL, key INTEGER NOT NULL, id INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (pool, key, id, seq)) WITHOUT ROWID;
`

/**
 * A receipt is stored as 48 bits of its key, 48 of its id and the sequence number, and is checked against its block, which has the whole values. So the index stays
 * small, and fast when it grows.
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

  async find(pool: string, asked: (ReceiptKey | Receipt)[]): Promise<(Receipt | undefined)[]> {
    const number = this.#poolNumber(pool)
    const found = new Array<Receipt | undefined>(asked.length)
    const read: Read = {}
    // In the order of entries, so that each block is read once.
    for (const { i, seq } of this.#places(number, asked).sort((a, b) => a.seq - b.seq)) {
      if (found[i]) continue
      const one = asked[i]!
      // The caller has read this very entry: its block need not be read again.
      if ('seq' in one && one.seq === seq) {
        found[i] = one
        continue
      }
      const receipt = this.#completed(pool, one.key, seq, read)
      if (receipt?.id === one.id) found[i] = receipt
    }
    return found
  }

  /** The places of receipts with these prefixes. One statement looks for many: the call costs more than the look-up. */
  #places(pool: number, asked: ReceiptKey[]): (Place & { i: number })[] {
    const values = asked.map(({ key, id }, i) => [i, prefixOf(key), prefixOf(id)] as const)
    const whole = values.length - (values.length % AT_ONCE)
    const places = values.slice(whole).flatMap((value) => this.#file.all<Place & { i: number }>(PLACES_OF_ONE, ...value, pool))
    for (let from = 0; from < whole; from += AT_ONCE)
      places.push(...this.#file.all<Place & { i: number }>(PLACES_OF_MANY, ...values.slice(from, from + AT_ONCE).flat(), pool))
    return places
  }

  async ofTransaction(pool: string, txid: string): Promise<Receipt[]> {
    const read: Read = {}
    return this.#placesOf(pool, txid).flatMap(({ seq }) => this.#completed(pool, txid, seq, read) ?? [])
  }

  async oldest(pool: string, txids: string[]): Promise<(Receipt | undefined)[]> {
    const found = new Array<Receipt | undefined>(txids.length)
    const read: Read = {}
    const places = txids.flatMap((txid, i) => this.#placesOf(pool, txid).map(({ seq }) => ({ i, seq })))
    // In the order of entries, so that each block is read once.
    for (const { i, seq } of places.sort((a, b) => a.seq - b.seq)) found[i] ??= this.#completed(pool, txids[i]!, seq, read)
    return found
  }

  #placesOf(pool: string, txid: string): Place[] {
    const sql = 'SELECT seq FROM receipts WHERE pool = ? AND key = ? ORDER BY seq LIMIT ?'
    return this.#file.all<Place>(sql, this.#poolNumber(pool), prefixOf(txid), MAX_RECEIPTS)
  }

  /** The receipt of the entry at this place. Undefined if only the prefix of the key is equal. */
  #completed(pool: string, key: string, seq: number, read: Read): Receipt | undefined {
    if (!read.block || seq < read.block.first || seq >= read.block.first + read.block.count) {
      read.block = this.#blocks.holding(pool, seq)
      read.entry = read.block && entryReader(read.block)
    }
    const { block } = read
    const entry = block && read.entry!(seq - block.first)
    if (!entry) return undefined
    const txid = entry.kind === 'tx' ? scanTransaction(entry.tx).txid : undefined
    if (txid !== key && entry.id !== key) return undefined
    return { key, id: entry.id, ...(txid !== undefined && { txid }), seq, block: block.n }
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
