import { randomBytes } from 'node:crypto'
import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { S3Blobs } from '../../shared/blobs/s3.ts'
import type { Block } from '../../shared/ledger/block.ts'
import type { EntryId } from '../../shared/ledger/kinds.ts'
import type { KeptStatus } from '../../shared/ledger/status.ts'
import { SqsQueue } from '../../shared/queue/sqs.ts'
import { dynamoStores } from '../../shared/store/dynamodb/index.ts'
import { partitionsOf, STORES, type StoreName } from '../../shared/store/dynamodb/partitions.ts'
import type { Key } from '../../shared/store/dynamodb/table.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { Receipt } from '../../shared/store/receipts.ts'
import { type AwsClients, ancestorsIn, awsClients, queueUrl } from '../aws/clients.ts'
import { Emulators } from '../aws/emulators.ts'
import type { AwsCall, Fault } from '../aws/proxy.ts'
import { until } from '../machine/machine.ts'

// What happens only on AWS: lost answers, throttling, half-done batches, and the number and price of requests.

/** When clients give up in tests of failures that never end, ms. */
const GIVE_UP_MS = 400
const UNAVAILABLE = { code: 'UNAVAILABLE', retryable: true }

let emulators: Emulators
let clients: AwsClients
let blobs: S3Blobs
let stores: Stores
let impatientBlobs: S3Blobs
let impatientStores: Stores
let calls: AwsCall[]

beforeAll(async () => {
  emulators = await Emulators.start()
  const { place, proxy } = emulators
  clients = awsClients(place.endpoint)
  const [s3, dynamodb] = [
    { client: clients.s3, bucket: place.bucket, prefix: 'blocks/' as const },
    { client: clients.dynamodb, table: place.table },
  ]
  blobs = new S3Blobs(s3)
  const ancestors = ancestorsIn(clients, place)
  stores = dynamoStores({ ...dynamodb, blobs, ancestors })
  impatientBlobs = new S3Blobs({ ...s3, giveUpMs: GIVE_UP_MS })
  impatientStores = dynamoStores({ ...dynamodb, blobs: impatientBlobs, ancestors, giveUpMs: GIVE_UP_MS })
  proxy.listen = (call) => calls.push(call)
  calls = []
})
afterEach(() => {
  emulators.proxy.weather = () => undefined
  calls = []
})
afterAll(async () => {
  clients?.close()
  await emulators?.[Symbol.asyncDispose]()
})

/** Gives each of the next requests of this operation one of the faults. */
function goWrong(operation: string, ...faults: Fault[]): void {
  emulators.proxy.weather = (request) => (request.operation === operation ? faults.shift() : undefined)
}

function alwaysGoesWrong(operation: string, fault: Fault): void {
  emulators.proxy.weather = (request) => (request.operation === operation ? fault : undefined)
}

function operations(): string[] {
  return calls.map(({ operation }) => operation)
}

let pools = 0
function pool(): string {
  return `pool-${pools++}`
}

function block(n = 0, size = 100): Block {
  return { n, first: n, count: 1, bytes: randomBytes(size) }
}

function receipts(count: number): Receipt[] {
  return Array.from({ length: count }, (_, seq) => {
    const [txid, id] = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex') as EntryId]
    return { key: txid, id, txid, seq, block: 0 }
  })
}

let queues = 0
async function queue(options: { fifo?: boolean; gatherMs?: number; giveUpMs?: number } = {}): Promise<SqsQueue> {
  const { fifo, ...more } = options
  const QueueName = `queue-${queues++}${fifo ? '.fifo' : ''}`
  await clients.sqs.send(
    new CreateQueueCommand({ QueueName, Attributes: { VisibilityTimeout: '300', ...(fifo && { FifoQueue: 'true' }) } }),
  )
  const made = new SqsQueue({
    client: clients.sqs,
    url: queueUrl(emulators.place, QueueName),
    blobs: more.giveUpMs ? impatientBlobs : blobs,
    ...more,
  })
  calls = []
  return made
}

