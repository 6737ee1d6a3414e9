import {
  type AttributeValue,
  BatchGetItemCommand,
  BatchWriteItemCommand,
  ConditionalCheckFailedException,
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  type QueryCommandInput,
  UpdateItemCommand,
  type UpdateItemCommandInput,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb'
import { type CallOptions, call, chunks, parallel, untilNoneIsLeft } from '../../aws/call.ts'
import { OverpoolError } from '../../errors.ts'

/** DynamoDB, BatchWriteItem and BatchGetItem: items in one request. */
const [WRITE_BATCH, READ_BATCH] = [25, 100]
/** Requests that one call has under way at most. */
const WIDTH = 16

export type Item = Record<string, AttributeValue>
export type Key = { pk: AttributeValue; sk: AttributeValue }

// Conditions name a field `#field` and its new value `:field`, since some names are reserved words of DynamoDB.

/** Promise 1 rests on this condition: of two writers that put block n, one wins, and the other reads the winner's block. */
export const nothingStandsThere = 'attribute_not_exists(pk)'

export interface TableOptions {
  /** made with `maxAttempts: 1`: retries are ours (shared/aws/call.ts) */
  client: DynamoDBClient
  /** a table with the keys `pk` and `sk`, both strings */
  table: string
  giveUpMs?: number
  /** one attempt may take this long, ms (shared/aws/call.ts) */
  attemptMs?: number
}

/** The requests that the stores make of one DynamoDB table. */
export class Table {
  readonly #client: DynamoDBClient
  readonly #table: string
  readonly #options: CallOptions

  constructor({ client, table, giveUpMs, attemptMs }: TableOptions) {
    this.#client = client
    this.#table = table
    this.#options = { giveUpMs, attemptMs }
  }

  async get(Key: Key): Promise<Item | undefined> {
    const command = new GetItemCommand({ TableName: this.#table, Key, ConsistentRead: true })
    return (await call('reading the mirror', (options) => this.#client.send(command, options), this.#options)).Item
  }

  /** False if the condition does not hold. */
  put(Item: Item, condition?: string): Promise<boolean> {
    const command = new PutItemCommand({ TableName: this.#table, Item, ConditionExpression: condition })
    return this.#conditionHeld(call('writing the mirror', (options) => this.#client.send(command, options), this.#options))
  }

  /** Sets these fields, or removes them where they are undefined; false if the condition does not hold. */
  update(Key: Key, fields: Record<string, AttributeValue | undefined>, condition?: string, more: Item = {}): Promise<boolean> {
    return this.#conditionHeld(this.#write(new UpdateItemCommand(this.#updating(Key, fields, condition, more))))
  }

  #write(command: UpdateItemCommand) {
    return call('writing the mirror', (options) => this.#client.send(command, options), this.#options)
  }

  #updating(Key: Key, fields: Record<string, AttributeValue | undefined>, condition?: string, more: Item = {}): UpdateItemCommandInput {
    const names = Object.keys(fields)
    const set = names.filter((name) => fields[name] !== undefined)
    const removed = names.filter((name) => fields[name] === undefined)
    const parts = [
      ...(set.length ? [`SET ${set.map((name) => `#${name} = :${name}`).join(', ')}`] : []),
      ...(removed.length ? [`REMOVE ${removed.map((name) => `#${name}`).join(', ')}`] : []),
    ]
    const values = { ...Object.fromEntries(set.map((name) => [`:${name}`, fields[name]!])), ...more }
    return {
      TableName: this.#table,
      Key,
      UpdateExpression: parts.join(' '),
      ConditionExpression: condition,
      ExpressionAttributeNames: Object.fromEntries(names.map((name) => [`#${name}`, name])),
      ...(Object.keys(values).length && { ExpressionAttributeValues: values }),
    }
  }

  /** Sets these fields if the condition holds. If it does not, `before` is the item as it stands. One request decides. */
  async decide(
    Key: Key,
    fields: Record<string, AttributeValue>,
    condition: string,
    more: Item = {},
  ): Promise<{ held: boolean; before?: Item }> {
    const updating = this.#updating(Key, fields, condition, more)
    try {
      await this.#write(new UpdateItemCommand({ ...updating, ReturnValuesOnConditionCheckFailure: 'ALL_OLD' }))
      return { held: true }
    } catch (error) {
      const cause = error instanceof OverpoolError ? error.cause : undefined
      if (!(cause instanceof ConditionalCheckFailedException)) throw error
      const before = cause.Item ?? (await this.get(Key))
      return { held: false, ...(before && { before }) }
    }
  }

  /** Adds 1 to a number, which is 0 at first. @returns the new one */
  async count(Key: Key, name: string): Promise<number> {
    const command = new UpdateItemCommand({
      TableName: this.#table,
      Key,
      UpdateExpression: 'ADD #name :one',
      ExpressionAttributeNames: { '#name': name },
      ExpressionAttributeValues: { ':one': number(1) },
      ReturnValues: 'UPDATED_NEW',
    })
    const { Attributes } = await this.#write(command)
    return Number(Attributes![name]!.N)
  }

  async delete(Key: Key, condition?: string, fields: Record<string, AttributeValue | undefined> = {}): Promise<void> {
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

  query(input: Omit<QueryCommandInput, 'TableName'>) {
    const command = new QueryCommand({ TableName: this.#table, ConsistentRead: true, ...input })
    return call('reading the mirror', (options) => this.#client.send(command, options), this.#options)
  }

  /** All items of a partition whose sort keys have this prefix, or come after this one, in order, a page at a time. */
  async *pages(pk: AttributeValue, begin?: string, after?: string): AsyncGenerator<Item[]> {
    const where = begin !== undefined ? ' AND begins_with(sk, :sk)' : after !== undefined ? ' AND sk > :sk' : ''
    const sk = begin ?? after
    let ExclusiveStartKey: Item | undefined
    do {
      const { Items = [], LastEvaluatedKey } = await this.query({
        KeyConditionExpression: `pk = :pk${where}`,
        ExpressionAttributeValues: { ':pk': pk, ...(sk !== undefined && { ':sk': text(sk) }) },
        ExclusiveStartKey,
      })
      yield Items
      ExclusiveStartKey = LastEvaluatedKey
    } while (ExclusiveStartKey)
  }

  /** In as many requests as it takes. */
  async batchWrite(what: string, requests: WriteRequest[]): Promise<void> {
    const write = async (left: WriteRequest[]) => {
      const command = new BatchWriteItemCommand({ RequestItems: { [this.#table]: left } })
      const { UnprocessedItems } = await call(what, (options) => this.#client.send(command, options), this.#options)
      return UnprocessedItems?.[this.#table] ?? []
    }
    await parallel(chunks(requests, WRITE_BATCH), WIDTH, (batch) => untilNoneIsLeft(what, batch, write, this.#options.giveUpMs))
  }

  /** The existing items of these keys, in any order; in as many requests as it takes. */
  async batchGet(what: string, keys: Key[]): Promise<Item[]> {
    const found: Item[] = []
    const read = async (left: Key[]) => {
      const command = new BatchGetItemCommand({ RequestItems: { [this.#table]: { Keys: left, ConsistentRead: true } } })
      const { Responses, UnprocessedKeys } = await call(what, (options) => this.#client.send(command, options), this.#options)
      found.push(...(Responses?.[this.#table] ?? []))
      return (UnprocessedKeys?.[this.#table]?.Keys ?? []) as Key[]
    }
    await parallel(chunks(keys, READ_BATCH), WIDTH, (batch) => untilNoneIsLeft(what, batch, read, this.#options.giveUpMs))
    return found
  }
}

// ---- items and what they mean

export function text(S: string): AttributeValue {
  return { S }
}

export function number(value: number): AttributeValue {
  return { N: String(value) }
}

/** Fields as attributes; undefined ones stay undefined. */
export function attributesOf<T extends object>(fields: T): { [Field in keyof T]: AttributeValue } {
  const attributes = Object.entries(fields).map(([name, value]: [string, unknown]) => [
    name,
    value === undefined ? value : attributeOf(value),
  ])
  return Object.fromEntries(attributes)
}

export function attributeOf(value: unknown): AttributeValue {
  if (typeof value === 'boolean') return { BOOL: value }
  if (typeof value === 'object') return text(JSON.stringify(value))
  return typeof value === 'number' ? number(value) : text(value as string)
}

/** The values of an item without its key. */
export function valuesOf(item: Item): Record<string, unknown> {
  const { pk: _pk, sk: _sk, ...fields } = item
  return Object.fromEntries(Object.entries(fields).map(([name, { S, N, BOOL }]) => [name, S ?? (N === undefined ? BOOL : Number(N))]))
}
