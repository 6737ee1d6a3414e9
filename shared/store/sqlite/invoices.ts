import type { Invoice, InvoiceClaim, WatchedInvoice } from '../../invoice/invoice.ts'
import { type Expiry, type InvoiceRecord, type Invoices, MAX_INVOICES, MAX_OTHERS, type OtherPayment, type Standing } from '../invoices.ts'
import type { SqliteFile } from './file.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS invoices (pool TEXT NOT NULL, id TEXT NOT NULL, invoice TEXT, claim TEXT, cancelledAt INTEGER, PRIMARY KEY (pool, id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS invoice_payments (
    pool TEXT NOT NULL, id TEXT NOT NULL, entry TEXT NOT NULL, payment TEXT NOT NULL, PRIMARY KEY (pool, id, entry)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS invoice_ids (pool TEXT NOT NULL, of TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (pool, of)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS invoice_keys (next INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS invoice_expiries (at INTEGER NOT NULL, pool TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (at, pool, id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS invoice_watches (n INTEGER PRIMARY KEY AUTOINCREMENT, watched TEXT NOT NULL UNIQUE);
`

/** One that may be decided: the last value is the claim that does not count. */
const UNDECIDED = 'pool = ? AND id = ? AND (claim IS NULL OR claim = ?) AND cancelledAt IS NULL'
/** The last value is the claim that does not count. */
const CLAIM = `INSERT INTO invoices (pool, id, invoice, claim) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET invoice = coalesce(invoice, excluded.invoice),
  claim = iif(cancelledAt IS NULL AND (claim IS NULL OR claim = ?), excluded.claim, claim) RETURNING *`

interface Row {
  id: string
  invoice: string | null
  claim: string | null
  cancelledAt: number | null
}

/** Invoices as rows, and the payments that have not turned them to paid as rows of their own. */
export class SqliteInvoices implements Invoices {
  readonly #file: SqliteFile

  constructor(file: SqliteFile) {
    this.#file = file
    file.exec(SCHEMA)
  }

  nextKey(): Promise<number> {
    return this.#file.write(() => {
      const next = this.#file.get<{ next: number }>('SELECT next FROM invoice_keys')?.next ?? 0
      this.#file.run(next === 0 ? 'INSERT INTO invoice_keys VALUES (1)' : 'UPDATE invoice_keys SET next = next + 1')
      return next
    })
  }

  async make(invoice: Invoice): Promise<void> {
    const sql =
      'INSERT INTO invoices (pool, id, invoice) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET invoice = excluded.invoice WHERE invoice IS NULL'
    await this.#file.write(() => this.#file.run(sql, invoice.pool, invoice.id, JSON.stringify(invoice)))
  }

  claim(pool: string, id: string, claim: InvoiceClaim, invoice: Invoice | undefined, refused?: InvoiceClaim): Promise<Standing> {
    const [ours, kept] = [JSON.stringify(claim), invoice === undefined ? null : JSON.stringify(invoice)]
    return this.#file.write(() => {
      const row = this.#file.get<Row>(CLAIM, pool, id, kept, ours, JSON.stringify(refused ?? null))!
      return row.claim === ours ? { claim } : standingOf(row)
    })
  }

  use(pool: string, money: string, id: string, freed?: string): Promise<string> {
    return this.#first(pool, `money ${money}`, id, freed)
  }

  named(pool: string, name: string, id: string): Promise<string> {
    return this.#first(pool, `name ${name}`, id)
  }

  #first(pool: string, of: string, id: string, freed?: string): Promise<string> {
    return this.#file.write(() => {
      if (freed !== undefined) this.#file.run('UPDATE invoice_ids SET id = ? WHERE pool = ? AND of = ? AND id = ?', id, pool, of, freed)
      this.#file.run('INSERT OR IGNORE INTO invoice_ids VALUES (?, ?, ?)', pool, of, id)
      return this.#idOf(pool, of)!
    })
  }

  async idOf(pool: string, name: string): Promise<string | undefined> {
    return this.#idOf(pool, `name ${name}`)
  }

  #idOf(pool: string, of: string): string | undefined {
    return this.#file.get<{ id: string }>('SELECT id FROM invoice_ids WHERE pool = ? AND of = ?', pool, of)?.id
  }

  note(pool: string, id: string, payment: OtherPayment): Promise<OtherPayment> {
    return this.#file.write(() => {
      this.#file.run('INSERT OR IGNORE INTO invoice_payments VALUES (?, ?, ?, ?)', pool, id, payment.entry, JSON.stringify(payment))
      const sql = 'SELECT payment FROM invoice_payments WHERE pool = ? AND id = ? AND entry = ?'
      return JSON.parse(this.#file.get<{ payment: string }>(sql, pool, id, payment.entry)!.payment) as OtherPayment
    })
  }

  cancel(pool: string, id: string, at: number, refused?: InvoiceClaim): Promise<Standing> {
    return this.#file.write(() => {
      this.#file.run(`UPDATE invoices SET cancelledAt = ? WHERE ${UNDECIDED}`, at, pool, id, JSON.stringify(refused ?? null))
      return this.#standing(pool, id)
    })
  }

  async standings(pool: string, ids: string[]): Promise<Standing[]> {
    if (ids.length === 1) return [this.#standing(pool, ids[0]!)]
    const sql = 'SELECT * FROM invoices WHERE pool = ? AND id IN (SELECT value FROM json_each(?))'
    const found = new Map(this.#file.all<Row>(sql, pool, JSON.stringify(ids)).map((row) => [row.id, standingOf(row)]))
    return ids.map((id) => found.get(id) ?? {})
  }

  #standing(pool: string, id: string): Standing {
    const row = this.#file.get<Row>('SELECT * FROM invoices WHERE pool = ? AND id = ?', pool, id)
    return row ? standingOf(row) : {}
  }

  async find(pool: string, id: string): Promise<InvoiceRecord | undefined> {
    const row = this.#file.get<Row>('SELECT * FROM invoices WHERE pool = ? AND id = ?', pool, id)
    return row && this.#record(pool, row)
  }

  async watch(watched: WatchedInvoice): Promise<void> {
    await this.#file.write(() => this.#file.run('INSERT OR IGNORE INTO invoice_watches (watched) VALUES (?)', JSON.stringify(watched)))
  }

  async watched(after?: string): Promise<{ watched: WatchedInvoice[]; place: string | undefined }> {
    const sql = 'SELECT n, watched FROM invoice_watches WHERE n > ? ORDER BY n'
    const rows = this.#file.all<{ n: number; watched: string }>(sql, Number(after ?? 0))
    const watched = rows.map((row) => JSON.parse(row.watched) as WatchedInvoice)
    return { watched, place: rows.at(-1)?.n.toString() ?? after }
  }

  async unwatch(watched: WatchedInvoice[]): Promise<void> {
    await this.#file.write(() => {
      for (const one of watched) this.#file.run('DELETE FROM invoice_watches WHERE watched = ?', JSON.stringify(one))
    })
  }

  async list(pool: string, after = ''): Promise<InvoiceRecord[]> {
    const sql = 'SELECT * FROM invoices WHERE pool = ? AND id > ? AND invoice IS NOT NULL ORDER BY id LIMIT ?'
    return this.#file.all<Row>(sql, pool, after, MAX_INVOICES).flatMap((row) => this.#record(pool, row) ?? [])
  }

  async noteExpiry({ pool, id, at }: Expiry): Promise<void> {
    await this.#file.write(() => this.#file.run('INSERT OR IGNORE INTO invoice_expiries VALUES (?, ?, ?)', at, pool, id))
  }

  async expired(before: number, { at, pool, id }: Expiry = { at: 0, pool: '', id: '' }): Promise<Expiry[]> {
    const sql = 'SELECT at, pool, id FROM invoice_expiries WHERE at < ? AND (at, pool, id) > (?, ?, ?) ORDER BY at, pool, id LIMIT ?'
    return this.#file.all<Expiry>(sql, before, at, pool, id, MAX_INVOICES)
  }

  async forgetExpiry({ pool, id, at }: Expiry): Promise<void> {
    await this.#file.write(() => this.#file.run('DELETE FROM invoice_expiries WHERE at = ? AND pool = ? AND id = ?', at, pool, id))
  }

  #record(pool: string, row: Row): InvoiceRecord | undefined {
    if (row.invoice === null) return undefined
    const rows = this.#file.all<{ payment: string }>(
      'SELECT payment FROM invoice_payments WHERE pool = ? AND id = ? LIMIT ?',
      pool,
      row.id,
      MAX_OTHERS,
    )
    const others = rows.map(({ payment }) => JSON.parse(payment) as OtherPayment).sort((one, other) => one.at - other.at)
    return { invoice: JSON.parse(row.invoice) as Invoice, ...standingOf(row), others }
  }
}

function standingOf({ claim, cancelledAt }: Row): Standing {
  return { ...(claim !== null && { claim: JSON.parse(claim) as InvoiceClaim }), ...(cancelledAt !== null && { cancelledAt }) }
}
