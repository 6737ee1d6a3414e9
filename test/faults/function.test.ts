import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { handlerFunction } from '../../functions/handler/function.ts'
import type { BellsEvent } from '../../functions/handler/lambda.ts'
import { S3Blobs } from '../../shared/blobs/s3.ts'
import { type Clock, systemClock } from '../../shared/clock.ts'
import { checkSettings, type PoolSettings } from '../../shared/config/config.ts'
import { MAX_BLOCK_ENTRIES } from '../../shared/ledger/block.ts'
import { encodeBell } from '../../shared/ledger/messages.ts'
import type { TxEvent } from '../../shared/machine/event.ts'
import { LedgerPools } from '../../shared/machine/pools.ts'
import { SqsQueue } from '../../shared/queue/sqs.ts'
import { dynamoStores } from '../../shared/store/dynamodb/index.ts'
import type { Stores } from '../../shared/store/port.ts'
import { poolKeys } from '../../sidecar/cores/core.ts'
import { type AwsClients, awsClients, queueUrl } from '../aws/clients.ts'
import { Emulators } from '../aws/emulators.ts'
import { EventSource, type Invocation } from '../aws/event-source.ts'
import { HandClock } from '../hand-clock.ts'
import { CloudMachine } from '../machine/cloud.ts'
import { payment, until } from '../machine/machine.ts'
import { blockOf } from './ledger.ts'

// A handler as a function of Lambda, called with batches of bells by hand: what becomes of the entries that it has trouble with, and of those beside them.

const QUEUE = 'tx-main.fifo'
const VISIBILITY_S = 60
/** Of the function, with what does not pass. */
const giveUpMs = 200

let emulators: Emulators
let clients: AwsClients
let blobs: S3Blobs
let stores: Stores
let queue: SqsQueue
let ran: string[]
let failures: unknown[]

beforeEach(async () => {
  emulators = await Emulators.start()
  const { place } = emulators
  clients = awsClients(place.endpoint)
  await clients.sqs.send(
    new CreateQueueCommand({ QueueName: QUEUE, Attributes: { FifoQueue: 'true', VisibilityTimeout: String(VISIBILITY_S) } }),
  )
  blobs = new S3Blobs({ client: clients.s3, bucket: place.bucket, prefix: 'blocks/', giveUpMs })
  stores = dynamoStores({ client: clients.dynamodb, table: place.table, blobs, giveUpMs })
  queue = new SqsQueue({ client: clients.sqs, url: queueUrl(place, QUEUE), blobs, giveUpMs })
  ran = []
  failures = []
})
afterEach(async () => {
  clients.close()
  await emulators[Symbol.asyncDispose]()
})

interface FunctionOptions {
  /** does something with an entry, named by its pool and number */
  onTx: (name: string) => unknown
  pools: Record<string, PoolSettings>
  clock?: Clock
  /** how long a call has, ms */
  functionMs?: number
}

/** The function, behind its queue; what it ends with is noted in `ran`. */
function source({ onTx, pools, clock = systemClock, functionMs = 120_000 }: FunctionOptions): EventSource {
  const settings = (pool: string) => checkSettings(pools[pool]!, pool)
  const answer = handlerFunction({
    handler: 'main',
    queue,
    stores,
    pools: new LedgerPools({ stores, ingress: queue, clock, settings, postFailed: () => {} }),
    settings,
    clock,
    functions: {
      async tx({ path, seq }: TxEvent) {
        const name = `${path} ${seq}`
        await onTx(name)
        ran.push(name)
      },
    },
    report: () => {},
    failed: (error) => failures.push(error),
  })
  return new EventSource({
    client: clients.sqs,
    url: queueUrl(emulators.place, QUEUE),
    functions: 4,
    invoke({ Records }) {
      const ends = clock.now() + functionMs
      const ofPools = Records.map((record) => ({ ...record, attributes: { ...record.attributes, MessageGroupId: poolOf(record) } }))
      return answer({ Records: ofPools }, () => ends - clock.now())
    },
  })
}

/** SQS gives out several messages of a group in one batch. The emulator gives one, so each message has a group of its own there. */
const groupOf = (pool: string, n: number) => `${pool}:${n}`
const poolOf = ({ attributes }: BellsEvent['Records'][number]) => attributes.MessageGroupId!.split(':')[0]!

/** Blocks of so many entries each in a pool, each of which is rung for. */
async function rung(pool: string, ...entries: number[]): Promise<void> {
  const { key, discoveryKey } = poolKeys(new Uint8Array(32).fill(7), pool)
  await stores.control.create({ kind: 'own', path: pool, key, discoveryKey, createdAt: 0 })
  let first = 0
  for (const [n, count] of entries.entries()) {
    const block = blockOf(n, first, ...Array.from({ length: count }, (_, i) => `${pool} ${first + i}`))
    await stores.blocks.put(pool, block)
    await queue.send([{ body: encodeBell({ pool, n }), group: groupOf(pool, n), dedupe: groupOf(pool, n) }])
    first += count
  }
}

