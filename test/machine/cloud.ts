import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { handlerFunction } from '../../functions/handler/function.ts'
import { lineOf, type PostFailed, type RunnerReport } from '../../functions/handler/report.ts'
import { paymentsApp } from '../../functions/payments/app.ts'
import { MAX_PAYMENT_BYTES_ON_LAMBDA } from '../../shared/bip270/payment.ts'
import { type Prefix, S3Blobs } from '../../shared/blobs/s3.ts'
import { systemClock } from '../../shared/clock.ts'
import { checkSettings, type PoolSettings } from '../../shared/config/config.ts'
import type { EnvOf } from '../../shared/config/env.ts'
import { reasonOf } from '../../shared/errors.ts'
import { MachineControl } from '../../shared/machine/control.ts'
import { poolsOf } from '../../shared/machine/machine.ts'
import { LedgerPools } from '../../shared/machine/pools.ts'
import { ShardedIngress, shardOf } from '../../shared/queue/shards.ts'
import { SqsQueue } from '../../shared/queue/sqs.ts'
import { dynamoStores } from '../../shared/store/dynamodb/index.ts'
import type { Stores } from '../../shared/store/port.ts'
import { CoreStore } from '../../sidecar/cores/core.ts'
import { type Verified, verifyPool } from '../../sidecar/cores/verify.ts'
import { type AwsClients, awsClients } from '../aws/clients.ts'
import { Emulators, SEED } from '../aws/emulators.ts'
import { EventSource } from '../aws/event-source.ts'
import type { AwsProxy } from '../aws/proxy.ts'
import { Shape } from '../aws/shape.ts'
import { FileRuns, handlerOf } from './handler.ts'
import { type Ack, type Methods, TestMachine } from './machine.ts'
import { type Replacement, Task, type WithTasks } from './task.ts'

/** A message that a dead task had received comes again after this time, s. On AWS it is a minute. */
const INGRESS_VISIBILITY_S = 5
const HANDLER = 'main'

export interface CloudOptions {
  shards?: number
  /** the time-out of a function, ms (default 90,000): longer than the timeoutMs of every pool, as in the stack */
  functionMs?: number
  /** the lease of a sidecar, after which another task replaces a dead one, ms (default: as on AWS) */
  leaseMs?: number
  /** whether no sidecar and no handler runs before `start` */
  idle?: boolean
}

interface Functions {
  shape: Shape
  ingress: ShardedIngress
  app: ReturnType<typeof paymentsApp>
  pools: LedgerPools
  answer: ReturnType<typeof handlerFunction>
}

/**
 * A machine in its AWS shape, over emulators in memory. The sidecars are processes (sidecar/main.ts), each with an empty disk of its own. The payments app and
 * the handler's function run in this process; as on AWS, they also work while no sidecar runs.
 */
export class CloudMachine extends TestMachine implements WithTasks {
  /** calls the handler's function, by itself or when a test asks for it */
  readonly handlers: EventSource
  readonly stores: Stores
  readonly #clients: AwsClients
  readonly #config: { pools: Record<string, PoolSettings> }
  readonly #reports: string[] = []
  readonly #spawned: Task[] = []
  /** the current or last task of each shard */
  readonly #tasks: Task[] = []
  readonly #leaseMs: number | undefined
  #functions: Functions
  #isHandling = false

  static async open(pools: Record<string, PoolSettings>, options: CloudOptions = {}): Promise<CloudMachine> {
    const machine = new CloudMachine(pools, options, await Emulators.start())
    await machine.#functions.shape.make(machine.#clients.sqs)
    if (!options.idle) await machine.start()
    return machine
  }