function messages(count: number, group?: string) {
  return Array.from({ length: count }, (_, i) => ({ body: Buffer.from(`${i}`), ...(group && { group }) }))
}

async function receiveAll(from: SqsQueue, count: number): Promise<string[]> {
  const got: string[] = []
  await until(
    async () => {
      const some = await from.receive({ max: 100, waitMs: 1_000 })
      got.push(...some.map(({ body }) => Buffer.from(body).toString()))
      await from.delete(some)
      return got.length
    },
    (length) => length >= count,
  )
  return got
}

describe('a block whose put', () => {
  it('was done, but whose answer was lost, is found in its place', async () => {
    const name = pool()
    const [first, second] = [block(), block()]
    goWrong('PutItem', 'lost')
    expect(await stores.blocks.put(name, first)).toBe(first)
    goWrong('PutItem', 'lost', 'lost')
    expect(Buffer.compare((await stores.blocks.put(name, second)).bytes, first.bytes)).toBe(0)
    expect(await stores.blocks.read(name, 0)).toHaveLength(1)
  })

  it('is not answered in time is retried, whether it was done or not', async () => {
    const name = pool()
    const hurried = dynamoStores({
      client: clients.dynamodb,
      table: emulators.place.table,
      blobs,
      ancestors: stores.ancestors,
      attemptMs: 100,
    })
    goWrong('PutItem', 'unheard', 'unanswered')
    const put = block()
    expect(await hurried.blocks.put(name, put)).toBe(put)
    expect(operations()).toEqual(['PutItem', 'PutItem', 'GetItem'])
    expect(await hurried.blocks.read(name, 0)).toHaveLength(1)
  })

  it('was throttled, refused, failed or unavailable is retried', async () => {
    const name = pool()
    const put = block()
    goWrong('PutItem', 'throttled', 'refused', 'failed', 'unavailable')
    expect(await stores.blocks.put(name, put)).toBe(put)
    expect(operations()).toEqual(['PutItem'])
  })

  it('is throttled for long fails as UNAVAILABLE and retryable', async () => {
    alwaysGoesWrong('PutItem', 'throttled')
    await expect(impatientStores.blocks.put(pool(), block())).rejects.toMatchObject(UNAVAILABLE)
  })

  it('can never work fails as UNAVAILABLE and not retryable', async () => {
    const nowhere = dynamoStores({ client: clients.dynamodb, table: 'nowhere', blobs, ancestors: stores.ancestors, giveUpMs: GIVE_UP_MS })
    await expect(nowhere.blocks.put(pool(), block())).rejects.toMatchObject({ code: 'UNAVAILABLE', retryable: false })
  })
})

describe('a large block', () => {
  it('is in S3 before its item points to it', async () => {
    const put = block(0, 20_000)
    await stores.blocks.put(pool(), put)
    expect(operations()).toEqual(['PUT', 'PutItem'])
    expect(calls[1]!.input.Item.blob.S).toBe(calls[0]!.path.split('/').at(-1))
    expect(calls[1]!.input.Item.block).toBeUndefined()
  })

  it('has no item when S3 refuses it', async () => {
    const name = pool()
    alwaysGoesWrong('PUT', 'throttled')
    await expect(impatientStores.blocks.put(name, block(0, 20_000))).rejects.toMatchObject(UNAVAILABLE)
    expect(await stores.blocks.last(name)).toBeUndefined()
  })

  it('is in its item up to 16 KiB', async () => {
    await stores.blocks.put(pool(), block(0, 16 * 1024))
    expect(operations()).toEqual(['PutItem'])
  })
})

