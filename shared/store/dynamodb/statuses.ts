import type { WriteRequest } from '@aws-sdk/client-dynamodb'
import { parallel } from '../../aws/call.ts'
import { isOpen, type KeptStatus } from '../../ledger/status.ts'
import { MAX_STATUSES, type Statuses } from '../statuses.ts'
import { PARTITION } from './partitions.ts'
import { attributesOf, type Item, type Key, type Table, text, valuesOf } from './table.ts'

/** Requests that one call has under way at most. */
const WIDTH = 16

const isLater = 'attribute_not_exists(#seq) OR #seq < :seq'

/**
 * Statuses as items of `status#<path>`: `tx#<txid>` is the newest one of a transaction, `open#<txid>` marks one that has to be asked about, `mined#<block hash>#<txid>` one
 * that is in a block. A mark is written before the status that needs it, and deleted after the one that ends it, so a reader checks it against the status.
 */
export class DynamoStatuses implements Statuses {
  readonly #table: Table

  constructor(table: Table) {
    this.#table = table
  }

  async put(pool: string, statuses: KeptStatus[]): Promise<void> {
    // Of several about one transaction the last one counts.
    const last = [...new Map(statuses.map((status) => [status.txid, status])).values()]
    const before = await this.newest(
      pool,
      last.map(({ txid }) => txid),
    )
    const changes = last.map((status, i) => ({ status, now: before[i] })).filter(({ status, now }) => (now?.seq ?? -1) <= status.seq)
    const marks = (of: KeptStatus | undefined, but: KeptStatus | undefined) => {
      const kept = but ? marksOf(but) : []
      return of ? marksOf(of).flatMap((mark) => (kept.includes(mark) ? [] : [key(pool, mark)])) : []
    }
    await this.#write(changes.flatMap(({ status, now }) => marks(status, now)).map((Item) => ({ PutRequest: { Item } })))
    await parallel(changes, WIDTH, async ({ status: { txid, ...fields }, now }) => {
      if (now?.seq !== fields.seq) await this.#table.update(key(pool, `tx#${txid}`), attributesOf({ ...EMPTY, ...fields }), isLater)
    })
    await this.#write(changes.flatMap(({ status, now }) => marks(now, status)).map((Key) => ({ DeleteRequest: { Key } })))
  }

  async #write(requests: WriteRequest[]): Promise<void> {
    await this.#table.batchWrite('marking statuses', requests)
  }

  async newest(pool: string, txids: string[]): Promise<(KeptStatus | undefined)[]> {
    const keys = [...new Set(txids)].map((txid) => key(pool, `tx#${txid}`))
    const items = await this.#table.batchGet('finding statuses', keys)
    const found = new Map(items.map((item) => [txidOf(item), statusOf(item)]))
    return txids.map((txid) => found.get(txid))
  }

  open(pool: string, after = ''): Promise<KeptStatus[]> {
    return this.#marked(pool, 'open#', after, isOpen)
  }

  minedIn(pool: string, blockHash: string, after = ''): Promise<KeptStatus[]> {
    return this.#marked(pool, `mined#${blockHash}#`, after, (status) => status.blockHash === blockHash)
  }

  /** The statuses with this mark that still deserve it: at least one if there is one. */
  async #marked(pool: string, mark: string, after: string, deserves: (status: KeptStatus) => boolean): Promise<KeptStatus[]> {
    let from = after
    while (true) {
      const { Items = [] } = await this.#table.query({
        KeyConditionExpression: 'pk = :pk AND sk BETWEEN :from AND :to',
        ExpressionAttributeValues: { ':pk': key(pool, '').pk, ':from': text(`${mark}${from}!`), ':to': text(`${mark}~`) },
        Limit: MAX_STATUSES,
      })
      if (!Items.length) return []
      const marked = await this.newest(pool, Items.map(txidOf))
      const deserving = marked.filter((status) => status !== undefined && deserves(status)) as KeptStatus[]
      if (deserving.length) return deserving
      from = txidOf(Items.at(-1)!)
    }
  }

  async forget(pool: string): Promise<void> {
    for await (const items of this.#table.pages(key(pool, '').pk)) {
      const deletes = items.map(({ pk, sk }): WriteRequest => ({ DeleteRequest: { Key: { pk: pk!, sk: sk! } } }))
      await this.#write(deletes)
    }
  }
}

/** A later status lacks fields that an earlier one had. */
const EMPTY = { height: undefined, blockHash: undefined, proven: undefined, final: undefined, reason: undefined, by: undefined }

function marksOf(status: KeptStatus): string[] {
  const { txid, blockHash } = status
  return [...(isOpen(status) ? [`open#${txid}`] : []), ...(blockHash === undefined ? [] : [`mined#${blockHash}#${txid}`])]
}

function key(pool: string, sort: string): Key {
  return { pk: text(PARTITION.status + pool), sk: text(sort) }
}

function txidOf(item: Item): string {
  return item.sk!.S!.slice(-64)
}

function statusOf(item: Item): KeptStatus {
  return { txid: txidOf(item), ...valuesOf(item) } as unknown as KeptStatus
}