  private constructor(
    pools: Record<string, PoolSettings>,
    { shards = 1, functionMs = 90_000, leaseMs }: CloudOptions,
    emulators: Emulators,
  ) {
    super({ side: 'aws', pools: {} }, emulators)
    const { place } = emulators
    this.#config = { pools }
    this.#leaseMs = leaseMs
    this.#clients = awsClients(place.endpoint)
    const { dynamodb, sqs: client } = this.#clients
    this.stores = dynamoStores({ client: dynamodb, table: place.table, blobs: this.#blobs('blocks/') })
    this.#functions = this.#deploy(shards)
    this.handlers = new EventSource({
      client,
      url: this.#functions.shape.bellsUrl(HANDLER),
      functions: 4,
      invoke: (event) => {
        const ends = Date.now() + functionMs
        return this.#functions.answer(event, () => ends - Date.now())
      },
    })
  }

  #blobs(prefix: Prefix): S3Blobs {
    return new S3Blobs({ client: this.#clients.s3, bucket: this.emulators.place.bucket, prefix })
  }

  /** The functions, as deployed with this number of shards. */
  #deploy(shards: number): Functions {
    const { stores } = this
    const names = Object.keys(this.#config.pools)
    const shape = new Shape(this.emulators.place, {
      config: this.#config,
      handlers: [{ name: HANDLER, pools: names }],
      shards,
      ingressVisibilityS: INGRESS_VISIBILITY_S,
    })
    const queue = (url: string) => new SqsQueue({ client: this.#clients.sqs, url, blobs: this.#blobs('messages/') })
    const ingress = new ShardedIngress(shape.ingressUrls.map(queue))
    const doors = new Map(Object.entries(this.#config.pools).map(([path, settings]) => [path, { path, ...checkSettings(settings, path) }]))
    const app = paymentsApp({
      pool: (path) => doors.get(path),
      pools: () => [...doors.values()],
      ingress,
      now: Date.now,
      maxBytes: MAX_PAYMENT_BYTES_ON_LAMBDA,
      log: (error) => this.#reports.push(`door: ${reasonOf(error)}`),
    })
    const common = { stores, clock: systemClock, settings: (path: string) => doors.get(path)! }
    const report = (said: RunnerReport | PostFailed) => this.#reports.push(`${said.kind}: ${lineOf(said)}`)
    const pools = new LedgerPools({ ...common, ingress, postFailed: (error) => report({ kind: 'post-failed', error }) })
    const control = new MachineControl({
      stores,
      clock: systemClock,
      secretOf: () => Promise.reject(new Error('no handler of the tests publishes')),
    })
    const handlersPools = poolsOf({ pools, control })
    const onTx = handlerOf(new FileRuns(join(this.dir, 'runs')))
    const answer = handlerFunction({
      ...common,
      handler: HANDLER,
      queue: queue(shape.bellsUrl(HANDLER)),
      pools,
      functions: { tx: (event) => onTx(event, handlersPools) },
      report,
      failed: (error) => this.#reports.push(`failed to answer: ${reasonOf(error)}`),
    })
    return { shape, ingress, app, pools, answer }
  }

  /** Deploys the machine again with this number of shards. Functions and new sidecars then use these shards. */
  async grow(shards: number): Promise<void> {
    const functions = this.#deploy(shards)
    await functions.shape.make(this.#clients.sqs)
    this.#functions = functions
  }

  get proxy(): AwsProxy {
    return this.emulators.proxy
  }

  // ---- sidecars

  /** Starts another task of a shard, on an empty disk. It knows nothing of the other tasks. */
  task(environment: Partial<EnvOf<'sidecar'>> = {}, shard = 0): Task {
    const { shape } = this.#functions
    const task = Task.process(mkdtempSync(join(this.dir, 'task-')), {
      ...(this.#leaseMs !== undefined && { LEASE_MS: String(this.#leaseMs) }),
      ...shape.aws,
      ...shape.sidecar(shard),
      ...environment,
    })
    this.#spawned.push(task)
    return task
  }

  /** The current or last task of a shard. */
  working(shard = 0): Task {
    return this.#tasks[shard]!
  }

  /** Starts a sidecar for each shard that has none, and the handler. */
  override async start({ idle = false }: { idle?: boolean } = {}): Promise<void> {
    await Promise.all(
      this.#functions.shape.ingressUrls.map(async (_, shard) => {
        const before = this.#tasks[shard]
        if (before && before.end === undefined) return
        if (before) rmSync(before.dir, { recursive: true })
        this.#tasks[shard] = this.task({}, shard)
        await this.#tasks[shard].said('working')
      }),
    )
    if (!idle && !this.#isHandling) this.handlers.start()
    this.#isHandling ||= !idle
  }

  async replace(how: Replacement, shard = 0): Promise<void> {
    const old = this.working(shard)
    if (how === 'killed') await old.ended('SIGKILL')
    const next = this.task({}, shard)
    await next.said('alive')
    if (how === 'deployed') await old.ended('SIGTERM')
    rmSync(old.dir, { recursive: true })
    this.#tasks[shard] = next
    await next.said('working')
  }

  /** Kills the sidecars; the functions go on. */
  override async kill(shards = [...this.#tasks.keys()]): Promise<void> {
    await Promise.all(shards.map((shard) => this.working(shard).ended('SIGKILL')))
  }

  /** Stops the sidecars; the handler finishes the bells that it has received. */
  override async stop(): Promise<void> {
    await Promise.all(this.#tasks.map((task) => task.ended('SIGTERM')))
    await this.handlers.stop()
    this.#isHandling = false
  }

  // ---- calls of the tests

  override async post(pool: string, payment: unknown, headers: Record<string, string> = {}): Promise<Ack> {
    const body = typeof payment === 'string' ? payment : JSON.stringify(payment)
    const response = await this.#functions.app.request(`/${pool}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
    })
    return { status: response.status, body: (await response.json()) as Ack['body'] }
  }

  override async call<M extends keyof Methods>(method: M, ...args: Parameters<Methods[M]>): Promise<ReturnType<Methods[M]>> {
    const answer = this.#methods[method] as ((...args: Parameters<Methods[M]>) => unknown) | undefined
    if (!answer) throw new Error(`a machine in its AWS shape has no ${method}`)
    return (await answer(...args)) as ReturnType<Methods[M]>
  }

  readonly #methods: { [M in keyof Methods]?: (...args: Parameters<Methods[M]>) => unknown } = {
    read: (range) => Array.fromAsync(this.#functions.pools.read(range)),
    length: (path) => this.#functions.pools.length(path),
    ingress: () => this.#functions.ingress.depth(),
    control: (path) => this.stores.control.read(path),
    cursor: (path) => this.stores.progress.readCursor(HANDLER, path),
    dead: (path) => this.stores.progress.listDead(HANDLER, path),
    reports: () => [...this.#reports, ...this.#spawned.flatMap(({ lines }) => lines)],
  }

  /** Compares mirror, hypercore and receipts. @param task the owner of the hypercores, which must have ended */
  override async verify(path: string, task = this.working(shardOf(path, this.#functions.shape.shards))): Promise<Verified> {
    const cores = new CoreStore(join(task.dir, 'cores'), Buffer.from(SEED, 'hex'), { readOnly: true })
    try {
      const pool = (await this.stores.control.read(path))!
      return await verifyPool(pool, this.stores, await cores.read(pool.key, undefined), undefined)
    } finally {
      await cores.close()
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#spawned.map((task) => task.ended('SIGKILL')))
    await this.handlers.stop()
    this.#clients.close()
    this.#tasks.length = 0 // no task is left to kill
    await super[Symbol.asyncDispose]()
  }
}
