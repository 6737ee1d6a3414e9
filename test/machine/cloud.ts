import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DeleteItemCommand } from '@aws-sdk/client-dynamodb'
import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import { handlerFunction } from '../../functions/handler/function.ts'
import { Pools } from '../../functions/handler/pools.ts'
import { lineOf, type PostFailed, type RunnerReport } from '../../functions/handler/report.ts'
import { paymentsApp } from '../../functions/payments/app.ts'
import { MAX_PAYMENT_BYTES_ON_LAMBDA } from '../../shared/bip270/payment.ts'
import { S3Blobs } from '../../shared/blobs/s3.ts'
import { systemClock } from '../../shared/clock.ts'
import { checkSettings, type PoolSettings } from '../../shared/config.ts'
import type { EnvOf } from '../../shared/env.ts'
import { reasonOf } from '../../shared/errors.ts'
import { DynamoMirror } from '../../shared/mirror/dynamodb.ts'
import { planMachine } from '../../shared/plan.ts'
import { SqsQueue } from '../../shared/queue/sqs.ts'
import { ShardedIngress, shardOf } from '../../shared/shards.ts'
import { CoreStore } from '../../sidecar/core.ts'
import { type Verified, verifyPool } from '../../sidecar/verify.ts'
import { type AwsClients, awsClients, queueUrl } from '../aws/clients.ts'
import { Emulators, SEED } from '../aws/emulators.ts'
import { EventSource } from '../aws/event-source.ts'
import { FileRuns, handlerOf } from './handler.ts'
import { type Ack, type Methods, TestMachine } from './machine.ts'
import { Task } from './task.ts'

/** A message that was given to a task that has died comes again after this time, seconds: on AWS a minute. A bell after longer than its function may take. */
const INGRESS_VISIBILITY_S = 5
const BELL_VISIBILITY_S = 180
const HANDLER = 'main'

export interface CloudOptions {
  shards?: number
  /** how long Lambda gives a function, ms (default 90,000): longer than the time-out of any pool, as the stack has it */
  functionMs?: number
  /** no sidecar and no handler works until it is told to */
  idle?: boolean
}

/**
 * A machine in the shape that it has on AWS, over emulators in memory: the sidecars are processes (sidecar/main.ts), each with an empty disk of its own; the
 * payments app and the handler's function run here, as they run on without a sidecar there.
 */
export class CloudMachine extends TestMachine {
  /** calls the handler's function, and can be asked to do so by hand */
  readonly handlers: EventSource
  readonly mirror: DynamoMirror
  readonly #clients: AwsClients
  readonly #app: ReturnType<typeof paymentsApp>
  readonly #pools: Pools
  readonly #ingress: ShardedIngress
  readonly #environments: EnvOf<'sidecar'>[]
  readonly #reports: string[] = []
  readonly #spawned: Task[] = []
  /** of each shard, the one that works, or was the last to */
  readonly #tasks: Task[] = []
  #isHandling = false

  static async open(pools: Record<string, PoolSettings>, options: CloudOptions = {}): Promise<CloudMachine> {
    const machine = new CloudMachine(pools, options, await Emulators.start())
    await machine.#make()
    if (!options.idle) await machine.start()
    return machine
  }

