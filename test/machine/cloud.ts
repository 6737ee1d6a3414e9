import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { broadcasterFunction } from '../../functions/handler/broadcaster-function.ts'
import { handlerFunction } from '../../functions/handler/function.ts'
import { lineOf, type PostFailed, type RunnerReport } from '../../functions/handler/report.ts'
import { paymentsApp } from '../../functions/payments/app.ts'
import { MAX_PAYMENT_BYTES_ON_LAMBDA } from '../../shared/bip270/payment.ts'
import { type Prefix, S3Blobs } from '../../shared/blobs/s3.ts'
import { Broadcaster } from '../../shared/broadcast/broadcaster.ts'
import { awsSecrets } from '../../shared/broadcast/secret.ts'
import { systemClock } from '../../shared/clock.ts'
import { askingIn } from '../../shared/config/asking.ts'
import { type BitcoinSettings, isBroadcasting } from '../../shared/config/bitcoin.ts'
import { checkPool, type OverpoolConfig, type PoolConfig } from '../../shared/config/config.ts'
import type { EnvOf } from '../../shared/config/env.ts'
import { BROADCASTER } from '../../shared/config/plan.ts'
import { reasonOf } from '../../shared/errors.ts'
import { atFirstUse, atFirstUseOrAnew } from '../../shared/first-use.ts'
import { tokenKeysIn } from '../../shared/invoice/token.ts'
import { MachineControl } from '../../shared/machine/control.ts'
import { Copies } from '../../shared/machine/copies.ts'
import { type AnyFunctions, bindFunctions } from '../../shared/machine/handlers.ts'
import { invoicingOnAws } from '../../shared/machine/invoicing-on-aws.ts'
import { knownOf } from '../../shared/machine/known.ts'
import { poolsOf } from '../../shared/machine/machine.ts'
import { LedgerPools } from '../../shared/machine/pools.ts'
import { paywallsOf } from '../../shared/paywall/paywall.ts'
import { ShardedIngress, shardOf } from '../../shared/queue/shards.ts'
import { SqsQueue } from '../../shared/queue/sqs.ts'
import { dynamoStores } from '../../shared/store/dynamodb/index.ts'
import type { Stores } from '../../shared/store/port.ts'
import { CoreStore } from '../../sidecar/cores/core.ts'
import { type Verified, verifyPool } from '../../sidecar/cores/verify.ts'
import { type AwsClients, ancestorsIn, awsClients } from '../aws/clients.ts'
import { Emulators, SEED } from '../aws/emulators.ts'
import { EventSource } from '../aws/event-source.ts'
import type { AwsProxy } from '../aws/proxy.ts'
import { CALLBACKS_ARN, Shape } from '../aws/shape.ts'
import type { Answer } from '../door/ask.ts'
import { askFunction } from '../door/function-url.ts'
import { FileRuns, handlerOf } from './handler.ts'
import { type Ack, type Methods, TestMachine } from './machine.ts'
import { type Replacement, Task, type WithTasks } from './task.ts'

/** A message that a dead task had received comes again after this time, s. On AWS it is a minute. */
const INGRESS_VISIBILITY_S = 5
const HANDLER = 'main'
/** The name of the secret with the keys of `merchantData`. */
export const INVOICE_KEYS = 'InvoiceKeys'
/** What the tokens of callbacks are made of. */
export const CALLBACKS = 'a secret of the tests'

export interface CloudOptions {
  shards?: number
  /** the time-out of a function, ms (default 90,000): longer than the timeoutMs of every pool, as in the stack */
  functionMs?: number
  /** the lease of a sidecar, after which another task replaces a dead one, ms (default: as on AWS) */
  leaseMs?: number
  /** how the machine takes part in Bitcoin; without it, it has no broadcaster */
  bitcoin?: BitcoinSettings
  /** the handler (default: one that notes its runs) */
  functions?: AnyFunctions
  /** the secrets that the config names */
  secrets?: Record<string, string>
  /** the xpub of the wallet that money comes to */
  receive?: string
  /** the secret with the keys of `merchantData`; `emulators.secrets` may replace it */
  invoiceKeys?: string
  /** whether no sidecar and no handler runs before `start` */
  idle?: boolean
}

