import { mkdtempSync, readFileSync } from 'node:fs'
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { CloudWatchLogsClient, FilterLogEventsCommand, ResourceNotFoundException } from '@aws-sdk/client-cloudwatch-logs'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import {
  GetFunctionConfigurationCommand,
  LambdaClient,
  ListEventSourceMappingsCommand,
  UpdateEventSourceMappingCommand,
  UpdateFunctionConfigurationCommand,
} from '@aws-sdk/client-lambda'
import { GetQueueAttributesCommand, SetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs'
import { type Access, RemoteMachine } from '../../client/remote.ts'
import { stackAccess } from '../../client/stack.ts'
import { Overpool } from '../../index.ts'
import type { EnvOf } from '../../shared/config/env.ts'
import type { PoolPatch } from '../../shared/store/control.ts'
import { CoreStore } from '../../sidecar/cores/core.ts'
import { type Verified, verifyPool } from '../../sidecar/cores/verify.ts'
import { AwsProxy, type AwsRequest } from '../aws/proxy.ts'
import type { ChildOptions } from '../machine/child.ts'
import type { Run, Wish } from '../machine/handler.ts'
import { poolsOfKind } from '../machine/kinds.ts'
import { type Ack, type Methods, SIDE, TestMachine, until } from '../machine/machine.ts'
import { type Replacement, Task, type WithTasks } from '../machine/task.ts'
import { sidecarEnvironment } from './deployed.ts'
import { RunsReader } from './runs.ts'

/** How often the recorded runs are read, ms. */
const LOOK_MS = 150
/** A log without new lines for this time is complete, ms. */
const SETTLED_MS = 2_000
/** Shorter than on AWS: the lease, after which another task replaces a dead one, ms; and the time after which its posts come again, s. */
const LEASE_MS = 6_000
const POSTS_AGAIN_S = 5

/** The name of the stack. */
export const STACK = process.env.OVERPOOL_STACK!
/** The stack's handler (./main.ts). */
const HANDLER = 'main'

/** Outputs of the stack, as `run.ts` has written them. Some exist only for these tests. */
interface Outputs {
  Endpoint: string
  RunsTable: string
  IngressUrls: string
  BellsMain: string
  PaymentsFunction: string
  HandlerFunction: string
  HandlerLogs: string
  /** the environment of the sidecar, which runs beside an emulator */
  Sidecar0?: string
}

/** Starts a sidecar over a folder. @param environment the variables of the sidecar, and those with which the SDK reaches AWS */
type Launch = (dir: string, environment: Record<string, string>) => Task

/**
 * A deployed machine, as a scenario uses it: through its door, the class, and the functions behind the command line. All scenarios share one stack, so each gets
 * empty pools of its own, and their names are translated to those of the scenario. Beside an emulator, the sidecar is a process that this class starts and kills.
 */
export class StackMachine extends TestMachine implements WithTasks {
  readonly #outputs: Outputs
  readonly #launch: Launch
  readonly #dynamodb = new DynamoDBClient({})
  readonly #pool = new Overpool({ stack: STACK })
  readonly #access: Access
  readonly #machine: RemoteMachine
  readonly #logs = new CloudWatchLogsClient({})
  readonly #lambda = new LambdaClient({})
  readonly #sqs = new SQSClient({})
  readonly #reader: RunsReader
  readonly #closed = new AbortController()
  readonly #began = Date.now()
  readonly #names = new Map<string, string>()
  readonly #spawned: Task[] = []
  #task: Task | undefined
  #keepsWorking = false
  /** the functions that restore the stack */
  readonly #undo: (() => Promise<unknown>)[] = []
  #runs: Run[] = []
  #proxy: AwsProxy | undefined

  /** @param launch starts the sidecar that runs beside an emulator */
  static async open(pools: ChildOptions['pools'], options: Partial<ChildOptions>, launch: Launch = Task.process): Promise<StackMachine> {
    const outputs = Object.values(JSON.parse(readFileSync(process.env.OVERPOOL_OUTPUTS!, 'utf8')))[0] as Outputs
    const machine = new StackMachine(outputs, await stackAccess({ stack: STACK }), launch)
    try {
      await machine.#choose(pools)
      await machine.start(options)
      void machine.#follow()
      return machine
    } catch (error) {
      await machine[Symbol.asyncDispose]()
      throw error
    }
  }

  private constructor(outputs: Outputs, access: Access, launch: Launch) {
    super({ side: 'aws', pools: {} }, undefined)
    this.#outputs = outputs
    this.#access = access
    this.#launch = launch
    this.#machine = new RemoteMachine(access)
    this.#reader = new RunsReader(this.#dynamodb, outputs.RunsTable, this.#began)
  }

  /** Gives each pool of the scenario an unused pool of the stack with the same settings: without posts and without a desired state. */
  async #choose(pools: ChildOptions['pools']): Promise<void> {
    for (const [alias, settings] of Object.entries(pools)) {
      const names = poolsOfKind(settings)
      for (const name of names) {
        const { stores } = this.#access
        if (this.#names.has(name) || (await stores.blocks.last(name)) || (await stores.control.read(name))?.desired) continue
        this.#names.set(name, alias)
        break
      }
      if (![...this.#names.values()].includes(alias))
        throw new Error(`all ${names.length} pools of the stack with these settings have been used: deploy another stack`)
    }
  }

  /** The stack's name of a scenario's pool. */
  nameOf(alias: string): string {
    for (const [name, known] of this.#names) if (known === alias) return name
    return alias
  }

  // ---- the sidecar

  override async start({ idle }: Partial<ChildOptions> = {}): Promise<void> {
    if (idle !== undefined || SIDE !== 'deployed') await this.#setHandler(!idle)
    if (this.#outputs.Sidecar0 === undefined) return
    if (!this.#proxy) for (const url of this.#outputs.IngressUrls.split(' ')) await this.#comeAgainAfter(url, POSTS_AGAIN_S)
    this.#proxy ??= await AwsProxy.before(process.env.AWS_ENDPOINT_URL!)
    this.#task = this.#spawn(this.dir, {})
    await this.#task.said('working')
  }

  #spawn(dir: string, environment: Partial<EnvOf<'sidecar'>>): Task {
    const own = sidecarEnvironment(process.env.AWS_ENDPOINT_URL!, this.proxy, this.#outputs.Sidecar0!)
    const task = this.#launch(dir, { ...own, LEASE_MS: String(LEASE_MS), ...environment })
    this.#spawned.push(task)
    return task
  }

  /** Text from the stack, with the proxy's address in the place of the emulator's. */
  #proxied(text: string): string {
    return text.replaceAll(process.env.AWS_ENDPOINT_URL!, this.proxy.endpoint)
  }

  get proxy(): AwsProxy {
    return this.#proxy!
  }

  working(): Task {
    return this.#task!
  }

  task(environment: Partial<EnvOf<'sidecar'>> = {}): Task {
    return this.#spawn(mkdtempSync(join(this.dir, 'task-')), environment)
  }

  async replace(how: Replacement): Promise<void> {
    const old = this.working()
    if (how === 'killed') await old.ended('SIGKILL')
    const next = this.task()
    await next.said('alive')
    if (how === 'deployed') await old.ended('SIGTERM')
    this.#task = next
    await next.said('working')
  }

  /** Enables or disables the event source of the handler's function. */
  async #setHandler(works: boolean): Promise<void> {
    const FunctionName = this.#outputs.HandlerFunction
    const mapping = async () => (await this.#lambda.send(new ListEventSourceMappingsCommand({ FunctionName }))).EventSourceMappings![0]!
    const wanted = works ? 'Enabled' : 'Disabled'
    const { UUID, State } = await mapping()
    if (State === wanted) return
    await this.#lambda.send(new UpdateEventSourceMappingCommand({ UUID, Enabled: works }))
    await until(mapping, ({ State }) => State === wanted)
  }

  /** Starts the sidecar again whenever it ends by itself, as ECS does. */
  keepWorking(): void {
    this.#keepsWorking = true
    void this.#startAfterEnd()
  }

  async #startAfterEnd(): Promise<void> {
    while (this.#task) {
      await this.#task.ended()
      if (!this.#keepsWorking) return
      this.#task = this.#spawn(this.dir, {})
    }
  }

  override async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  override async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#keepsWorking = false
    await this.#task?.ended(signal)
  }

  // ---- changes to the rest of the stack, which the close of this machine undoes

  /** Sets the time after which bells of a failed call come again, s. On AWS it is three minutes. */
  async bellsComeAgainAfter(seconds: number): Promise<void> {
    const [, url = ''] = this.#outputs.BellsMain.split(' ')
    await this.#comeAgainAfter(url, seconds)
  }

  async #comeAgainAfter(QueueUrl: string, seconds: number): Promise<void> {
    const { Attributes } = await this.#sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['VisibilityTimeout'] }))
    const set = (Attributes: Record<string, string>) => this.#sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }))
    this.#undo.push(() => set(Attributes!))
    await set({ VisibilityTimeout: String(seconds) })
  }

  /** Makes the functions reach AWS through the proxy, as the sidecar does. */
  async proxyFunctions(): Promise<void> {
    for (const FunctionName of [this.#outputs.PaymentsFunction, this.#outputs.HandlerFunction]) {
      const look = () => this.#lambda.send(new GetFunctionConfigurationCommand({ FunctionName }))
      const { Environment } = await look()
      const { Variables } = Environment!
      const set = async (Variables: Record<string, string>) => {
        await this.#lambda.send(new UpdateFunctionConfigurationCommand({ FunctionName, Environment: { Variables } }))
        await until(look, ({ LastUpdateStatus }) => LastUpdateStatus === 'Successful')
      }
      this.#undo.push(() => set(Variables!))
      const proxied = JSON.parse(this.#proxied(JSON.stringify(Variables))) as Record<string, string>
      await set({ ...proxied, AWS_ENDPOINT_URL: this.proxy.endpoint })
    }
  }

  /** Whether a request is the machine's own, and not a record of a run in the table of the tests. */
  isOurs({ input }: AwsRequest): boolean {
    return input?.TableName !== this.#outputs.RunsTable
  }

  // ---- calls of scenarios

  /** The id of the machine from the log of a sidecar beside the test, if there is one. */
  get id(): string | undefined {
    const working = this.#spawned.flatMap(({ lines }) => lines).find((line) => line.includes('"kind":"working"'))
    return working && (JSON.parse(working) as { machine: string }).machine
  }

  /** Writes into the control item of a pool, as only its sidecar does. */
  patch(pool: string, patch: PoolPatch): Promise<void> {
    return this.#access.stores.control.update(this.nameOf(pool), patch)
  }

  override async call<M extends keyof Methods>(method: M, ...args: Parameters<Methods[M]>): Promise<ReturnType<Methods[M]>> {
    const value = await (this.#methods[method] as (...args: unknown[]) => unknown)(...args)
    return JSON.parse(JSON.stringify(this.#toScenario(value) ?? null)) as ReturnType<Methods[M]>
  }

  readonly #methods: { [M in keyof Methods]: (...args: Parameters<Methods[M]>) => unknown } = {
    post: ({ path, payment, id }) => this.#pool.post({ path: this.nameOf(path), payment: this.#toStack(payment), id }),
    get: ({ path, hash }) => this.#pool.get({ path: this.nameOf(path), hash }),
    tail: ({ path, size }) => this.#pool.tail({ path: this.nameOf(path), size }),
    read: ({ path, ...range }) => Array.fromAsync(this.#pool.read({ path: this.nameOf(path), ...range })),
    trail: ({ path, hash }) => Array.fromAsync(this.#pool.trail({ path: this.nameOf(path), hash })),
    ancestors: ({ path, hash }) => this.#pool.ancestors({ path: this.nameOf(path), hash }),
    prune: (path) => this.#pool.prune(this.nameOf(path)),
    length: (path) => this.#machine.pools.length(this.nameOf(path)),
    status: () => this.#pool.status(),
    pub: (path, options) => this.#pool.pub({ path: this.nameOf(path), ...options }),
    unpub: (path) => this.#pool.unpub({ path: this.nameOf(path) }),
    sub: (path, options) => this.#pool.sub({ path, ...options }),
    unsub: (path) => this.#pool.unsub({ path }),
    announced: (path) => this.#pool.ready({ path: this.nameOf(path), announced: true }),
    state: async (handler, path) => (await this.#machine.pools.state({ handler, path: this.nameOf(path) })).list({ limit: 1_000 }),
    rss: notHere,
    reports: () => this.#reports(),
    ingress: () => this.#access.ingress.depth(),
    control: (path) => this.#access.stores.control.read(this.nameOf(path)),
    cursor: (path) => this.#access.stores.progress.readCursor(HANDLER, this.nameOf(path)),
    dead: (path) => this.#access.stores.progress.listDead(HANDLER, this.nameOf(path)),
    redrive: async (path, skip) => (await this.#machine.redrive(this.nameOf(path), { handler: HANDLER, skip }))[0],
    pause: (path, reason) => this.#machine.pause(this.nameOf(path), HANDLER, reason),
    unpause: (path) => this.#machine.unpause(this.nameOf(path), HANDLER),
    close: () => this.stop(),
  }

  /** The reports of sidecar and handler. It waits until no bell is in flight and no more lines come, since a function's log is complete only some time after its end. */
  async #reports(): Promise<string[]> {
    const bells = this.#access.bells(HANDLER)!
    await until(
      () => bells.depth(),
      ({ inFlight }) => inFlight === 0,
    )
    let lines = await this.#handlerLines()
    for (let before = -1; lines.length > before; lines = await this.#handlerLines()) {
      before = lines.length
      await wait(SETTLED_MS)
    }
    return [...this.#spawned.flatMap((task) => task.lines), ...lines].flatMap((line) => {
      const { kind, message } = line.startsWith('{') ? (JSON.parse(line) as { kind?: string; message?: string }) : {}
      return kind && message !== undefined ? [`${kind}: ${message}`] : []
    })
  }

  async #handlerLines(): Promise<string[]> {
    // LocalStack ignores the configured log group, and writes to the function's default group.
    const groups = [this.#outputs.HandlerLogs, `/aws/lambda/${this.#outputs.HandlerFunction}`]
    const lines = groups.map(async (logGroupName) => {
      const command = new FilterLogEventsCommand({ logGroupName, startTime: this.#began, limit: 10_000 })
      const { events = [] } = await this.#logs.send(command).catch(ignoreMissing)
      return events.flatMap(({ message = '' }) => message.split('\n'))
    })
    return (await Promise.all(lines)).flat()
  }

  override async post(pool: string, payment: unknown, headers: Record<string, string> = {}): Promise<Ack> {
    const body = typeof payment === 'string' ? payment : JSON.stringify(this.#toStack(payment))
    const { status, text } = await send(new URL(this.nameOf(pool), this.#outputs.Endpoint), body, {
      'content-type': 'application/json',
      ...headers,
    })
    return { status, body: this.#toScenario(JSON.parse(text)) as Ack['body'] }
  }

  override runs(path?: string): Run[] {
    return this.#runs.filter((run) => path === undefined || run.path === path)
  }

  async #follow(): Promise<void> {
    const { signal } = this.#closed
    while (!signal.aborted) {
      const runs = await this.#reader.look().catch(() => undefined)
      if (runs) this.#runs = this.#toScenario(runs.filter(({ path }) => this.#names.has(path))) as Run[]
      await wait(LOOK_MS, undefined, { signal }).catch(() => {})
    }
  }

  /** Verifies with the hypercore on the disk of the emulator's sidecar, and also without it: both must agree. */
  override async verify(path: string, task?: Task): Promise<Verified> {
    const dir = task?.dir ?? this.#task?.dir ?? this.dir
    const cores = new CoreStore(join(dir, 'cores'), await this.#access.seed(), { readOnly: true })
    try {
      const pool = (await this.#access.stores.control.read(this.nameOf(path)))!
      const verified = await verifyPool(pool, this.#access.stores, await cores.read(pool.key, undefined), undefined)
      if (task) return verified // this task need not be the one that reported last
      const { problems, listed, reportedBlocks } = await this.#machine.verify(pool.path)
      if (problems || reportedBlocks !== verified.coreLength)
        throw new Error(`without the hypercore it cannot be verified: ${listed.join(', ')}`)
      return verified
    } finally {
      await cores.close()
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort()
    this.#keepsWorking = false
    if (this.#proxy) this.#proxy.weather = () => undefined
    await Promise.all(this.#spawned.map((task) => task.ended(task === this.#task ? 'SIGTERM' : 'SIGKILL')))
    for (const undo of this.#undo.reverse()) await undo()
    await this.#pool.close()
    await this.#machine.close()
    await this.#proxy?.[Symbol.asyncDispose]()
    await super[Symbol.asyncDispose]()
  }

  // ---- names

  /** A scenario's payment, with the stack's name of the pool in its wish. */
  #toStack<T>(payment: T): T {
    return withLoop(payment, (alias) => this.nameOf(alias))
  }

  /** A value from the stack, with the scenario's names of pools. */
  #toScenario(value: unknown): unknown {
    if (typeof value === 'string') {
      const [, name = ''] = /^Received into (.*)$/.exec(value) ?? []
      return this.#names.has(name) ? `Received into ${this.#names.get(name)}` : value
    }
    if (Array.isArray(value)) return value.map((one) => this.#toScenario(one))
    if (typeof value !== 'object' || value === null) return value
    const fields = Object.entries(withLoop(value, (name) => this.#names.get(name) ?? name)).map(([field, of]) => {
      if (field === 'path') return [field, this.#names.get(of as string) ?? of]
      return [field, this.#toScenario(of)]
    })
    return Object.fromEntries(fields)
  }
}

/** The memory of a function cannot be measured from here. */
function notHere(): never {
  throw new Error('only a machine in a child process has this call')
}

function ignoreMissing(error: unknown): { events?: [] } {
  if (error instanceof ResourceNotFoundException) return {}
  throw error
}

/** The payment with another pool in the loop of its memo's wish, if it has one. */
function withLoop<T>(payment: T, nameOf: (pool: string) => string): T {
  const { memo } = payment as { memo?: string }
  if (!memo?.startsWith('{')) return payment
  const wish = JSON.parse(memo) as Wish
  if (!wish.loop) return payment
  return { ...payment, memo: JSON.stringify({ ...wish, loop: { ...wish.loop, pool: nameOf(wish.loop.pool) } }) }
}

/** The most calls at once. An emulator starts a process for each of them, and a small computer cannot run more. */
const MAX_CALLS = 6
const agents = { http: new HttpAgent({ maxSockets: MAX_CALLS }), https: new HttpsAgent() }

/** Sends a POST. For an emulator it goes to the emulator's address, with the host of the URL as its Host. */
function send(url: URL, body: string, headers: Record<string, string>): Promise<{ status: number; text: string }> {
  const emulator = process.env.AWS_ENDPOINT_URL
  const to = emulator === undefined ? url : new URL(url.pathname, emulator)
  const [request, agent] = to.protocol === 'https:' ? [httpsRequest, agents.https] : [httpRequest, agents.http]
  return new Promise((resolve, reject) => {
    const outgoing = request(to, {
      agent,
      method: 'POST',
      headers: { ...headers, host: url.host, 'content-length': Buffer.byteLength(body) },
    })
    outgoing.on('error', reject).on('response', (answer) => {
      let text = ''
      answer
        .setEncoding('utf8')
        .on('data', (chunk: string) => (text += chunk))
        .on('error', reject)
        .on('end', () => resolve({ status: answer.statusCode!, text }))
    })
    outgoing.end(body)
  })
}
