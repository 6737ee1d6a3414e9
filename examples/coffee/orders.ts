import { randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { PRICES } from './prices.ts'

export interface Order {
  id: string
  /** such as "2 × Flat white" */
  items: string
  satoshis: number
  /** where it is paid */
  invoice: string | null
  /** the transaction that has paid it */
  txid: string | null
}

/** The shop's own database. The website writes orders into it, and the handler marks them as paid. */
export class Orders {
  readonly #db: DatabaseSync

  constructor(file: string) {
    this.#db = new DatabaseSync(file)
    this.#db.exec(
      'PRAGMA journal_mode = wal; CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, items TEXT, satoshis INTEGER, invoice TEXT, txid TEXT, at INTEGER)',
    )
  }

  /** Takes an order; undefined if it has nothing that the shop sells. @param counts how many of each item */
  place(counts: Record<string, number>): Order | undefined {
    const lines = Object.entries(counts).filter(
      ([item, count]) => Object.hasOwn(PRICES, item) && Number.isInteger(count) && count > 0 && count < 100,
    )
    if (!lines.length) return undefined
    const items = lines.map(([item, count]) => `${count} × ${item}`).join(', ')
    const satoshis = lines.reduce((sum, [item, count]) => sum + count * PRICES[item]!, 0)
    const order = { id: randomUUID(), items, satoshis, invoice: null, txid: null }
    this.#db.prepare('INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)').run(order.id, items, satoshis, null, null, Date.now())
    return order
  }

  bill(id: string, invoice: string): void {
    this.#db.prepare('UPDATE orders SET invoice = ? WHERE id = ?').run(invoice, id)
  }

  /** Marks an order as paid. A handler may be called twice: the first payment stays. @returns whether it was not paid before */
  markPaid(id: string, txid: string): boolean {
    return this.#db.prepare('UPDATE orders SET txid = ? WHERE id = ? AND txid IS NULL').run(txid, id).changes === 1
  }

  get(id: string): Order | undefined {
    return this.#db.prepare('SELECT id, items, satoshis, invoice, txid FROM orders WHERE id = ?').get(id) as Order | undefined
  }

  /** The newest first. */
  list(): Order[] {
    return this.#db.prepare('SELECT id, items, satoshis, invoice, txid FROM orders ORDER BY at DESC LIMIT 50').all() as unknown as Order[]
  }

  close(): void {
    this.#db.close()
  }
}