interface Functions {
  shape: Shape
  ingress: ShardedIngress
  app: ReturnType<typeof paymentsApp>
  pools: LedgerPools
  answer: ReturnType<typeof handlerFunction>
  /** the function of the broadcaster */
  broadcast: () => ReturnType<typeof broadcasterFunction>
}

/**
 * A machine in its AWS shape, over emulators in memory. The sidecars are processes (sidecar/main.ts), each with an empty disk of its own. The payments app and
 * the handler's function run in this process; as on AWS, they also work while no sidecar runs.
 */
export class CloudMachine extends TestMachine implements WithTasks {
  /** calls the handler's function, by itself or when a test asks for it */
  readonly handlers: EventSource
  /** the same for the broadcaster */
  readonly #broadcaster: EventSource | undefined
  readonly stores: Stores
  readonly #clients: AwsClients
  readonly #config: OverpoolConfig
  readonly #userFunctions: AnyFunctions | undefined
  readonly #reports: string[] = []
  readonly #spawned: Task[] = []
  /** the current or last task of each shard */
  readonly #tasks: Task[] = []
  readonly #leaseMs: number | undefined
  #functions: Functions
  #isHandling = false

  static async open(pools: Record<string, PoolConfig>, options: CloudOptions = {}): Promise<CloudMachine> {
    const machine = new CloudMachine(pools, options, await Emulators.start())
    await machine.#functions.shape.make(machine.#clients.sqs)
    if (!options.idle) await machine.start()
    return machine
  }

