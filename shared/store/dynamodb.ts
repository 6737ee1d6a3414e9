import {
  type AttributeValue,
  BatchGetItemCommand,
  BatchWriteItemCommand,
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  type QueryCommandInput,
  UpdateItemCommand,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb'
import { type CallOptions, call, chunks, parallel, untilNoneIsLeft } from '../aws/call.ts'
import type { Blobs } from '../blobs/port.ts'
import { OverpoolError } from '../errors.ts'
import type { Block } from '../ledger/block.ts'
import type { EntryId } from '../ledger/entry.ts'
import {
  AS_JSON,
  type Cursor,
  type DeadLetter,
  lengthOf,
  MAX_RECEIPTS,
  type Mirror,
  NO_CURSOR,
  PAGE_BYTES,
  type PoolControl,
  type PoolPatch,
  type Receipt,
} from './port.ts'

/** A block of more bytes lies in S3: above 8 KiB that is cheaper, and one partition takes 1 MB of writes a second (DESIGN, Formats). */
const INLINE_BYTES = 16 * 1024
/** DynamoDB, BatchWriteItem and BatchGetItem: items in one request. */
const WRITE_BATCH = 25
const READ_BATCH = 100
/** Requests that one call has under way at most. */
const WIDTH = 16

type Item = Record<string, AttributeValue>
type Key = { pk: AttributeValue; sk: AttributeValue }

// Conditions. A field is named `#field` in them, and the value that it is to get `:field`: some fields' names are DynamoDB's own words.

/** Promise 1 rests on this one: of two that put block n, one wins, and the other reads what stands. */
const nothingStandsThere = 'attribute_not_exists(pk)'
const poolIsThere = 'attribute_exists(pk)'
/** A writer that was stopped and comes back late knows less than what is written. */
const checkpointGoesOn = '#checkpoint <= :checkpoint'
const coreGoesOn = '#coreLength <= :coreLength'
/** An item without `seq` is one that `askRedrive` made. */
const cursorGoesOn = 'attribute_not_exists(#seq) OR #seq <= :seq'
const noLaterRedrive = 'attribute_not_exists(#redrive) OR #redrive < :redrive'
/** The end of a redrive does not undo a later asking. */
const askedUpTo = '#redrive <= :at'
const leaseIsFreeOrOurs = 'attribute_not_exists(pk) OR #owner = :owner OR #until <= :now'
const leaseIsOurs = '#owner = :owner'

export interface DynamoMirrorOptions {
  /** made with `maxAttempts: 1`: retries are ours (shared/aws.ts) */
  client: DynamoDBClient
  /** a table with the keys `pk` and `sk`, both strings */
  table: string
  /** where large blocks lie */
  blobs: Blobs
  now?: () => number
  giveUpMs?: number
  /** one attempt may take this long, ms (shared/aws.ts) */
  attemptMs?: number
}

/** A block's item: the block is in it, or in a blob. */
interface BlockItem extends Omit<Block, 'bytes'> {
  bytes?: Uint8Array
  blob?: string
  size: number
}

/** The mirror in one DynamoDB table (DESIGN, Formats). */
export class DynamoMirror implements Mirror {
  readonly #client: DynamoDBClient
  readonly #table: string
  readonly #blobs: Blobs
  readonly #now: () => number
  readonly #options: CallOptions

  constructor({ client, table, blobs, now = Date.now, giveUpMs, attemptMs }: DynamoMirrorOptions) {
    this.#client = client
    this.#table = table
    this.#blobs = blobs
    this.#now = now
    this.#options = { giveUpMs, attemptMs }
  }

  // ---- blocks

  async putBlock(pool: string, block: Block): Promise<Block> {
    const { n, first, count, bytes } = block
    const blob = bytes.length > INLINE_BYTES ? await this.#blobs.put(bytes) : undefined // before its item: an item never points to nothing
    const held: Item = blob === undefined ? { block: { B: bytes } } : { blob: text(blob), size: number(bytes.length) }
    if (await this.#put({ ...blockKey(pool, n), ...held, first: number(first), count: number(count) }, nothingStandsThere)) return block
    // Another's, or our own from an attempt whose answer was lost.
    const item = await this.#get(blockKey(pool, n))
    if (!item) throw new OverpoolError('UNAVAILABLE', `block ${n} of "${pool}" was there and is not`, { retryable: true })
    const stands = blockItemOf(item)
    const isOurs = stands.bytes ? Buffer.compare(stands.bytes, bytes) === 0 : stands.blob === blob
    return isOurs ? block : this.#whole(stands)
  }

  async putBlocks(pool: string, blocks: Block[]): Promise<Block[]> {
    const stand: Block[] = []
    for (const block of blocks) stand.push(await this.putBlock(pool, block)) // one after another: a gap would be for good
    return stand
  }

  async readBlocks(pool: string, from: number, limit = 64): Promise<Block[]> {
    const { Items = [] } = await this.#query({
      KeyConditionExpression: 'pk = :pk AND sk BETWEEN :from AND :to',
      ExpressionAttributeValues: { ':pk': poolKey(pool), ':from': blockSort(from), ':to': blockSort(from + limit - 1) },
      Limit: limit,
    })
    let bytes = 0
    const page = Items.map(blockItemOf).filter(({ n, size }, i) => n === from + i && ((bytes += size) <= PAGE_BYTES || i === 0))
    return parallel(page, WIDTH, (item) => this.#whole(item))
  }

  async lastBlock(pool: string): Promise<Block | undefined> {
    const last = await this.#lastItem(pool)
    return last && this.#whole(last)
  }

  /** No index leads from an entry to its block: the numbers of both grow together, so a few guesses find it. */
  async findBlock(pool: string, seq: number): Promise<Block | undefined> {
    const last = await this.#lastItem(pool)
    if (!last || seq >= last.first + last.count) return undefined
    if (seq >= last.first) return this.#whole(last)
    let low = { n: 0, first: 0 } // no block before this one holds the entry
    let high: { n: number; first: number } = last // nor this one, or any after it
    for (let guesses = 0; low.n < high.n && seq >= low.first; guesses++) {
      // Every other guess halves what is left, however unevenly the blocks are filled.
      const share = guesses % 2 || high.first === low.first ? 0.5 : (seq - low.first) / (high.first - low.first)
      const n = Math.min(high.n - 1, low.n + Math.floor(share * (high.n - low.n)))
      const item = await this.#get(blockKey(pool, n))
      const guess = item && blockItemOf(item)
      if (!guess)
        low = { n: n + 1, first: low.first } // a pool may begin with a later block
      else if (seq < guess.first) high = guess
      else if (seq < guess.first + guess.count) return this.#whole(guess)
      else low = { n: n + 1, first: guess.first + guess.count }
    }
    return undefined
  }

  async #lastItem(pool: string): Promise<BlockItem | undefined> {
    const { Items = [] } = await this.#query({
      KeyConditionExpression: 'pk = :pk AND begins_with(sk, :block)',
      ExpressionAttributeValues: { ':pk': poolKey(pool), ':block': text('block#') },
      ScanIndexForward: false,
      Limit: 1,
    })
    return Items[0] && blockItemOf(Items[0])
  }

  async #whole({ n, first, count, bytes, blob }: BlockItem): Promise<Block> {
    return { n, first, count, bytes: bytes ?? (await this.#blobs.get(blob!)) }
  }

  // ---- receipts

  async putReceipts(pool: string, receipts: Receipt[]): Promise<void> {
    const items = new Map(receipts.map((receipt) => [nameOf(receipt), receiptItem(pool, receipt)])) // a batch with one item twice is refused
    const puts = [...items.values()].map((Item): WriteRequest => ({ PutRequest: { Item } }))
    await parallel(chunks(puts, WRITE_BATCH), WIDTH, (batch) => this.#batchWrite('writing receipts', batch))
  }

  async findReceipts(pool: string, wanted: Pick<Receipt, 'key' | 'id'>[]): Promise<(Receipt | undefined)[]> {
    const keys = new Map(wanted.map((one) => [nameOf(one), receiptKey(pool, one)]))
    const pages = await parallel(chunks([...keys.values()], READ_BATCH), WIDTH, (batch) => this.#batchGet('finding receipts', batch))
    const found = new Map(
      pages
        .flat()
        .map((item) => receiptOf(item, pool))
        .map((receipt) => [nameOf(receipt), receipt]),
    )
    return wanted.map((one) => found.get(nameOf(one)))
  }

  async receiptsOf(pool: string, txid: string): Promise<Receipt[]> {
    // They lie in the order of their ids, so the oldest may be anywhere: all are looked at, and no more are kept than are given.
    let oldest: Receipt[] = []
    for await (const items of this.#pages(receiptKey(pool, { key: txid, id: '' as EntryId }).pk)) {
      const receipts = items.map((item) => receiptOf(item, pool))
      oldest = [...oldest, ...receipts].sort((a, b) => a.seq - b.seq).slice(0, MAX_RECEIPTS)
    }
    return oldest
  }

  // ---- control

  async createPool(pool: Pick<PoolControl, 'path' | 'key' | 'discoveryKey' | 'createdAt'>): Promise<PoolControl> {
    const { path, key, discoveryKey, createdAt } = pool
    const fresh = { key, discoveryKey, createdAt, checkpoint: 0, coreLength: 0, prunedBefore: 0 }
    if (await this.#put({ ...controlKey(path), ...attributesOf(fresh) }, nothingStandsThere)) return { path, ...fresh }
    return (await this.readPool(path))!
  }

  async readPool(path: string): Promise<PoolControl | undefined> {
    const item = await this.#get(controlKey(path))
    return item && controlOf(item)
  }

  async listPools(): Promise<PoolControl[]> {
    const pages = await Array.fromAsync(this.#pages(text('control'), 'pool#'))
    return pages.flat().map(controlOf)
  }

  async updatePool(path: string, patch: PoolPatch): Promise<void> {
    const { checkpoint, coreLength, treeHash, ...rest } = patch
    const core: PoolPatch = { ...(coreLength !== undefined && { coreLength }), ...('treeHash' in patch && { treeHash }) }
    const parts: [fields: PoolPatch, condition?: string][] = [
      [rest],
      [checkpoint === undefined ? {} : { checkpoint }, checkpointGoesOn],
      [core, coreLength === undefined ? undefined : coreGoesOn],
    ]
    const wanted = parts.filter(([fields]) => Object.keys(fields).length)
    const update = (fields: PoolPatch, conditions: (string | undefined)[]) =>
      this.#update(controlKey(path), attributesOf(fields), [poolIsThere, ...conditions].filter(Boolean).join(' AND '))
    if (!wanted.length) return
    // One request, as a rule. When a part of it would go back, each goes by itself.
    const fields: PoolPatch = Object.assign({}, ...wanted.map(([fields]) => fields))
    const done = await update(
      fields,
      wanted.map(([, condition]) => condition),
    )
    if (!done && wanted.length > 1) for (const [fields, condition] of wanted) await update(fields, [condition])
  }

  async beginAnew(path: string, last: Block | undefined): Promise<void> {
    const { blocks, entries } = lengthOf(last)
    for (const handler of await this.listHandlers(path)) {
      for (const { seq } of await this.listDead(handler, path)) if (seq >= entries) await this.deleteDead(handler, path, seq)
      const { seq } = await this.readCursor(handler, path)
      const end = { seq: entries - 1, block: blocks, attempts: 0, stopped: undefined }
      if (seq >= entries) await this.#update(cursorKey(handler, path), attributesOf(end))
    }
    const pool = await this.readPool(path)
    if (!pool) return
    const checkpoint = Math.min(pool.checkpoint, blocks)
    const prunedBefore = Math.min(pool.prunedBefore, entries)
    const anew = { rebuild: undefined, treeHash: undefined, coreLength: 0, checkpoint, prunedBefore }
    await this.#update(controlKey(path), attributesOf(anew), poolIsThere) // the last of it: until then all of it is done again
  }

  // ---- cursors and dead letters

  async readCursor(handler: string, pool: string): Promise<Cursor> {
    const item = await this.#get(cursorKey(handler, pool))
    if (!item) return NO_CURSOR
    return { ...NO_CURSOR, ...valuesOf(item) }
  }

  async writeCursor(handler: string, pool: string, { seq, block, attempts, stopped }: Cursor): Promise<void> {
    await this.#update(cursorKey(handler, pool), attributesOf({ seq, block, attempts, stopped }), cursorGoesOn)
  }

  async askRedrive(handler: string, pool: string, at: number): Promise<void> {
    await this.#update(cursorKey(handler, pool), attributesOf({ redrive: at }), noLaterRedrive)
  }

  async endRedrive(handler: string, pool: string, at: number): Promise<void> {
    await this.#update(cursorKey(handler, pool), attributesOf({ redrive: undefined }), askedUpTo, { ':at': number(at) })
  }

  async listHandlers(pool: string): Promise<string[]> {
    const pages = await Array.fromAsync(this.#pages(cursorKey('', pool).pk))
    return pages.flat().map(({ sk }) => sk!.S!)
  }

  async putDead(handler: string, pool: string, letter: DeadLetter): Promise<void> {
    await this.#put({ ...deadKey(handler, pool, letter.seq), ...attributesOf(letter) })
  }

  async listDead(handler: string, pool: string): Promise<DeadLetter[]> {
    const pages = await Array.fromAsync(this.#pages(deadKey(handler, pool, 0).pk))
    return pages.flat().map((item) => valuesOf(item) as unknown as DeadLetter)
  }

  async deleteDead(handler: string, pool: string, seq: number): Promise<void> {
    await this.#delete(deadKey(handler, pool, seq))
  }

  // ---- leases

  async takeLease(shard: string, owner: string, ms: number): Promise<boolean> {
    const now = this.#now()
    return this.#update(leaseKey(shard), attributesOf({ owner, until: now + ms }), leaseIsFreeOrOurs, { ':now': number(now) })
  }

  async releaseLease(shard: string, owner: string): Promise<void> {
    await this.#delete(leaseKey(shard), leaseIsOurs, attributesOf({ owner }))
  }

  async close(): Promise<void> {} // the client belongs to who made it

  // ---- requests

  async #get(Key: Key): Promise<Item | undefined> {
    const command = new GetItemCommand({ TableName: this.#table, Key, ConsistentRead: true })
    return (await call('reading the mirror', (options) => this.#client.send(command, options), this.#options)).Item
  }

  /** False if the condition does not hold. */
  #put(Item: Item, condition?: string): Promise<boolean> {
    const command = new PutItemCommand({ TableName: this.#table, Item, ConditionExpression: condition })
    return this.#conditionHeld(call('writing the mirror', (options) => this.#client.send(command, options), this.#options))
  }

  /** Sets these fields, or removes them where they are undefined; false if the condition does not hold. */
  #update(Key: Key, fields: Record<string, AttributeValue | undefined>, condition?: string, more: Item = {}): Promise<boolean> {
    const names = Object.keys(fields)
    const set = names.filter((name) => fields[name] !== undefined)
    const removed = names.filter((name) => fields[name] === undefined)
    const parts = [
      ...(set.length ? [`SET ${set.map((name) => `#${name} = :${name}`).join(', ')}`] : []),
      ...(removed.length ? [`REMOVE ${removed.map((name) => `#${name}`).join(', ')}`] : []),
    ]
    const values = { ...Object.fromEntries(set.map((name) => [`:${name}`, fields[name]!])), ...more }
    const command = new UpdateItemCommand({
      TableName: this.#table,
      Key,
      UpdateExpression: parts.join(' '),
      ConditionExpression: condition,
      ExpressionAttributeNames: Object.fromEntries(names.map((name) => [`#${name}`, name])),
      ...(Object.keys(values).length && { ExpressionAttributeValues: values }),
    })
    return this.#conditionHeld(call('writing the mirror', (options) => this.#client.send(command, options), this.#options))
  }

  async #delete(Key: Key, condition?: string, fields: Record<string, AttributeValue | undefined> = {}): Promise<void> {
    const names = Object.keys(fields)
    const command = new DeleteItemCommand({
      TableName: this.#table,
      Key,
      ...(condition && {
        ConditionExpression: condition,
        ExpressionAttributeNames: Object.fromEntries(names.map((name) => [`#${name}`, name])),
        ExpressionAttributeValues: Object.fromEntries(names.map((name) => [`:${name}`, fields[name]!])),
      }),
    })
    await this.#conditionHeld(call('deleting from the mirror', (options) => this.#client.send(command, options), this.#options))
  }

  async #conditionHeld(writing: Promise<unknown>): Promise<boolean> {
    try {
      await writing
      return true
    } catch (error) {
      const cause = error instanceof OverpoolError ? error.cause : undefined
      if (cause instanceof Error && cause.name === 'ConditionalCheckFailedException') return false
      throw error
    }
  }

  #query(input: Omit<QueryCommandInput, 'TableName'>) {
    const command = new QueryCommand({ TableName: this.#table, ConsistentRead: true, ...input })
    return call('reading the mirror', (options) => this.#client.send(command, options), this.#options)
  }

  /** All items of a partition whose sort keys begin so, in the order of those, a page at a time. */
  async *#pages(pk: AttributeValue, begin?: string): AsyncGenerator<Item[]> {
    let ExclusiveStartKey: Item | undefined
    do {
      const { Items = [], LastEvaluatedKey } = await this.#query({
        KeyConditionExpression: begin === undefined ? 'pk = :pk' : 'pk = :pk AND begins_with(sk, :begin)',
        ExpressionAttributeValues: { ':pk': pk, ...(begin !== undefined && { ':begin': text(begin) }) },
        ExclusiveStartKey,
      })
      yield Items
      ExclusiveStartKey = LastEvaluatedKey
    } while (ExclusiveStartKey)
  }

  async #batchWrite(what: string, requests: WriteRequest[]): Promise<void> {
    const write = async (left: WriteRequest[]) => {
      const command = new BatchWriteItemCommand({ RequestItems: { [this.#table]: left } })
      const { UnprocessedItems } = await call(what, (options) => this.#client.send(command, options), this.#options)
      return UnprocessedItems?.[this.#table] ?? []
    }
    await untilNoneIsLeft(what, requests, write, this.#options.giveUpMs)
  }

  /** The items at these places that there are, in any order. */
  async #batchGet(what: string, keys: Key[]): Promise<Item[]> {
    const found: Item[] = []
    const read = async (left: Key[]) => {
      const command = new BatchGetItemCommand({ RequestItems: { [this.#table]: { Keys: left, ConsistentRead: true } } })
      const { Responses, UnprocessedKeys } = await call(what, (options) => this.#client.send(command, options), this.#options)
      found.push(...(Responses?.[this.#table] ?? []))
      return (UnprocessedKeys?.[this.#table]?.Keys ?? []) as Key[]
    }
    await untilNoneIsLeft(what, keys, read, this.#options.giveUpMs)
    return found
  }
}

// ---- where things lie

function poolKey(pool: string): AttributeValue {
  return text(`pool#${pool}`)
}

/** Block numbers have 12 digits, so that they lie in their order. */
function blockSort(n: number): AttributeValue {
  return text(`block#${String(n).padStart(12, '0')}`)
}

function blockKey(pool: string, n: number): Key {
  return { pk: poolKey(pool), sk: blockSort(n) }
}

function receiptKey(pool: string, { key, id }: Pick<Receipt, 'key' | 'id'>): Key {
  return { pk: text(`receipt#${pool}#${key}`), sk: text(id) }
}

function controlKey(path: string): Key {
  return { pk: text('control'), sk: text(`pool#${path}`) }
}

/** By pool, so that one query lists the handlers of a pool. */
function cursorKey(handler: string, pool: string): Key {
  return { pk: text(`cursor#${pool}`), sk: text(handler) }
}

function deadKey(handler: string, pool: string, seq: number): Key {
  return { pk: text(`dead#${pool}#${handler}`), sk: text(String(seq).padStart(16, '0')) }
}

function leaseKey(shard: string): Key {
  return { pk: text(`lease#${shard}`), sk: text('lease') }
}

/** Tells receipts of one pool apart. */
function nameOf({ key, id }: Pick<Receipt, 'key' | 'id'>): string {
  return `${key} ${id}`
}

// ---- items and what they mean

function blockItemOf(item: Item): BlockItem {
  const bytes = item.block?.B
  return {
    n: Number(item.sk!.S!.slice('block#'.length)),
    first: Number(item.first!.N),
    count: Number(item.count!.N),
    bytes,
    blob: item.blob?.S,
    size: bytes?.length ?? Number(item.size!.N),
  }
}

/** One write unit is 1 KB: a receipt is below it, whatever its pool is named. */
function receiptItem(pool: string, receipt: Receipt): Item {
  const { key, txid, seq, block } = receipt
  return { ...receiptKey(pool, receipt), seq: number(seq), block: number(block), ...(txid !== key && { txid: text(txid) }) }
}

function receiptOf(item: Item, pool: string): Receipt {
  const key = item.pk!.S!.slice(`receipt#${pool}#`.length)
  return { key, id: item.sk!.S as EntryId, txid: item.txid?.S ?? key, seq: Number(item.seq!.N), block: Number(item.block!.N) }
}

function controlOf(item: Item): PoolControl {
  const fields = valuesOf(item)
  for (const field of AS_JSON) if (field in fields) fields[field] = JSON.parse(String(fields[field]))
  return { path: item.sk!.S!.slice('pool#'.length), ...fields } as unknown as PoolControl
}

function text(S: string): AttributeValue {
  return { S }
}

function number(value: number): AttributeValue {
  return { N: String(value) }
}

/** Fields as attributes; what is undefined stays so. */
function attributesOf<T extends object>(fields: T): { [Field in keyof T]: AttributeValue } {
  const attributes = Object.entries(fields).map(([name, value]: [string, unknown]) => [
    name,
    value === undefined ? value : attributeOf(value),
  ])
  return Object.fromEntries(attributes)
}

function attributeOf(value: unknown): AttributeValue {
  if (typeof value === 'boolean') return { BOOL: value }
  if (typeof value === 'object') return text(JSON.stringify(value))
  return typeof value === 'number' ? number(value) : text(value as string)
}

/** The values of an item, but for its key. */
function valuesOf(item: Item): Record<string, unknown> {
  const { pk: _pk, sk: _sk, ...fields } = item
  return Object.fromEntries(Object.entries(fields).map(([name, { S, N, BOOL }]) => [name, S ?? (N === undefined ? BOOL : Number(N))]))
}
