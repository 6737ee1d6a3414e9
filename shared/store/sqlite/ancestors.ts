import { hexBytes } from '../../ledger/values.ts'
import type { Ancestor } from '../../transaction/index.ts'
import { type Ancestors, MAX_PROOFS } from '../ancestors.ts'
import type { SqliteFile } from './file.ts'

/** `part`: `tx`, `spent`, or the root of a proof. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS ancestors (txid BLOB NOT NULL, part TEXT NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (txid, part));
`

/** What came along with payments as rows, a part of a transaction each. */
export class SqliteAncestors implements Ancestors {
  readonly #file: SqliteFile

  constructor(file: SqliteFile) {
    this.#file = file
    file.exec(SCHEMA)
  }

  async put(ancestors: Ancestor[]): Promise<void> {
    await this.#file.write(() => {
      for (const { txid, tx, proof, spent } of ancestors) {
        if (tx) this.#put(txid, 'tx', tx)
        if (proof) this.#put(txid, proof.root, proof.bump)
        if (spent) this.#put(txid, 'spent', spent)
      }
    })
  }

  #put(txid: string, part: string, bytes: Uint8Array): void {
    this.#file.run(
      'INSERT INTO ancestors VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bytes = excluded.bytes WHERE bytes <> excluded.bytes',
      hexBytes(txid),
      part,
      bytes,
    )
  }

  async transaction(txid: string): Promise<Uint8Array | undefined> {
    return this.#get(txid, 'tx')
  }

  async spent(txid: string): Promise<Uint8Array | undefined> {
    return this.#get(txid, 'spent')
  }

  async proofs(txid: string): Promise<Uint8Array[]> {
    const sql = "SELECT bytes FROM ancestors WHERE txid = ? AND part NOT IN ('tx', 'spent') ORDER BY part LIMIT ?"
    return this.#file.all<{ bytes: Uint8Array }>(sql, hexBytes(txid), MAX_PROOFS).map(({ bytes }) => bytes)
  }

  #get(txid: string, part: string): Uint8Array | undefined {
    return this.#file.get<{ bytes: Uint8Array }>('SELECT bytes FROM ancestors WHERE txid = ? AND part = ?', hexBytes(txid), part)?.bytes
  }
}
