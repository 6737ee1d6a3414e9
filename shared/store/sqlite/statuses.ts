import { isOpen, type KeptStatus, type StatusName } from '../../ledger/status.ts'
import { hex, hexBytes } from '../../ledger/values.ts'
import { MAX_STATUSES, type Statuses } from '../statuses.ts'
import type { SqliteFile } from './file.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS statuses (
    pool TEXT NOT NULL, txid BLOB NOT NULL, seq INTEGER NOT NULL, status TEXT NOT NULL, open INTEGER NOT NULL, block BLOB, more TEXT NOT NULL,
    PRIMARY KEY (pool, txid)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS statuses_open ON statuses (pool, txid) WHERE open = 1;
  CREATE INDEX IF NOT EXISTS statuses_block ON statuses (pool, block, txid) WHERE block IS NOT NULL;
`

interface Row {
  txid: Uint8Array
  seq: number
  status: string
  block: Uint8Array | null
  more: string
}

/** Statuses as rows, one for each transaction that has one. */
export class SqliteStatuses implements Statuses {
  readonly #file: SqliteFile

  constructor(file: SqliteFile) {
    this.#file = file
    file.exec(SCHEMA)
  }

  async put(pool: string, statuses: KeptStatus[]): Promise<void> {
    await this.#file.write(() => {
      for (const one of statuses) {
        const { txid, seq, status, blockHash, ...more } = one
        this.#file.run(
          `INSERT INTO statuses VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
           seq = excluded.seq, status = excluded.status, open = excluded.open, block = excluded.block, more = excluded.more WHERE excluded.seq > seq`,
          pool,
          hexBytes(txid),
          seq,
          status,
          isOpen(one) ? 1 : 0,
          blockHash === undefined ? null : hexBytes(blockHash),
          JSON.stringify(more),
        )
      }
    }, 'ordered')
  }

  async newest(pool: string, txids: string[]): Promise<(KeptStatus | undefined)[]> {
    return txids.map((txid) => {
      const row = this.#file.get<Row>(
        'SELECT txid, seq, status, block, more FROM statuses WHERE pool = ? AND txid = ?',
        pool,
        hexBytes(txid),
      )
      return row && statusOf(row)
    })
  }

  async open(pool: string, after = ''): Promise<KeptStatus[]> {
    const sql = 'SELECT txid, seq, status, block, more FROM statuses WHERE pool = ? AND open = 1 AND txid > ? ORDER BY txid LIMIT ?'
    return this.#file.all<Row>(sql, pool, hexBytes(after), MAX_STATUSES).map(statusOf)
  }

  async minedIn(pool: string, blockHash: string, after = ''): Promise<KeptStatus[]> {
    const sql = 'SELECT txid, seq, status, block, more FROM statuses WHERE pool = ? AND block = ? AND txid > ? ORDER BY txid LIMIT ?'
    return this.#file.all<Row>(sql, pool, hexBytes(blockHash), hexBytes(after), MAX_STATUSES).map(statusOf)
  }

  async forget(pool: string): Promise<void> {
    await this.#file.write(() => this.#file.run('DELETE FROM statuses WHERE pool = ?', pool))
  }
}

function statusOf({ txid, seq, status, block, more }: Row): KeptStatus {
  return { txid: hex(txid), seq, status: status as StatusName, ...(block && { blockHash: hex(block) }), ...JSON.parse(more) }
}
