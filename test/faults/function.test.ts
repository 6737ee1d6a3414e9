import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { bundleHandler } from '../../cdk/bundle.ts'
import { runsInLogs } from '../../client/run-logs.ts'
import { handlerFunction } from '../../functions/handler/function.ts'
import type { BellsEvent } from '../../functions/handler/lambda.ts'
import { AwsClients as SharedClients } from '../../shared/aws/clients.ts'
import { S3Blobs } from '../../shared/blobs/s3.ts'
import { type Clock, systemClock } from '../../shared/clock.ts'
import { checkSettings, type PoolSettings } from '../../shared/config/config.ts'
import { MAX_BLOCK_ENTRIES } from '../../shared/ledger/block.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import { encodeBell } from '../../shared/ledger/messages.ts'
import { LedgerPools } from '../../shared/machine/pools.ts'
import { SqsQueue } from '../../shared/queue/sqs.ts'
import { dynamoStores } from '../../shared/store/dynamodb/index.ts'
import type { Stores } from '../../shared/store/port.ts'
import { poolKeys } from '../../sidecar/cores/core.ts'
import { type AwsClients, ancestorsIn, awsClients, queueUrl } from '../aws/clients.ts'
import { Emulators } from '../aws/emulators.ts'
import { EventSource, type Invocation } from '../aws/event-source.ts'
import { Project } from '../cdk/synth.ts'
import { HandClock } from '../hand-clock.ts'
import { CloudMachine } from '../machine/cloud.ts'
import { payment, until } from '../machine/machine.ts'
import { blockOf } from './ledger.ts'

// A handler as a Lambda function. The tests call it with batches of bells, and look what happens to entries that fail and to the others of the batch.

const QUEUE = 'tx-main.fifo'
const VISIBILITY_S = 60
/** When the function gives up on a failure that does not end, ms. */
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
  stores = dynamoStores({ client: clients.dynamodb, table: place.table, blobs, ancestors: ancestorsIn(clients, place), giveUpMs })
  queue = new SqsQueue({ client: clients.sqs, url: queueUrl(place, QUEUE), blobs, giveUpMs })
  ran = []
  failures = []
})
afterEach(async () => {
  clients.close()
  await emulators[Symbol.asyncDispose]()
})

interface FunctionOptions {
  /** is called with the pool and the number of each entry, as `pool seq` */
  onTx: (name: string) => unknown
  pools: Record<string, PoolSettings>
  clock?: Clock
  /** the time of one call, ms */
  functionMs?: number
}

/** The function, behind its queue. It notes each entry that it finished in `ran`. */
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

/** SQS delivers several messages of a group in one batch. The emulator delivers one, so here each message has a group of its own. */
const groupOf = (pool: string, n: number) => `${pool}:${n}`
const poolOf = ({ attributes }: BellsEvent['Records'][number]) => attributes.MessageGroupId!.split(':')[0]!

/** Puts blocks of these numbers of entries into a pool, and sends a bell for each. */
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

/** The pool of each message that a call gave back. */
function givenBack({ event, response }: Invocation): string[] {
  const ids = new Set(response.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier))
  return event.Records.flatMap((record) => (ids.has(record.messageId) ? [poolOf(record)] : [])).sort()
}

async function isEmpty(): Promise<boolean> {
  const { waiting, inFlight } = await queue.depth()
  return waiting + inFlight === 0
}

/** Calls the function until its queue is empty. */
async function callOn(lambda: EventSource): Promise<void> {
  while (!(await isEmpty())) await lambda.once()
}

