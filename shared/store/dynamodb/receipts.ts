import type { WriteRequest } from '@aws-sdk/client-dynamodb'
import { parallel } from '../../aws/call.ts'
import type { EntryId } from '../../ledger/kinds.ts'
import { MAX_RECEIPTS, type Receipt, type ReceiptKey, type Receipts } from '../receipts.ts'
import { PARTITION } from './partitions.ts'
import { type Item, type Key, number, type Table, text } from './table.ts'

/** Requests that one call has under way at most. */
const WIDTH = 16

/** Receipts as items of `receipt#<path>#<key>`, the entry's id as the sort key. */
export class DynamoReceipts implements Receipts {
  readonly #table: Table

  constructor(table: Table) {
    this.#table = table
  }

  async put(pool: string, receipts: Receipt[]): Promise<void> {
    const items = new Map(receipts.map((receipt) => [nameOf(receipt), receiptItem(pool, receipt)])) // DynamoDB refuses a batch that has one item twice
    const puts = [...items.values()].map((Item): WriteRequest => ({ PutRequest: { Item } }))
    await this.#table.batchWrite('writing receipts', puts)
  }

  async find(pool: string, asked: ReceiptKey[]): Promise<(Receipt | undefined)[]> {
    const keys = new Map(asked.map((one) => [nameOf(one), receiptKey(pool, one)]))
    const items = await this.#table.batchGet('finding receipts', [...keys.values()])
    const found = new Map(items.map((item) => receiptOf(item, pool)).map((receipt) => [nameOf(receipt), receipt]))
    return asked.map((one) => found.get(nameOf(one)))
  }

  async ofTransaction(pool: string, txid: string): Promise<Receipt[]> {
    // They are sorted by id, so the oldest may be anywhere: all are read, and only the oldest ones are kept.
    let oldest: Receipt[] = []
    for await (const items of this.#table.pages(receiptKey(pool, { key: txid, id: '' as EntryId }).pk)) {
      const receipts = items.map((item) => receiptOf(item, pool))
      oldest = [...oldest, ...receipts].sort((a, b) => a.seq - b.seq).slice(0, MAX_RECEIPTS)
    }
    return oldest
  }

  oldest(pool: string, txids: string[]): Promise<(Receipt | undefined)[]> {
    return parallel(txids, WIDTH, async (txid) => (await this.ofTransaction(pool, txid))[0])
  }
}

function receiptKey(pool: string, { key, id }: ReceiptKey): Key {
  return { pk: text(`${PARTITION.receipt}${pool}#${key}`), sk: text(id) }
}

/** A name that distinguishes the receipts of a pool. */
function nameOf({ key, id }: ReceiptKey): string {
  return `${key} ${id}`
}

/** One write unit is 1 KB: a receipt is below it, whatever its pool is named. */
function receiptItem(pool: string, receipt: Receipt): Item {
  const { key, txid, seq, block } = receipt
  return {
    ...receiptKey(pool, receipt),
    seq: number(seq),
    block: number(block),
    ...(txid !== undefined && txid !== key && { txid: text(txid) }),
  }
}

function receiptOf(item: Item, pool: string): Receipt {
  const key = item.pk!.S!.slice(`${PARTITION.receipt}${pool}#`.length)
  const id = item.sk!.S as EntryId
  const txid = item.txid?.S ?? (key === id ? undefined : key)
  return { key, id, ...(txid !== undefined && { txid }), seq: Number(item.seq!.N), block: Number(item.block!.N) }
}
