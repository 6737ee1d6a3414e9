import { type DynamoDBClient, PutItemCommand, QueryCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import type { Run, Runs } from '../machine/handler.ts'

/** A read begins this long before the newest record, ms, since functions do not write in the order of their clocks. */
const OVERLAP_MS = 5_000

/** Records the handler's runs in a table, since a function has no file that outlives it. */
export class TableRuns implements Runs {
  readonly #client: DynamoDBClient
  readonly #table: string
  #count = 0

  constructor(client: DynamoDBClient, table: string) {
    this.#client = client
    this.#table = table
  }

  async began(run: Run): Promise<number> {
    const { Attributes } = await this.#client.send(
      new UpdateItemCommand({
        TableName: this.#table,
        Key: { pk: { S: 'times' }, sk: { S: `${run.path}#${run.seq}` } },
        UpdateExpression: 'ADD times :one',
        ExpressionAttributeValues: { ':one': { N: '1' } },
        ReturnValues: 'UPDATED_NEW',
      }),
    )
    await this.#note(run)
    return Number(Attributes!.times!.N)
  }

  ended(run: Run): Promise<void> {
    return this.#note(run)
  }

  async #note(run: Run): Promise<void> {
    const at = `${Date.now()}#${String(this.#count++).padStart(9, '0')}#${run.path}#${run.seq}`
    await this.#client.send(
      new PutItemCommand({ TableName: this.#table, Item: { pk: { S: 'run' }, sk: { S: at }, run: { S: JSON.stringify(run) } } }),
    )
  }
}

/** Reads the records while they are written. */
export class RunsReader {
  readonly #client: DynamoDBClient
  readonly #table: string
  readonly #seen = new Map<string, Run>()
  #from: number

  /** @param from records before this time, ms since 1970, belong to other tests */
  constructor(client: DynamoDBClient, table: string, from: number) {
    this.#client = client
    this.#table = table
    this.#from = from
  }

  /** All records until now, in their order. */
  async look(): Promise<Run[]> {
    let ExclusiveStartKey: Record<string, never> | undefined
    const from = this.#from
    do {
      const { Items = [], LastEvaluatedKey } = await this.#client.send(
        new QueryCommand({
          TableName: this.#table,
          ConsistentRead: true,
          KeyConditionExpression: 'pk = :run AND sk >= :from',
          ExpressionAttributeValues: { ':run': { S: 'run' }, ':from': { S: String(from) } },
          ExclusiveStartKey,
        }),
      )
      for (const { sk, run } of Items) {
        this.#seen.set(sk!.S!, JSON.parse(run!.S!) as Run)
        this.#from = Math.max(this.#from, Number(sk!.S!.split('#')[0]) - OVERLAP_MS)
      }
      ExclusiveStartKey = LastEvaluatedKey as typeof ExclusiveStartKey
    } while (ExclusiveStartKey)
    return [...this.#seen].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, run]) => run)
  }
}