describe('receipts', () => {
  it('that a batch did not write are written with the next', async () => {
    const name = pool()
    const all = receipts(60)
    goWrong('BatchWriteItem', 'partial', 'throttled', 'partial', 'partial', 'lost', 'failed')
    await stores.receipts.put(name, all)
    emulators.proxy.weather = () => undefined
    expect(await stores.receipts.find(name, all)).toEqual(all)
  })

  it('that a batch did not read are read with the next', async () => {
    const name = pool()
    const all = receipts(150)
    await stores.receipts.put(name, all)
    goWrong('BatchGetItem', 'partial', 'throttled', 'partial', 'partial', 'lost', 'failed')
    expect(await stores.receipts.find(name, all)).toEqual(all)
  })

  it('whose batches stay unprocessed for long fail as UNAVAILABLE and retryable', async () => {
    const all = receipts(1) // half a batch of one is empty
    alwaysGoesWrong('BatchWriteItem', 'partial')
    await expect(impatientStores.receipts.put(pool(), all)).rejects.toMatchObject(UNAVAILABLE)
    alwaysGoesWrong('BatchGetItem', 'partial')
    await expect(impatientStores.receipts.find(pool(), all)).rejects.toMatchObject(UNAVAILABLE)
  })

  it('are written in batches of 25 and read in batches of 100, at one unit each', async () => {
    const name = `p${'o'.repeat(62)}` // the longest name
    const all = receipts(200)
    const byId = all.map((receipt) => ({ ...receipt, key: receipt.id, seq: Number.MAX_SAFE_INTEGER }))
    await stores.receipts.put(name, [...all, ...byId])
    expect(operations()).toEqual(new Array(16).fill('BatchWriteItem'))
    expect(unitsOf('BatchWriteItem')).toBe(400)
    calls = []
    await stores.receipts.find(name, [...all, ...receipts(50)])
    expect(operations()).toEqual(new Array(3).fill('BatchGetItem'))
    expect(unitsOf('BatchGetItem')).toBe(250)
  })
})

describe('the control item', () => {
  it('is changed by one request, or by several if a field would go back to an earlier value', async () => {
    const path = pool()
    await stores.control.create({ kind: 'own', path, key: 'k', discoveryKey: 'd', createdAt: 1 })
    calls = []
    await stores.control.update(path, { checkpoint: 2, coreLength: 2, treeHash: 'two', halted: undefined })
    expect(operations()).toEqual(['UpdateItem'])
    await stores.control.update(path, { checkpoint: 1, coreLength: 3, treeHash: 'three' })
    expect(operations()).toEqual(['UpdateItem', 'UpdateItem', 'UpdateItem', 'UpdateItem'])
    expect(await stores.control.read(path)).toMatchObject({ checkpoint: 2, coreLength: 3, treeHash: 'three' })
  })
})

describe('statuses', () => {
  const open: Omit<KeptStatus, 'txid'> = { seq: 1, status: 'sent' }
  const many = (count: number, said: Omit<KeptStatus, 'txid'>) =>
    Array.from({ length: count }, (_, i): KeptStatus => ({ ...said, txid: i.toString(16).padStart(64, '0') }))

  it('are looked up and marked in batches, and cost a request each for the status itself', async () => {
    const name = pool()
    await stores.statuses.put(name, many(30, open))
    expect(operations()).toEqual(['BatchGetItem', 'BatchWriteItem', 'BatchWriteItem', ...new Array(30).fill('UpdateItem')])
    calls = []
    await stores.statuses.put(name, many(30, { seq: 2, status: 'seen' })) // they are marked already
    expect(operations()).toEqual(['BatchGetItem', ...new Array(30).fill('UpdateItem')])
    calls = []
    await stores.statuses.put(name, many(30, { seq: 3, status: 'mined', blockHash: 'cd'.repeat(32), proven: true }))
    const marks = ['BatchWriteItem', 'BatchWriteItem']
    expect(operations()).toEqual(['BatchGetItem', ...marks, ...new Array(30).fill('UpdateItem'), ...marks])
    expect(await stores.statuses.open(name)).toEqual([])
    calls = []
    await stores.statuses.put(name, many(30, open)) // an older block has its effects again
    expect(operations()).toEqual(['BatchGetItem'])
  })

  it('are marked before they are written, and lose a mark after that', async () => {
    const name = pool()
    await stores.statuses.put(name, many(1, open))
    alwaysGoesWrong('UpdateItem', 'throttled')
    const mined = many(1, { seq: 2, status: 'mined', blockHash: 'cd'.repeat(32), proven: true })
    await expect(impatientStores.statuses.put(name, mined)).rejects.toMatchObject(UNAVAILABLE)
    expect(await stores.statuses.open(name)).toHaveLength(1)
    emulators.proxy.weather = () => undefined
    await stores.statuses.put(name, mined)
    expect(await stores.statuses.open(name)).toEqual([])
    expect(await stores.statuses.minedIn(name, 'cd'.repeat(32))).toHaveLength(1)
  })
})

