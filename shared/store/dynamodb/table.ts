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
import { type CallOptions, call, untilNoneIsLeft } from '../../aws/call.ts'
import { OverpoolError } from '../../errors.ts'

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

  /** All items of a partition whose sort keys have this prefix, in order, a page at a time. */
  async *pages(pk: AttributeValue, begin?: string): AsyncGenerator<Item[]> {
    let ExclusiveStartKey: Item | undefined
    do {
      const { Items = [], LastEvaluatedKey } = await this.query({
        KeyConditionExpression: begin === undefined ? 'pk = :pk' : 'pk = :pk AND begins_with(sk, :begin)',
        ExpressionAttributeValues: { ':pk': pk, ...(begin !== undefined && { ':begin': text(begin) }) },
        ExclusiveStartKey,
      })
      yield Items
      ExclusiveStartKey = LastEvaluatedKey
    } while (ExclusiveStartKey)
  }

  async batchWrite(what: string, requests: WriteRequest[]): Promise<void> {
    const write = async (left: WriteRequest[]) => {
      const command = new BatchWriteItemCommand({ RequestItems: { [this.#table]: left } })
      const { UnprocessedItems } = await call(what, (options) => this.#client.send(command, options), this.#options)
      return UnprocessedItems?.[this.#table] ?? []
    }
    await untilNoneIsLeft(what, requests, write, this.#options.giveUpMs)
  }

  /** The existing items of these keys, in any order. */
  async batchGet(what: string, keys: Key[]): Promise<Item[]> {
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