describe('a handler in a function', () => {
  it('that throws gives back the bells of that pool only; the entry comes again, and at last becomes a dead letter with its error', async () => {
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

    await callOn(lambda) // the bells come after a second, not after the queue's visibility timeout
    expect(ran.slice(3)).toEqual(['bad 2'])
    expect(await stores.progress.listDead('main', 'bad')).toMatchObject([{ seq: 1, attempts: 2, error: 'Error: no' }])
  })

  it('that throws in a pool with onPoison: stop has its bells deleted, and runs on no later entry', async () => {
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

  it('that hangs fails after timeoutMs: its bells go back, and those of other pools do not', async () => {
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

  it('that hangs each time gives up on the entry, and its pool goes on', async () => {
    await rung('hangs', 1, 1)
    const lambda = source({
      pools: { hangs: { timeoutMs: 50, maxAttempts: 2 } },
      onTx: (name) => (name === 'hangs 0' ? new Promise(() => {}) : undefined),
    })
    await callOn(lambda)
    expect(ran).toEqual(['hangs 1'])
    expect(await stores.progress.listDead('main', 'hangs')).toMatchObject([{ seq: 0, error: 'Error: the handler took longer than 50 ms' }])
  })

  it('that is slow goes on in the next call, and begins no entry that it might not finish', async () => {
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
    expect(ran, 'each entry once').toEqual(Array.from({ length: 10 }, (_, seq) => `slow ${seq}`))
    expect(calls).toEqual([['slow'], ['slow'], ['slow'], []])
    expect(Math.min(...begun), 'time left when an entry begins').toBeGreaterThanOrEqual(timeoutMs)
  })

  it('whose function is killed while it runs is called again with the same entry', async () => {
    await rung('a', 1, 1)
    const hangs = source({ pools: { a: {} }, onTx: () => new Promise(() => {}) })
    void hangs.once() // Lambda kills the function: the call has no answer
    await until(
      () => queue.depth(),
      ({ inFlight }) => inFlight === 2,
    )
    await emulators.reclaim() // as if the visibility timeout had ended
    const lambda = source({ pools: { a: {} }, onTx: () => {} })
    expect(givenBack((await lambda.once())!)).toEqual([])
    expect(ran).toEqual(['a 0', 'a 1'])
    expect(await isEmpty()).toBe(true)
  })

  it('that blocks is named by its function, which ends, and the attempt counts', async () => {
    using project = new Project("{ pools: { a: { handler: './main.ts' } } }", { 'main.ts': 'export function onTx() { for (;;) {} }\n' })
    const { dir } = await bundleHandler('main', { file: join(project.dir, 'main.ts'), named: './main.ts' }, project.config)
    const { endpoint, table, bucket } = emulators.place
    const url = queueUrl(emulators.place, QUEUE)
    const env = { HANDLER: 'main', BELLS_URL: url, TABLE: table, BUCKET: bucket, INGRESS_URLS: url, NAMESPACE: 'Overpool' }
    await rung('a', 1)
    const lambda = new EventSource({
      client: clients.sqs,
      url,
      functions: 1,
      async invoke({ Records }) {
        const again = Records.map((record) => ({
          ...record,
          attributes: { ...record.attributes, MessageGroupId: 'a', ApproximateReceiveCount: '2' },
        }))
        const child = spawn(
          process.execPath,
          [
            '--input-type=module',
            '-e',
            `const { handler } = await import(${JSON.stringify(pathToFileURL(join(dir, 'index.mjs')))})
             await handler(${JSON.stringify({ Records: again })}, { getRemainingTimeInMillis: () => 120_000 })`,
          ],
          {
            stdio: ['ignore', 'inherit', 'pipe'],
            env: { ...env, AWS_ENDPOINT_URL: endpoint, AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' },
          },
        )
        const [said, [, signal]] = await Promise.all([child.stderr.setEncoding('utf8').toArray(), once(child, 'exit')])
        expect(said.join('')).toMatch(/^\{.*"level":"error","message":"handler main with a #0 has blocked the process for 10 s/m)
        expect(signal).toBe('SIGKILL')
        return { batchItemFailures: Records.map(({ messageId }) => ({ itemIdentifier: messageId })) }
      },
    })
    await lambda.once()
    expect(await stores.progress.readCursor('main', 'a')).toEqual({ seq: -1, block: 0, attempts: 0, begun: 2 })
  })

  it('writes its runs into its log, where they are found by their entries, with the console lines of each', async () => {
    const code = `export async function onTx(e) {
      console.log('began', e.seq)
      await new Promise((resolve) => setTimeout(resolve, 20))
      if (e.seq === 1) throw new Error('no such table')
      console.warn('ended')
    }`
    using project = new Project("{ pools: { a: { handler: './main.ts' } } }", { 'main.ts': code })
    const { dir } = await bundleHandler('main', { file: join(project.dir, 'main.ts'), named: './main.ts' }, project.config)
    const { endpoint, table, bucket } = emulators.place
    const url = queueUrl(emulators.place, QUEUE)
    const env = { HANDLER: 'main', BELLS_URL: url, TABLE: table, BUCKET: bucket, INGRESS_URLS: url, NAMESPACE: 'Overpool' }
    await rung('a', 2)
    const lines: string[] = []
    const lambda = new EventSource({
      client: clients.sqs,
      url,
      functions: 1,
      async invoke({ Records }) {
        const records = Records.map((record) => ({ ...record, attributes: { ...record.attributes, MessageGroupId: 'a' } }))
        const script = `const { handler } = await import(${JSON.stringify(pathToFileURL(join(dir, 'index.mjs')))})
          console.log(JSON.stringify(await handler(${JSON.stringify({ Records: records })}, { getRemainingTimeInMillis: () => 120_000 })))`
        const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
          stdio: ['ignore', 'pipe', 'inherit'],
          env: { ...env, AWS_ENDPOINT_URL: endpoint, AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' },
        })
        lines.push(...(await child.stdout.setEncoding('utf8').toArray()).join('').split('\n'))
        return { batchItemFailures: Records.map(({ messageId }) => ({ itemIdentifier: messageId })) }
      },
    })
    await lambda.once()
    const written = lines.filter((line) => line.includes('"message":"runs"')).map((message) => ({ timestamp: Date.now(), message }))
    emulators.logs['log of main'] = written
    const found = async (query: object) => {
      const reaching = new SharedClients({ region: 'us-east-1', endpoint })
      for (const [name, value] of Object.entries({ AWS_ENDPOINT_URL: endpoint, AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }))
        vi.stubEnv(name, value)
      return runsInLogs(reaching, new Map([['main', 'log of main']]), { pool: 'a', ...query }, 0).finally(() => {
        reaching.close()
        vi.unstubAllEnvs()
      })
    }
    expect(await found({})).toMatchObject([
      {
        handler: 'main',
        seq: 1,
        kind: 'tx',
        attempt: 1,
        outcome: 'failed',
        console: ['began 1'],
        posts: 0,
        error: expect.stringMatching(/^Error: no such table\n +at /),
      },
      { handler: 'main', seq: 0, attempt: 1, outcome: 'ok', console: ['began 0', 'ended'] },
    ])
    for (const seq of [0, 1]) expect(await found({ seq })).toMatchObject([{ seq }])
    expect(lines).toContain('began 0') // as before
  })

  it('that makes more posts than a batch and a block can hold makes each once, also when its first run fails', async () => {
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

it('an error that nothing catches is reported if code of a handler threw it, and goes to the listeners of Lambda, which end the process, if not', async () => {
  const module = (file: string) => JSON.stringify(new URL(`../../${file}`, import.meta.url))
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { catchLateErrorsFirst } from ${module('functions/late.ts')}
       import { handlerContext } from ${module('shared/machine/context.ts')}
       process.on('uncaughtException', (error) => { console.log('lambda', error.message); process.exit(129) })
       process.on('unhandledRejection', (error) => { console.log('lambda', error.message); process.exit(128) })
       catchLateErrorsFirst()
       const threwLate = (error) => {
         console.log('handler', error.message)
       }
       handlerContext.run({ threwLate }, () => {
         setTimeout(() => { throw new Error('late') })
         setTimeout(() => Promise.reject(new Error('floating')), 10)
       })
       handlerContext.exit(() => setTimeout(() => Promise.reject(new Error('of nobody')), 100))`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const [said, [code]] = await Promise.all([child.stdout.setEncoding('utf8').toArray(), once(child, 'exit')])
  expect(said.join('')).toBe('handler late\nhandler floating\nlambda of nobody\n')
  expect(code).toBe(128)
})

describe('a batch of bells', () => {
  it('gives back the bells that fail since the mirror is unreachable, and loses none', async () => {
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

  it('that cannot be given back stays in the queue, since the response names it', async () => {
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

  it('with one invalid bell answers the others of its pool', async () => {
    await rung('a', 1)
    await queue.send([{ body: Buffer.from('no bell'), group: groupOf('a', 1), dedupe: 'x' }])
    await rung('b', 1)
    const lambda = source({ pools: { a: {}, b: {} }, onTx: () => {} })
    expect(givenBack((await lambda.once())!)).toEqual([])
    expect(ran.sort()).toEqual(['a 0', 'b 0'])
    expect(failures).toMatchObject([{ code: 'BAD_MESSAGE' }])
    expect(await isEmpty()).toBe(true)
  })

  it('with one bell whose blob cannot be read gives back the messages of that pool, in order', async () => {
    await rung('a', 1)
    await queue.send([{ body: new Uint8Array(800_000), group: groupOf('a', 1), dedupe: 'large' }])
    await rung('b', 1)
    emulators.proxy.weather = ({ service }) => (service === 's3' ? 'failed' : undefined)
    const lambda = source({ pools: { a: {}, b: {} }, onTx: () => {} })
    expect(givenBack((await lambda.once())!)).toEqual(['a', 'a'])
    expect(ran).toEqual(['b 0'])
  })
})