describe('rights on one store', () => {
  const letter = { seq: 0, block: 0, error: 'it threw', attempts: 1, at: 0 }
  const cursor = { seq: 0, block: 0, attempts: 0 }
  const uses: Record<StoreName, (path: string) => Promise<unknown>[]> = {
    blocks: (path) => [
      stores.blocks.put(path, block()),
      stores.blocks.read(path, 0),
      stores.blocks.last(path),
      stores.blocks.find(path, 0),
    ],
    receipts: (path) => [
      stores.receipts.put(path, receipts(1)),
      stores.receipts.find(path, receipts(1)),
      stores.receipts.ofTransaction(path, 'ab'),
    ],
    statuses: (path) => [
      stores.statuses.put(path, [{ txid: 'ab'.repeat(32), seq: 1, status: 'sent' }]),
      stores.statuses.newest(path, ['ab'.repeat(32)]),
      stores.statuses.open(path),
      stores.statuses.minedIn(path, 'cd'.repeat(32)),
      stores.statuses.forget(path),
    ],
    control: (path) => [
      stores.control.create({ kind: 'own', path, key: 'k', discoveryKey: 'd', createdAt: 1 }),
      stores.control.read(path),
      stores.control.list(),
      stores.control.update(path, { checkpoint: 1 }),
    ],
    progress: (path) => [
      stores.progress.readCursor('h', path),
      stores.progress.writeCursor('h', path, cursor),
      stores.progress.askRedrive('h', path, 1),
      stores.progress.endRedrive('h', path, { redrive: 1, redriveSome: 1 }),
      stores.progress.setPaused('h', path, { reason: 'x', at: 1 }),
      stores.progress.listHandlers(path),
      stores.progress.putDead('h', path, letter),
      stores.progress.listDead('h', path),
      stores.progress.deleteDead('h', path, 0),
    ],
    state: (path) => [stores.state.get('h', path, 'a'), stores.state.list('h', path, { limit: 1 }), stores.state.journal('h', path)],
    leases: (path) => [stores.leases.take(path, 'me', 1_000), stores.leases.release(path, 'me')],
    invoices: (path) => [
      stores.invoices.nextKey(),
      stores.invoices.make({ id: 'an id', pool: path, outputs: [], createdAt: 1 }),
      stores.invoices.claim(
        path,
        'an id',
        { entry: 'ab' as EntryId, txid: 'ab', state: 'paid', received: 1, at: 1, spends: [] },
        undefined,
      ),
      stores.invoices.note(path, 'an id', { entry: 'cd' as EntryId, txid: 'cd', received: 1, at: 1, state: 'late' }),
      stores.invoices.cancel(path, 'an id', 1),
      stores.invoices.standings(path, ['an id']),
      stores.invoices.use(path, 'an output', 'an id'),
      stores.invoices.named(path, 'a name', 'an id'),
      stores.invoices.find(path, 'an id'),
      stores.invoices.list(path),
    ],
  }

  it.each(STORES)('are enough: %s touches only items under its own partition keys', async (store) => {
    await Promise.all(uses[store](pool()))
    const patterns = partitionsOf(store).map((pattern) => new RegExp(`^${pattern.replace('*', '.+')}$`))
    const touched = calls.flatMap(partitionsIn)
    expect(touched.length).toBeGreaterThanOrEqual(calls.length)
    expect(touched.filter((key) => !patterns.some((pattern) => pattern.test(key)))).toEqual([])
    for (const pattern of patterns) expect(touched.some((key) => pattern.test(key))).toBe(true)
  })
})