  private constructor(
    pools: Record<string, PoolConfig>,
    { shards = 1, functionMs = 90_000, leaseMs, bitcoin, functions, secrets = {}, receive, invoiceKeys = '07'.repeat(32) }: CloudOptions,
    emulators: Emulators,
  ) {
    super({ side: 'aws', pools: {} }, emulators)
    const { place } = emulators
    this.#config = { pools, ...(bitcoin && { bitcoin }), ...(receive !== undefined && { receive }) }
    this.#userFunctions = functions
    emulators.secrets = { [CALLBACKS_ARN]: CALLBACKS, [INVOICE_KEYS]: invoiceKeys, ...secrets }
    this.#leaseMs = leaseMs
    this.#clients = awsClients(place.endpoint)
    const { dynamodb, sqs: client } = this.#clients
    this.stores = dynamoStores({
      client: dynamodb,
      table: place.table,
      blobs: this.#blobs('blocks/'),
      ancestors: ancestorsIn(this.#clients, place),
    })
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
    this.#broadcaster =
      bitcoin &&
      new EventSource({
        client,
        url: this.#functions.shape.bellsUrl(BROADCASTER),
        functions: 2,
        invoke: async (event) => {
          const ends = Date.now() + functionMs
          return (await this.#functions.broadcast())(event, () => ends - Date.now())
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
    const { pools: configured, bitcoin } = this.#config
    const doors = new Map(Object.entries(configured).map(([path, pool]) => [path, { path, ...checkPool(pool, path) }]))
    const knowsChain = (bitcoin?.chain ?? []).length > 0
    const hearing = new Broadcaster({ services: [], stores, ingress, clock: systemClock, knowsChain })
    const app = paymentsApp({
      pool: (path) => doors.get(path),
      pools: () => [...doors.values()],
      ingress,
      callbacks: bitcoin && { secret: async () => CALLBACKS, hear: (word) => hearing.hear(word) },
      ancestors: stores.ancestors,
      invoicing: invoicingOnAws(
        askingIn(this.#config),
        stores,
        atFirstUseOrAnew(async () => tokenKeysIn(this.emulators.secrets[INVOICE_KEYS]!, INVOICE_KEYS), 0),
      ),
      copies: new Copies(stores.receipts, ingress),
      paywall: paywallsOf(async () => SEED, { network: bitcoin?.network ?? 'main', now: Date.now }),
      known: bitcoin && ((path, txid) => knownOf({ receipts: stores.receipts, statuses: stores.statuses }, path, txid)),
      now: Date.now,
      maxBytes: MAX_PAYMENT_BYTES_ON_LAMBDA,
      log: (error) => this.#reports.push(`door: ${reasonOf(error)}`),
    })
    const failed = (error: unknown) => this.#reports.push(`failed to answer: ${reasonOf(error)}`)
    const common = { stores, clock: systemClock, settings: (path: string) => doors.get(path)! }
    const report = (said: RunnerReport | PostFailed) => this.#reports.push(`${said.kind}: ${lineOf(said)}`)
    const pools = new LedgerPools({
      ...common,
      ingress,
      broadcasts: isBroadcasting(bitcoin),
      invoicing: { invoicing: invoicingOnAws(askingIn(this.#config), stores), base: () => 'https://pay.example' },
      postFailed: (error) => report({ kind: 'post-failed', error }),
    })
    const control = new MachineControl({
      stores,
      clock: systemClock,
      secretOf: () => Promise.reject(new Error('no handler of the tests publishes')),
    })
    const handlersPools = poolsOf({ pools, control })
    const functions = this.#userFunctions ?? { tx: handlerOf(new FileRuns(join(this.dir, 'runs'))) }
    const answer = handlerFunction({
      ...common,
      handler: HANDLER,
      queue: queue(shape.bellsUrl(HANDLER)),
      pools,
      stores: bitcoin ? stores : { blocks: stores.blocks, progress: stores.progress, state: stores.state },
      functions: bindFunctions({ functions }, handlersPools),
      report,
      failed,
    })
    const broadcast = atFirstUse(() =>
      broadcasterFunction({
        config: this.#config,
        queue: queue(shape.bellsUrl(BROADCASTER)),
        ingress,
        stores,
        clock: systemClock,
        secretOf: awsSecrets(async (id) => this.emulators.secrets[id]!),
        callbacks: { door: 'https://door.example', secret: CALLBACKS },
        report,
        failed,
      }),
    )
    return { shape, ingress, app, pools, answer, broadcast }
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

  get pools(): LedgerPools {
    return this.#functions.pools
  }

  get #sources(): EventSource[] {
    return [this.handlers, ...(this.#broadcaster ? [this.#broadcaster] : [])]
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
    if (!idle && !this.#isHandling) for (const source of this.#sources) source.start()
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
    await Promise.all(this.#sources.map((source) => source.stop()))
    this.#isHandling = false
  }

  // ---- calls of the tests

  override async post(pool: string, payment: unknown, headers: Record<string, string> = {}): Promise<Ack> {
    const body = typeof payment === 'string' ? payment : JSON.stringify(payment)
    const response = await this.request(`/${pool}`, body, { 'content-type': 'application/json', ...headers })
    return { status: response.status, body: (await response.json()) as Ack['body'] }
  }

  /** A GET at the door. */
  async ask(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return this.#functions.app.request(path, { headers: { host: 'pay.example', ...headers } })
  }

  /** A request as the function URL of the door hands it over. */
  knock(method: string, path: string, body?: string | Uint8Array, headers?: Record<string, string>): Promise<Answer> {
    return askFunction(this.#functions.app, method, path, body, headers)
  }

  /** A POST at the door. */
  async request(path: string, body: string, headers: Record<string, string>): Promise<Response> {
    return this.#functions.app.request(path, { method: 'POST', headers, body })
  }

  override async call<M extends keyof Methods>(method: M, ...args: Parameters<Methods[M]>): Promise<ReturnType<Methods[M]>> {
    const answer = this.#methods[method] as ((...args: Parameters<Methods[M]>) => unknown) | undefined
    if (!answer) throw new Error(`a machine in its AWS shape has no ${method}`)
    return (await answer(...args)) as ReturnType<Methods[M]>
  }

  readonly #methods: { [M in keyof Methods]?: (...args: Parameters<Methods[M]>) => unknown } = {
    read: (range) => Array.fromAsync(this.#functions.pools.read(range)),
    ancestors: (options) => this.#functions.pools.ancestors(options),
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
    await Promise.all(this.#sources.map((source) => source.stop()))
    this.#clients.close()
    this.#tasks.length = 0 // no task is left to kill
    await super[Symbol.asyncDispose]()
  }
}