  private constructor(pools: Record<string, PoolSettings>, { shards = 1, functionMs = 90_000 }: CloudOptions, emulators: Emulators) {
    super({ side: 'aws', pools: {} }, emulators)
    const { place } = emulators
    this.#clients = awsClients(place.endpoint)
    const { dynamodb, sqs: client, s3 } = this.#clients
    const blobs = (prefix: string) => new S3Blobs({ client: s3, bucket: place.bucket, prefix })
    const queue = (name: string) => new SqsQueue({ client, url: queueUrl(place, name), blobs: blobs('messages/') })
    const names = Array.from({ length: shards }, (_, shard) => `ingress-${shard}`)
    this.mirror = new DynamoMirror({ client: dynamodb, table: place.table, blobs: blobs('blocks/') })
    this.#ingress = new ShardedIngress(names.map(queue))
    const doors = new Map(Object.entries(pools).map(([path, settings]) => [path, { path, ...checkSettings(settings, path) }]))
    this.#app = paymentsApp({
      pool: (path) => doors.get(path),
      ingress: this.#ingress,
      now: Date.now,
      maxBytes: MAX_PAYMENT_BYTES_ON_LAMBDA,
      log: (error) => this.#reports.push(`door: ${reasonOf(error)}`),
    })

    const { mirror } = this
    const common = { mirror, clock: systemClock, settings: (path: string) => doors.get(path)! }
    const report = (said: RunnerReport | PostFailed) => this.#reports.push(`${said.kind}: ${lineOf(said)}`)
    this.#pools = new Pools({ ...common, ingress: this.#ingress, postFailed: (error) => report({ kind: 'post-failed', error }) })
    const onTx = handlerOf(new FileRuns(join(this.dir, 'runs')))
    const answer = handlerFunction({
      ...common,
      handler: HANDLER,
      queue: queue(`tx-${HANDLER}.fifo`),
      pools: this.#pools,
      onTx: (event) => onTx(event, this.#pools),
      report,
      failed: (error) => this.#reports.push(`failed to answer: ${reasonOf(error)}`),
    })
    this.handlers = new EventSource({
      client,
      url: queueUrl(place, `tx-${HANDLER}.fifo`),
      functions: 4,
      invoke(event) {
        const ends = Date.now() + functionMs
        return answer(event, () => ends - Date.now())
      },
    })

    const handler = { name: HANDLER, url: queueUrl(place, `tx-${HANDLER}.fifo`), pools: [...doors.keys()] }
    const plan = planMachine({ pools }, [handler])
    this.#environments = names.map((name, shard) => ({
      TABLE: place.table,
      BUCKET: place.bucket,
      INGRESS_URL: queueUrl(place, name),
      SHARD: String(shard),
      SHARDS: String(shards),
      SEED_ARN: 'arn:aws:secretsmanager:us-east-1:000000000000:secret:Seed',
      MACHINE: JSON.stringify(plan),
    }))
  }

  async #make(): Promise<void> {
    const { sqs } = this.#clients
    const make = (QueueName: string, Attributes: Record<string, string>) => sqs.send(new CreateQueueCommand({ QueueName, Attributes }))
    await Promise.all([
      ...this.#environments.map((_, shard) => make(`ingress-${shard}`, { VisibilityTimeout: String(INGRESS_VISIBILITY_S) })),
      make(`tx-${HANDLER}.fifo`, { VisibilityTimeout: String(BELL_VISIBILITY_S), FifoQueue: 'true' }),
    ])
  }

  // ---- sidecars

  /** A further task of a shard, on an empty disk; it is told nothing of those that there are. */
  task(shard: number, environment: Partial<EnvOf<'sidecar'>> = {}): Task {
    const { endpoint } = this.emulators.place
    const task = Task.process(mkdtempSync(join(this.dir, 'task-')), {
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_ENDPOINT_URL: endpoint,
      ...this.#environments[shard]!,
      ...environment,
    })
    this.#spawned.push(task)
    return task
  }

  /** The task that works on a shard, or was the last to. */
  working(shard = 0): Task {
    return this.#tasks[shard]!
  }

  /** Starts a sidecar for each shard that has none, and the handler. */
  override async start({ idle = false }: { idle?: boolean } = {}): Promise<void> {
    await Promise.all(
      this.#environments.map(async (_, shard) => {
        const before = this.#tasks[shard]
        if (before && before.end === undefined) return
        if (before) rmSync(before.dir, { recursive: true })
        this.#tasks[shard] = this.task(shard)
        await this.#tasks[shard].said('working')
      }),
    )
    if (!idle && !this.#isHandling) this.handlers.start()
    this.#isHandling ||= !idle
  }

  /** Puts a new task in the place of one that works, as ECS does: it starts and waits for the lease, then the old one is told to stop. */
  async replace(shard = 0): Promise<void> {
    const old = this.working(shard)
    const next = this.task(shard)
    await next.said('alive')
    await old.ended('SIGTERM')
    rmSync(old.dir, { recursive: true })
    this.#tasks[shard] = next
    await next.said('working')
  }

  /** The sidecars die; the functions go on. */
  override async kill(shards = [...this.#tasks.keys()]): Promise<void> {
    await Promise.all(
      shards.map(async (shard) => {
        await this.working(shard).ended('SIGKILL')
        await this.freeLease(shard)
      }),
    )
  }

  /** As if its time had run out: a test need not wait for that. */
  async freeLease(shard = 0): Promise<void> {
    const Key = { pk: { S: `lease#${shard}` }, sk: { S: 'lease' } }
    await this.#clients.dynamodb.send(new DeleteItemCommand({ TableName: this.emulators.place.table, Key }))
  }

  /** The sidecars stop; the handler has answered the bells that it was given. */
  override async stop(): Promise<void> {
    await Promise.all(this.#tasks.map((task) => task.ended('SIGTERM')))
    await this.handlers.stop()
    this.#isHandling = false
  }

  // ---- what tests ask

  override async post(pool: string, payment: unknown, headers: Record<string, string> = {}): Promise<Ack> {
    const body = typeof payment === 'string' ? payment : JSON.stringify(payment)
    const response = await this.#app.request(`/${pool}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
    })
    return { status: response.status, body: (await response.json()) as Ack['body'] }
  }

  override async call<M extends keyof Methods>(method: M, ...args: Parameters<Methods[M]>): Promise<ReturnType<Methods[M]>> {
    const answer = this.#methods[method] as ((...args: Parameters<Methods[M]>) => unknown) | undefined
    if (!answer) throw new Error(`a machine in the shape that it has on AWS has no ${method}`)
    return (await answer(...args)) as ReturnType<Methods[M]>
  }

  readonly #methods: { [M in keyof Methods]?: (...args: Parameters<Methods[M]>) => unknown } = {
    read: (range) => Array.fromAsync(this.#pools.read(range)),
    length: (path) => this.#pools.length(path),
    ingress: () => this.#ingress.depth(),
    control: (path) => this.mirror.readPool(path),
    cursor: (path) => this.mirror.readCursor(HANDLER, path),
    dead: (path) => this.mirror.listDead(HANDLER, path),
    reports: () => [...this.#reports, ...this.#spawned.flatMap(({ lines }) => lines)],
  }

  /** Compares mirror, hypercore and receipts. @param task whose hypercores; it must have ended */
  override async verify(path: string, task = this.working(shardOf(path, this.#environments.length))): Promise<Verified> {
    const cores = new CoreStore(join(task.dir, 'cores'), Buffer.from(SEED, 'hex'), { readOnly: true })
    try {
      const pool = (await this.mirror.readPool(path))!
      return await verifyPool(pool, this.mirror, await cores.read(pool.key, undefined), undefined)
    } finally {
      await cores.close()
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#spawned.map((task) => task.ended('SIGKILL')))
    await this.handlers.stop()
    this.#clients.close()
    this.#tasks.length = 0 // nothing is left to be killed
    await super[Symbol.asyncDispose]()
  }
}