/** The partition keys that a request to the table names. */
function partitionsIn({ operation, input }: AwsCall): string[] {
  const batch = <Part>(requests: Record<string, Part>) => Object.values(requests)
  if (operation === 'Query') return [input.ExpressionAttributeValues[':pk'].S]
  if (operation === 'PutItem') return [input.Item.pk.S]
  if (operation === 'BatchGetItem') return batch<{ Keys: Key[] }>(input.RequestItems).flatMap(({ Keys }) => Keys.map(({ pk }) => pk.S!))
  if (operation === 'BatchWriteItem')
    return batch<{ PutRequest: { Item: Key } }[]>(input.RequestItems).flatMap((puts) => puts.map((put) => put.PutRequest.Item.pk.S!))
  return [input.Key.pk.S]
}

describe('messages', () => {
  it('that a batch did not send are sent with the next, and none twice', async () => {
    const standard = await queue()
    goWrong('SendMessageBatch', 'partial', 'throttled', 'partial', 'partial', 'failed', 'refused')
    await standard.send(messages(25))
    expect((await receiveAll(standard, 25)).sort()).toEqual(
      messages(25)
        .map(({ body }) => body.toString())
        .sort(),
    )
    expect(await standard.depth()).toEqual({ waiting: 0, inFlight: 0 })
  })

  it('of a FIFO queue keep their order when some are sent again, and arrive once when an answer is lost', async () => {
    const fifo = await queue({ fifo: true })
    goWrong('SendMessageBatch', 'lost', 'partial', 'throttled', 'partial', 'lost', 'failed', 'lost')
    await fifo.send(messages(12, 'a'))
    expect(await receiveAll(fifo, 12)).toEqual(messages(12).map(({ body }) => body.toString()))
    expect(await fifo.depth()).toEqual({ waiting: 0, inFlight: 0 })
  })

  it('that cannot be sent for long, or never, fail as UNAVAILABLE', async () => {
    const [standard, fifo] = [await queue({ giveUpMs: GIVE_UP_MS }), await queue({ fifo: true })]
    alwaysGoesWrong('SendMessageBatch', 'partial')
    await expect(standard.send(messages(1))).rejects.toMatchObject(UNAVAILABLE)
    alwaysGoesWrong('SendMessageBatch', 'throttled')
    await expect(standard.send(messages(1))).rejects.toMatchObject(UNAVAILABLE)
    emulators.proxy.weather = () => undefined
    await expect(fifo.send(messages(1))).rejects.toMatchObject({ code: 'UNAVAILABLE', retryable: false }) // without a group
  })

  it('are deleted and put back when some requests fail', async () => {
    const standard = await queue()
    await standard.send(messages(12))
    const all = await standard.receive({ max: 12, waitMs: 1_000 })
    goWrong('ChangeMessageVisibilityBatch', 'partial', 'throttled', 'lost', 'partial')
    await standard.giveBack(all, 0)
    expect(await standard.depth()).toEqual({ waiting: 12, inFlight: 0 })
    const again = await standard.receive({ max: 12, waitMs: 1_000 })
    goWrong('DeleteMessageBatch', 'partial', 'throttled', 'lost', 'partial')
    await standard.delete(again)
    expect(await standard.depth()).toEqual({ waiting: 0, inFlight: 0 })
  })

  it('that are too large are in S3 before they are sent, and one whose blob cannot be read delays no other', async () => {
    const standard = await queue({ giveUpMs: GIVE_UP_MS })
    await standard.send([{ body: randomBytes(1_000_000) }])
    expect(operations()).toEqual(['PUT', 'SendMessageBatch'])
    alwaysGoesWrong('GET', 'throttled')
    await expect(standard.receive({ max: 10, waitMs: 1_000 })).rejects.toMatchObject(UNAVAILABLE)
    await standard.send([{ body: randomBytes(1_000_001) }, { body: Buffer.from('small') }])
    expect(await receiveAll(standard, 1)).toEqual(['small'])
    expect(await standard.depth()).toEqual({ waiting: 0, inFlight: 2 })
  })

  it('in large numbers are received by several requests at once, in few rounds', async () => {
    const standard = await queue()
    await standard.send(messages(100))
    calls = []
    expect(await standard.receive({ max: 75, waitMs: 1_000 })).toHaveLength(75)
    expect(operations()).toEqual(new Array(8).fill('ReceiveMessage'))
    expect(await standard.receive({ max: 256, waitMs: 1_000 })).toHaveLength(25)
    expect(calls).toHaveLength(8 + 4) // these get ten, ten, five and none
  })

  it('are deleted in one batch if the queue may wait for it', async () => {
    const gathering = await queue({ gatherMs: 300 })
    await gathering.send(messages(9))
    const all = await gathering.receive({ max: 9, waitMs: 1_000 })
    calls = []
    void gathering.delete(all.slice(0, 3))
    void gathering.delete(all.slice(3, 5))
    await gathering.delete(all.slice(5, 8))
    expect(calls.map(({ input }) => input.Entries.length)).toEqual([8])
    void gathering.delete(all.slice(8))
    await gathering.close()
    expect(await gathering.depth()).toEqual({ waiting: 0, inFlight: 0 })
  })

  it('are received in larger batches if the queue may wait for them, and a single message is not delayed', async () => {
    const gathering = await queue({ gatherMs: 600_000 })
    await gathering.send(messages(11))
    expect(await gathering.receive({ max: 5, waitMs: 1_000 })).toHaveLength(5)
    expect(await gathering.receive({ max: 5, waitMs: 1_000 }), 'the messages left in the queue are not delayed').toHaveLength(5)
    expect(await gathering.receive({ max: 10, waitMs: 1_000 })).toHaveLength(1)
    await gathering.send(messages(1))
    const stop = new AbortController()
    calls = []
    const held = gathering.receive({ max: 10, waitMs: 1_000, signal: stop.signal })
    await gathering.depth()
    stop.abort()
    expect(await held).toEqual([])
    expect(operations()).toEqual(['GetQueueAttributes'])
  })
})

describe('blobs', () => {
  it('are put and read when some requests fail', async () => {
    const bytes = randomBytes(1_000)
    goWrong('PUT', 'throttled', 'lost', 'refused', 'failed')
    const sha256 = await blobs.put(bytes)
    goWrong('GET', 'throttled', 'lost', 'refused', 'failed')
    expect(Buffer.compare(await blobs.get(sha256), bytes)).toBe(0)
  })

  it('that cannot be read for long fail as UNAVAILABLE, not as missing', async () => {
    const sha256 = await blobs.put(randomBytes(10))
    alwaysGoesWrong('GET', 'failed')
    await expect(impatientBlobs.get(sha256)).rejects.toMatchObject(UNAVAILABLE)
  })
})

function unitsOf(operation: string): number {
  return calls
    .filter((call) => call.operation === operation)
    .flatMap(({ output }) => output.ConsumedCapacity as { CapacityUnits: number }[])
    .reduce((sum, { CapacityUnits }) => sum + CapacityUnits, 0)
}
