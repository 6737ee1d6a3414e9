import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import type { Blobs } from '../../shared/blobs/port.ts'
import { S3Blobs } from '../../shared/blobs/s3.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Queue } from '../../shared/queue/port.ts'
import { SqliteQueue } from '../../shared/queue/sqlite.ts'
import { SqsQueue } from '../../shared/queue/sqs.ts'
import { dynamoStores } from '../../shared/store/dynamodb/index.ts'
import type { Stores } from '../../shared/store/port.ts'
import { SqliteFile } from '../../shared/store/sqlite/file.ts'
import { sqliteStores } from '../../shared/store/sqlite/index.ts'
import { ancestorsIn, awsClients, queueUrl } from '../aws/clients.ts'
import { Emulators } from '../aws/emulators.ts'
import type { AwsRequest, Fault } from '../aws/proxy.ts'
import { tracelessBadDay } from '../aws/weather.ts'
import { seed } from '../random.ts'

/** SQLite or AWS. Each call opens the same store or queue once more, as another process would. */
export interface Side {
  stores: (clock?: Clock) => Stores
  queue: (name: string, options: { fifo?: boolean; visibilityMs: number }) => Promise<Queue>
  /** flips a bit in the stored bytes of a small block, as a faulty disk may do */
  damage: (pool: string, n: number) => Promise<void>
  /** what is kept of a lost block */
  aside: (pool: string, n: number) => Promise<Uint8Array | undefined>
  close: () => Promise<void>
}

/** Only AWS has blobs: SQLite keeps everything in one file. */
export interface AwsSide extends Side {
  blobs: () => Blobs
  /** changes the stored bytes of this blob */
  damageBlob: (sha256: string) => Promise<void>
}

/** AWS, and AWS on a day when a quarter of all requests fails in some way. */
export const AWS_SIDES: [name: string, make: () => Promise<AwsSide>][] = [
  ['DynamoDB, SQS and S3', () => awsSide()],
  [`DynamoDB, SQS and S3 on a bad day (seed ${seed})`, () => awsSide(tracelessBadDay)],
]

export const SIDES: [name: string, make: () => Promise<Side>][] = [['SQLite', sqliteSide], ...AWS_SIDES]

async function sqliteSide(): Promise<Side> {
  const dir = await mkdtemp(join(tmpdir(), 'overpool-contract-'))
  const stores: SqliteFile[] = []
  const store = () => {
    stores.push(new SqliteFile(join(dir, 'ledger.sqlite')))
    return stores.at(-1)!
  }
  return {
    stores: (clock) => sqliteStores(store(), clock),
    queue: async (name, options) => new SqliteQueue(store(), name, options),
    damage: async (pool, n) => damageFile(join(dir, 'ledger.sqlite'), pool, n),
    aside: async (pool, n) => store().get<{ bytes: Uint8Array }>('SELECT bytes FROM damaged WHERE pool = ? AND n = ?', pool, n)?.bytes,
    async close() {
      for (const each of stores) each.close()
      await rm(dir, { recursive: true })
    },
  }
}

/** Flips a bit of a block in a ledger file. */
export function damageFile(file: string, pool: string, n: number): void {
  const db = new DatabaseSync(file)
  const { bytes } = db.prepare('SELECT bytes FROM blocks WHERE pool = ? AND n = ?').get(pool, n) as { bytes: Uint8Array }
  db.prepare('UPDATE blocks SET bytes = ? WHERE pool = ? AND n = ?').run(flipped(bytes), pool, n)
  db.close()
}

/** These bytes with a bit of the last transaction's text flipped: the block can still be decoded. */
export function flipped(bytes: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(bytes)
  changed[Math.floor(bytes.length / 2)]! ^= 1
  return changed
}

async function awsSide(weather: (request: AwsRequest) => Fault | undefined = () => undefined): Promise<AwsSide> {
  const emulators = await Emulators.start()
  const { place, proxy } = emulators
  const breaches: string[] = []
  proxy.listen = (call) => breaches.push(...breachesOf(call))
  proxy.weather = weather
  const made: { close: () => void }[] = []
  const clients = () => {
    made.push(awsClients(place.endpoint))
    return made.at(-1)! as ReturnType<typeof awsClients>
  }
  const blobs = () => new S3Blobs({ client: clients().s3, bucket: place.bucket, prefix: 'blocks/' })
  return {
    stores: (clock) =>
      dynamoStores({ client: clients().dynamodb, table: place.table, blobs: blobs(), ancestors: ancestorsIn(clients(), place), clock }),
    async queue(name, { fifo, visibilityMs }) {
      const { sqs } = clients()
      const QueueName = fifo ? `${name}.fifo` : name
      const Attributes = { VisibilityTimeout: String(visibilityMs / 1000), ...(fifo && { FifoQueue: 'true' }) }
      await sqs.send(new CreateQueueCommand({ QueueName, Attributes }))
      return new SqsQueue({ client: sqs, url: queueUrl(place, QueueName), blobs: blobs() })
    },
    async damage(pool, n) {
      proxy.weather = () => undefined
      const { dynamodb } = clients()
      const Key = { pk: { S: `pool#${pool}` }, sk: { S: `block#${String(n).padStart(12, '0')}` } }
      const { Item } = await dynamodb.send(new GetItemCommand({ TableName: place.table, Key, ConsistentRead: true }))
      await dynamodb.send(new PutItemCommand({ TableName: place.table, Item: { ...Item, block: { B: flipped(Item!.block!.B!) } } }))
      proxy.weather = weather
    },
    async aside(pool, n) {
      proxy.weather = () => undefined
      const Key = { pk: { S: `pool#${pool}` }, sk: { S: `damaged#${String(n).padStart(12, '0')}` } }
      const { Item } = await clients().dynamodb.send(new GetItemCommand({ TableName: place.table, Key, ConsistentRead: true }))
      proxy.weather = weather
      return Item?.block?.B
    },
    blobs,
    async damageBlob(sha256) {
      proxy.weather = () => undefined
      await clients().s3.send(new PutObjectCommand({ Bucket: place.bucket, Key: `blocks/${sha256}`, Body: 'damaged' }))
      proxy.weather = weather
    },
    async close() {
      for (const each of made) each.close()
      await emulators[Symbol.asyncDispose]()
      if (breaches.length) throw new Error(`the emulators did what AWS would not do: ${[...new Set(breaches)].join('; ')}`)
    },
  }
}

/** Requests that the emulators treat better than AWS: all their reads are consistent, and they accept empty messages. */
function breachesOf({ operation, input }: AwsRequest): string[] {
  switch (operation) {
    case 'GetItem':
    case 'Query':
      return input.ConsistentRead ? [] : [`a consistent ${operation} that was not requested`]
    case 'BatchGetItem':
      return Object.values<{ ConsistentRead?: boolean }>(input.RequestItems).every((one) => one.ConsistentRead)
        ? []
        : ['a consistent BatchGetItem that was not requested']
    case 'SendMessageBatch':
      return (input.Entries as { MessageBody: string }[]).every(({ MessageBody }) => MessageBody) ? [] : ['an empty message']
    default:
      return []
  }
}