/** The pools of the messages that a call gave back, one for each. */
function givenBack({ event, response }: Invocation): string[] {
  const ids = new Set(response.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier))
  return event.Records.flatMap((record) => (ids.has(record.messageId) ? [poolOf(record)] : [])).sort()
}

async function isEmpty(): Promise<boolean> {
  const { waiting, inFlight } = await queue.depth()
  return waiting + inFlight === 0
}

/** Calls the function until nothing is left in its queue. */
async function callOn(lambda: EventSource): Promise<void> {
  while (!(await isEmpty())) await lambda.once()
}

describe('a handler in a function', () => {
  it('that throws gives back the bells of that pool and no other; the entry comes again, and is kept with its error when it is given up', async () => {
    await rung('bad', 1, 1, 1)
    await rung('good', 1, 1)
    const lambda = source({
      pools: { bad: { maxAttempts: 2 }, good: {} },
      onTx(name) {
        if (name === 'bad 1') throw new Error('no')
      },
    })
    const first = (await lambda.once())!
    expect(first.event.Records).toHaveLength(5)
    expect(givenBack(first)).toEqual(['bad', 'bad', 'bad'])
    expect(ran.sort()).toEqual(['bad 0', 'good 0', 'good 1'])
    expect(await stores.progress.readCursor('main', 'bad')).toMatchObject({ seq: 0, attempts: 1 })
    expect(await stores.progress.listDead('main', 'bad')).toEqual([])

    await callOn(lambda) // they come after a second, and not after the queue's visibility
    expect(ran.slice(3)).toEqual(['bad 2'])
    expect(await stores.progress.listDead('main', 'bad')).toMatchObject([{ seq: 1, attempts: 2, error: 'Error: no' }])
  })

  it('that throws in a pool that stops on poison has its bells answered, and runs on no later entry', async () => {
    await rung('strict', 1, 1, 1)
    const lambda = source({
      pools: { strict: { maxAttempts: 1, onPoison: 'stop' } },
      onTx(name) {
        if (name === 'strict 1') throw new Error('no')
      },
    })
    expect(givenBack((await lambda.once())!)).toEqual([])
    expect(await isEmpty()).toBe(true)
    expect(ran).toEqual(['strict 0'])
    expect(await stores.progress.readCursor('main', 'strict')).toMatchObject({ seq: 0, stopped: 'Error: no' })
  })

  it('that hangs has failed after timeoutMs: its bells go back, those of other pools do not', async () => {
    await rung('hangs', 1, 1)
    await rung('good', 1)
    let hangs = true
    const lambda = source({
      pools: { hangs: { timeoutMs: 200 }, good: {} },
      onTx: (name) => (name === 'hangs 0' && hangs ? new Promise(() => {}) : undefined),
    })
    expect(givenBack((await lambda.once())!)).toEqual(['hangs', 'hangs'])
    expect(ran).toEqual(['good 0'])
    expect(await stores.progress.readCursor('main', 'hangs')).toMatchObject({ seq: -1, attempts: 1 })

    hangs = false
    await callOn(lambda)
    expect(ran.slice(1)).toEqual(['hangs 0', 'hangs 1'])
    expect(await stores.progress.listDead('main', 'hangs')).toEqual([])
  })

  it('that hangs each time is given up, and its pool goes on', async () => {
    await rung('hangs', 1, 1)
    const lambda = source({
      pools: { hangs: { timeoutMs: 50, maxAttempts: 2 } },
      onTx: (name) => (name === 'hangs 0' ? new Promise(() => {}) : undefined),
    })
    await callOn(lambda)
    expect(ran).toEqual(['hangs 1'])
    expect(await stores.progress.listDead('main', 'hangs')).toMatchObject([{ seq: 0, error: 'Error: the handler took longer than 50 ms' }])
  })

  it('that is slow goes on in the next call where it was, and begins no entry that it might not end', async () => {
    await rung('slow', 10)
    const clock = new HandClock()
    const [entryMs, timeoutMs, functionMs] = [2_000, 3_000, 10_000]
    let ends = 0
    const begun: number[] = []
    const lambda = source({
      pools: { slow: { timeoutMs } },
      clock,
      functionMs,
      onTx() {
        begun.push(ends - clock.now())
        clock.wind(entryMs)
      },
    })
    const calls: string[][] = []
    while (!(await isEmpty())) {
      ends = clock.now() + functionMs
      calls.push(givenBack((await lambda.once())!))
      expect(await stores.progress.readCursor('main', 'slow')).toMatchObject({ seq: ran.length - 1, attempts: 0 })
    }
    expect(ran, 'each once').toEqual(Array.from({ length: 10 }, (_, seq) => `slow ${seq}`))
    expect(calls).toEqual([['slow'], ['slow'], ['slow'], []])
    expect(Math.min(...begun), 'left when an entry is begun').toBeGreaterThanOrEqual(timeoutMs)
  })

  it('whose function is killed in the middle is called again with the same entry', async () => {
    await rung('a', 1, 1)
    const hangs = source({ pools: { a: {} }, onTx: () => new Promise(() => {}) })
    void hangs.once() // Lambda ends it: nobody answers
    await until(
      () => queue.depth(),
      ({ inFlight }) => inFlight === 2,
    )
    await emulators.reclaim() // as if the visibility had lapsed
    const lambda = source({ pools: { a: {} }, onTx: () => {} })
    expect(givenBack((await lambda.once())!)).toEqual([])
    expect(ran).toEqual(['a 0', 'a 1'])
    expect(await isEmpty()).toBe(true)
  })

  it('that posts more than a batch and a block can hold posts each once, though it fails the first time', async () => {
    const posts = MAX_BLOCK_ENTRIES + 44
    await using machine = await CloudMachine.open({ many: {} })
    expect((await machine.post('many', payment('posts many', { forget: posts, throw: 1 }))).status).toBe(200)
    await until(
      () => new Set(machine.ended('many')).size,
      (ended) => ended === 1 + posts,
      60_000,
    )
    await until(
      () => machine.call('ingress'),
      ({ waiting, inFlight }) => waiting + inFlight === 0,
    )
    const events = await machine.call('read', { path: 'many' })
    expect(new Set(events.map(({ hash }) => hash)).size).toBe(1 + posts)
    expect(events).toHaveLength(1 + posts)
    expect(machine.runs('many').filter(({ seq, ended }) => seq === 0 && !ended)).toHaveLength(2)
  })
})

describe('a batch of bells', () => {
  it('of which some cannot be answered, since the mirror is away, gives those back and loses none', async () => {
    await rung('away', 1, 1)
    await rung('good', 1)
    const lambda = source({ pools: { away: {}, good: {} }, onTx: () => {} })
    emulators.proxy.weather = ({ operation, input }) =>
      operation === 'Query' && input.ExpressionAttributeValues[':pk'].S === 'pool#away' ? 'refused' : undefined
    expect(givenBack((await lambda.once())!)).toEqual(['away', 'away'])
    expect([ran, failures.length]).toEqual([['good 0'], 1])
    emulators.proxy.weather = () => undefined
    await callOn(lambda)
    expect(ran).toEqual(['good 0', 'away 0', 'away 1'])
  })

  it('that nobody can give back stays in the queue all the same, since the answer names it', async () => {
    await rung('bad', 1, 1)
    const lambda = source({
      pools: { bad: {} },
      onTx() {
        throw new Error('no')
      },
    })
    emulators.proxy.weather = ({ operation }) => (operation === 'ChangeMessageVisibilityBatch' ? 'failed' : undefined)
    expect(givenBack((await lambda.once())!)).toEqual(['bad', 'bad'])
    expect(failures).toMatchObject([{ code: 'UNAVAILABLE' }])
    expect(await queue.depth()).toEqual({ waiting: 0, inFlight: 2 })
  })

  it('with one that cannot be read answers the others of its pool', async () => {
    await rung('a', 1)
    await queue.send([{ body: Buffer.from('no bell'), group: groupOf('a', 1), dedupe: 'x' }])
    await rung('b', 1)
    const lambda = source({ pools: { a: {}, b: {} }, onTx: () => {} })
    expect(givenBack((await lambda.once())!)).toEqual([])
    expect(ran.sort()).toEqual(['a 0', 'b 0'])
    expect(failures).toMatchObject([{ code: 'BAD_MESSAGE' }])
    expect(await isEmpty()).toBe(true)
  })

  it('with one whose blob cannot be read puts back the messages of its pool, in order', async () => {
    await rung('a', 1)
    await queue.send([{ body: new Uint8Array(800_000), group: groupOf('a', 1), dedupe: 'large' }])
    await rung('b', 1)
    emulators.proxy.weather = ({ service }) => (service === 's3' ? 'failed' : undefined)
    const lambda = source({ pools: { a: {}, b: {} }, onTx: () => {} })
    expect(givenBack((await lambda.once())!)).toEqual(['a', 'a'])
    expect(ran).toEqual(['b 0'])
  })
})
