import { join, resolve } from 'node:path'
import { EmbeddedMachine, type Handler } from '../local/machine.ts'
import { idlePorts } from '../local/ports.ts'
import { lineOf, type MachineReport } from '../local/report.ts'
import { type BitcoinSettings, checkBitcoin } from '../shared/config/bitcoin.ts'
import { checkNetwork, checkReached, isPath, type NetworkSettings, type PoolSettings } from '../shared/config/config.ts'
import { readEnv } from '../shared/config/env.ts'
import { checkHandlerName } from '../shared/config/handler-name.ts'
import { OverpoolError } from '../shared/errors.ts'
import type { LedgerEvent, TxEvent } from '../shared/ledger/event.ts'
import type { HandledKind } from '../shared/ledger/kinds.ts'
import type { PoolName } from '../shared/ledger/pool.ts'
import { isPublicKey } from '../shared/ledger/pool-address.ts'
import { type Broadcast, type Broadcastable, type BroadcastOptions, checkBroadcast } from '../shared/machine/commit.ts'
import { type HandlerContext, handlerContext } from '../shared/machine/context.ts'
import { EVENTS, EXPORTS, type OnBlock, type OnInvoice, type OnReorg, type OnStatus, type OnTx } from '../shared/machine/handlers.ts'
import { checkInvoice, type InvoiceCalls, invoiceCalls } from '../shared/machine/invoices.ts'
import type { Machine, Pools, PubOptions, SubOptions, WatchOptions } from '../shared/machine/machine.ts'
import { optionsOf } from '../shared/machine/options.ts'
import type {
  AncestorTransaction,
  EventOfKinds,
  GetOptions,
  Kinds,
  PruneOptions,
  ReadOptions,
  TailOptions,
} from '../shared/machine/pools.ts'
import { asPoster, checkPost, type Posted, type PostOptions } from '../shared/machine/post.ts'
import { type PoolStatus, statusOf } from '../shared/machine/status.ts'
import { type Payee, payeeOf } from '../shared/paywall/payee.ts'
import { logged, printed } from '../shared/printed.ts'
import { Repeats } from '../shared/repeats.ts'
import { retriesWithin } from '../shared/retry.ts'
import type { HandlerState } from '../shared/state/handler-state.ts'
import type { StateOptions, StateView } from '../shared/state/view.ts'
import type { Run, RunsQuery } from '../shared/store/runs.ts'
import { openFolder } from './folder.ts'
import { closeBeforeExit, KeepAlive } from './keep-alive.ts'
import type { RemoteMachine } from './remote.ts'
import type { StackPlace } from './stack.ts'

const DEFAULT_DIR = '.overpool'
const DEFAULT_PORT = 3000
const DEFAULT_HOST = '127.0.0.1'
const DEFAULT_POOL = 'localhost'
/** A machine that another process has just begun has its ledger within this time, ms. */
const JOIN_MS = 5_000

export interface OverpoolOptions {
  /** the machine's folder; default: the environment's OVERPOOL_DIR, then `.overpool` */
  dir?: string
  /** as in the original, the parent folder: the machine's folder is `.overpool` in it. `dir` comes first */
  path?: string
  /** settings of the peer-to-peer network, used once a pool is published or subscribed to; default: the public DHT */
  network?: NetworkSettings
  /** how the machine takes part in Bitcoin: without it nothing is broadcast, and no chain is read */
  bitcoin?: BitcoinSettings
  /** where wallets reach the machine, such as `https://pay.example.com`: what its invoices say. Default: the address of its first door */
  url?: string
  /** the extended public key (xpub) of a wallet: invoices that name no script have a key of their own below it. Default: the machine's own */
  receive?: string
  /** reaches a machine on AWS instead, by the name of its stack, with the credentials that the AWS SDK finds */
  stack?: string
  /** AWS region of the stack; default: as the AWS SDK finds it */
  region?: string
}

export interface ReadyOptions {
  path: string
  /** wait until the DHT has accepted the announcement of the published pool */
  announced?: boolean
}

export interface CreateOptions extends PoolSettings {
  /** the pool's name, default `localhost` as in the original */
  path?: string
  /** default 3000; 0 takes a free port, false opens none. Pools may share a port. A string of digits works, such as `process.env.PORT` */
  port?: number | string | false
  /** default 127.0.0.1, this machine only */
  host?: string
  /** encrypts its hypercore: the public key alone does not open it when it is published */
  encrypt?: boolean
}

export interface Created {
  path: string
  /** public key of the pool, 64 hex */
  key: string
  /** where wallets post to, if anywhere */
  url?: string
}

export interface RunsOptions extends Omit<RunsQuery, 'pool'> {
  path: string
}

export interface OnOptions {
  /** the handler's name: its cursor is stored under it and survives restarts. Default: the event's kind, `tx`, or the first free one of `tx-2`, `tx-3` … */
  name?: string
}

/** A problem that needs attention; the machine goes on. `report` has the details for programs. */
export type MachineError = Error & { report: MachineReport }
type ErrorListener = (error: MachineError) => void

/** `*`, or the name of a pool. */
type OtherEvent<E extends string> = E extends HandledKind | 'error' ? never : E

type AnyHandler = OnTx | OnStatus | OnBlock | OnReorg | OnInvoice

/** A handler as it was registered, and as the machine calls it. */
interface Registered extends Handler {
  event: string
  given: AnyHandler
}

/**
 * A machine as one object with the methods of the original Overpool. A machine in a folder runs in this process: it opens at the first call, calls wait for pools that are
 * being created, and handlers and pools may be registered in any order. If another process runs the machine of the folder, this program joins it, as the command line does:
 * `create` and handlers are refused with FOLDER_IN_USE, everything else works, and filters do not run for posts from here. A machine on AWS (`stack`) is reached from here:
 * it has the pools and handlers that were deployed, and filters do not run for posts from here either.
 *
 * A program ends by itself when it waits for no call, and its machine has no door, no handler, and no pool that is published or subscribed to.
 */
export class Overpool implements Pools {
  readonly #stack: StackPlace | undefined
  readonly #dir: string
  readonly #network: NetworkSettings
  readonly #bitcoin: BitcoinSettings | undefined
  readonly #reached: Pick<OverpoolOptions, 'url' | 'receive'>
  readonly #keepAlive = new KeepAlive()
  #machine: Promise<EmbeddedMachine> | undefined
  /** the machine of a stack, or of a folder where another process runs it */
  #remote: Promise<Machine> | undefined
  #closing: Promise<void> | undefined
  /** takes back that it is closed before the process ends */
  #exits: (() => void) | undefined
  #closed = false
  readonly #creating = new Set<Promise<unknown>>()
  /** the registered handlers, and those at work */
  readonly #handlers: Registered[] = []
  readonly #working = new Set<Registered>()
  #setting: Promise<void> = Promise.resolve()
  /** the runs of our handlers, to recognise calls inside one */
  readonly #runs = new WeakSet<HandlerContext>()
  readonly #printed = new Repeats((line) => console.error(logged(line)))
  readonly #errorListeners = new Set<ErrorListener>()

  constructor(options?: OverpoolOptions) {
    const checked = optionsOf(options, 'new Overpool')
    const { dir, path, network = {}, bitcoin, url, receive } = checked
    const { OVERPOOL_DIR } = readEnv('local')
    this.#stack = stackOf(checked)
    this.#network = checkNetwork(network)
    this.#bitcoin = bitcoin && checkBitcoin(bitcoin)
    checkReached({ url, receive })
    this.#reached = { url, receive }
    this.#dir = resolve(
      dir !== undefined ? folder(dir, 'dir') : path !== undefined ? join(folder(path, 'path'), DEFAULT_DIR) : (OVERPOOL_DIR ?? DEFAULT_DIR),
    )
  }

  /** Creates a pool, or changes the settings of an existing one, and opens its HTTP door. Resolves when wallets can post. DEPLOYED on AWS: the config does it there. */
  create(options?: CreateOptions): Promise<Created> {
    const creating = this.#keepAlive.until(this.#create(options))
    this.#creating.add(creating)
    const over = () => this.#creating.delete(creating)
    creating.then(over, over)
    return creating.then((created) => created) // a new promise, so that an unhandled failure ends the program, as it should
  }

  async #create(options: CreateOptions | undefined): Promise<Created> {
    const { path = DEFAULT_POOL, port = DEFAULT_PORT, host = DEFAULT_HOST, ...settings } = optionsOf(options, 'create')
    if (this.#stack)
      throw deployed(`the pools of a stack are those of its config: add "${String(path).slice(0, 80)}" to \`pools\` in overpool.config.ts`)
    const door = port === false ? undefined : { port: portOf(port), host: hostOf(host) }
    const machine = await this.#open().catch((error) => {
      throw inUse(error, `"${String(path).slice(0, 80)}" cannot be created here`)
    })
    const { key } = await machine.create(path, settings)
    if (!door) return { path, key }
    const { url } = await outside(() => machine.listen([path], door.port, door.host))
    return { path, key, url: `${url}/${path}` }
  }

  /**
   * Posts a payment; resolves when it is durable. Inside a handler it is a consequence of the entry that the handler runs on: if the handler runs again, the post is not made
   * twice.
   */
  post(options: PostOptions): Promise<Posted> {
    return asPoster(
      options,
      async (poster) => {
        const post = checkPost(options) // at once: the program may reuse the object for its next post
        return this.#use(({ pools }) => pools.postAs(poster, post))
      },
      (error) => this.#report({ kind: 'post-failed', error }),
    )
  }

  /**
   * Asks for transactions to be broadcast, in this order: entries, or transactions of any form. Resolves when the request is durable; what becomes of each is recorded in the
   * pool (`on('status')`). Inside a handler the request is made once, however often the handler runs.
   */
  broadcast(what: Broadcastable | readonly Broadcastable[], options?: BroadcastOptions): Promise<Broadcast> {
    return asPoster(
      options,
      async (poster) => {
        const checked = checkBroadcast(what, options)
        return this.#use(({ pools }) => pools.broadcastAs(poster, checked))
      },
      (error) => this.#report({ kind: 'post-failed', error }),
    )
  }

  /** Invoices: `invoice({ path, amount, memo })` makes one; inside a handler it is made once, however often the handler runs. `invoice.get`, `.list` and `.cancel` ask after them. */
  readonly invoice: InvoiceCalls = invoiceCalls(
    (options) =>
      asPoster(
        options,
        async (poster) => {
          const checked = checkInvoice(options)
          return this.#use(({ pools }) => pools.invoices.makeAs(poster, checked))
        },
        (error) => this.#report({ kind: 'post-failed', error }),
      ),
    (options) =>
      asPoster(
        options,
        (poster) => this.#use(({ pools }) => pools.invoices.cancelAs(poster, options)),
        (error) => this.#report({ kind: 'post-failed', error }),
      ),
    (ask) => this.#use(({ pools }) => ask(pools.invoices)),
  )

  /** The oldest entry of a transaction, or with `id` the one with this id; ENTRY_NOT_FOUND if there is none. */
  async get(options: GetOptions): Promise<TxEvent> {
    return this.#use(({ pools }) => pools.get(options))
  }

  /** The newest transactions, oldest first; ten unless `size` says otherwise. With `kinds`, entries of these kinds. */
  tail(options: TailOptions): Promise<TxEvent[]>
  tail<K extends Kinds>(options: TailOptions & { kinds: K }): Promise<EventOfKinds<K>[]>
  async tail(options: TailOptions): Promise<LedgerEvent[]> {
    return this.#use(({ pools }) => pools.tail(options))
  }

  /** The transactions from `from` up to, and without, `to`. With `kinds`, entries of these kinds. */
  read(options: ReadOptions): AsyncGenerator<TxEvent, void>
  read<K extends Kinds>(options: ReadOptions & { kinds: K }): AsyncGenerator<EventOfKinds<K>, void>
  async *read(options: ReadOptions): AsyncGenerator<LedgerEvent, void> {
    yield* this.#each(({ pools }) => pools.read(options))
  }

  /** The entry of a transaction, then its cause, and so on back to where the loop began, or as far as this machine has the entries. */
  async *trail(options: { path: string; hash: string }): AsyncGenerator<TxEvent, void> {
    yield* this.#each(({ pools }) => pools.trail(options))
  }

  /** The state of a handler, to read and change while the machine runs. HANDLER_NOT_FOUND if no such handler has worked on the pool. */
  async state(options: StateOptions): Promise<StateView> {
    return this.#use(({ pools }) => pools.state(options))
  }

  /** What a transaction of a pool spends from, and what that spends from in turn, as far as wallets have sent it along (BEEF): parents before children. */
  async ancestors(options: { path: string; hash: string }): Promise<AncestorTransaction[]> {
    return this.#use(({ pools }) => pools.ancestors(options))
  }

  /** Archives the entries of a pool: `tail` and `read` begin after them, `get` still finds them. */
  async prune(pool: string | { path: string }, options?: PruneOptions): Promise<void> {
    return this.#use(({ pools }) => pools.prune(pool, options))
  }

  /**
   * Has the chain follower look for transactions that pay to these scripts or addresses, or spend these outputs: they become entries of the pool, whoever broadcast them. A second
   * call adds to the first. It needs `bitcoin.chain`.
   */
  async watch(options: WatchOptions): Promise<void> {
    const { path, ...wanted } = optionsOf(options, 'watch')
    return this.#use(({ control }) => control.watch(path, wanted))
  }

  /**
   * Publishes a pool under its public key; resolves to the key that others subscribe to. The announcement goes on in the background (`ready`, `status`), and again after a
   * restart.
   */
  async pub(options: PubOptions): Promise<string> {
    const { path, ...publish } = optionsOf(options, 'pub')
    return this.#use(({ control }) => control.publish(path, publish))
  }

  /** Stops publishing a pool. Machines that have entries of it keep them. */
  async unpub(options: { path: string }): Promise<void> {
    const { path } = optionsOf(options, 'unpub')
    return this.#use(({ control }) => control.unpublish(path))
  }

  /** Subscribes to a peer's pool: handlers run on its entries; `get`, `tail` and `read` find it by its public key. Resolves when the subscription is stored. */
  async sub(options: SubOptions): Promise<Created> {
    const { path, ...subscribe } = optionsOf(options, 'sub')
    const pool = await this.#use(({ control }) => control.subscribe(path, subscribe))
    return { path: pool.path, key: pool.key }
  }

  /** Ends a subscription. Its entries stay; a later `sub` goes on from there. */
  async unsub(options: { path: string }): Promise<void> {
    const { path } = optionsOf(options, 'unsub')
    return this.#use(({ control }) => control.unsubscribe(path))
  }

  /** Resolves when the pools that are being created exist, POOL_NOT_FOUND if this one is not among the machine's; with `announced`, when others can find it. */
  async ready(options: ReadyOptions): Promise<void> {
    const { path, announced } = optionsOf(options, 'ready')
    await this.#use(async (machine) => {
      await machine.pools.control(path)
      if (announced) await machine.announced(path)
    })
  }

  /** The machine's pools and subscriptions, and their state in the network. */
  async status(): Promise<PoolStatus[]> {
    return this.#use(({ pools }) => statusOf(pools))
  }

  /** The newest runs of handlers on the entries of a pool, the newest first: duration, outcome, error, what they printed. They are kept for a while. */
  async runs(options: RunsOptions): Promise<Run[]> {
    const { path, ...query } = optionsOf(options, 'runs')
    return this.#use((machine) => machine.runs({ pool: path as string, ...query }))
  }

  /** The public key of this machine, 64 hex: others use it in `allow`, `peer` and `peers`. */
  async id(): Promise<string> {
    return this.#use((machine) => machine.id())
  }

  /** The keys to which a pool of this machine is paid by HTTP 402: `createPaywall` asks for them. */
  async payee(options: { path: string }): Promise<Payee> {
    const { path } = optionsOf(options, 'payee')
    return this.#use(async (machine) => payeeOf(await machine.paySecret(), (await machine.pools.control(path)).path))
  }

  /**
   * `tx`, `status`, `block`, `reorg`, `invoice`: calls the handler with every entry of this kind in every pool of this machine, in order within a pool. DEPLOYED on AWS, where handlers are
   * functions of their own. `error`: gets the problems that otherwise go to console.error. As in `underpool`, `*` means `tx`, and the name of a pool means the transactions of
   * that pool.
   */
  on(event: 'tx', handler: OnTx, options?: OnOptions): this
  on(event: 'status', handler: OnStatus, options?: OnOptions): this
  on(event: 'block', handler: OnBlock, options?: OnOptions): this
  on(event: 'reorg', handler: OnReorg, options?: OnOptions): this
  on(event: 'invoice', handler: OnInvoice, options?: OnOptions): this
  on(event: 'error', listener: ErrorListener): this
  on<E extends string>(event: OtherEvent<E>, handler: OnTx, options?: OnOptions): this
  on(event: string, listener: AnyHandler | ErrorListener, options?: OnOptions): this {
    checkEvent(event)
    if (typeof listener !== 'function') throw new OverpoolError('BAD_ARGUMENT', `on('${event}') takes a function`)
    if (event === 'error') this.#errorListeners.add(listener as ErrorListener)
    else this.#register(event, listener as AnyHandler, optionsOf(options, `on('${event}', …)`).name)
    return this
  }

  #register(event: string, given: AnyHandler, asked: string | undefined): void {
    const kind = kindOf(event)
    const name = asked ?? this.#freeName(kind)
    if (this.#stack)
      throw deployed(
        'the handlers of a stack are its Lambda functions: write them as files in functions/handlers, and name them in overpool.config.ts',
      )
    checkHandlerName(name)
    if (this.#handlers.some((handler) => handler.name === name))
      throw new OverpoolError('BAD_ARGUMENT', `there is a handler named "${name}" already`)
    if (this.#closing) throw closed()
    const noted = (event: never, pool: Pools, state: HandlerState) => {
      this.#runs.add(handlerContext.getStore()!)
      return given(event, pool, state)
    }
    const takes = isPoolName(event) ? ({ path }: PoolName) => path === event : () => true
    this.#handlers.push({ name, functions: { [kind]: noted }, takes, event, given })
    this.#setHandlers()
  }

  #freeName(kind: HandledKind): string {
    for (let i = 1; ; i++) {
      const name = i === 1 ? kind : `${kind}-${i}`
      if (!this.#handlers.some((handler) => handler.name === name)) return name
    }
  }

  /** Stops a handler after its current entry. Registered again under the same name, it goes on from there. */
  off(event: 'tx', handler: OnTx): this
  off(event: 'status', handler: OnStatus): this
  off(event: 'block', handler: OnBlock): this
  off(event: 'reorg', handler: OnReorg): this
  off(event: 'invoice', handler: OnInvoice): this
  off(event: 'error', listener: ErrorListener): this
  off<E extends string>(event: OtherEvent<E>, handler: OnTx): this
  off(event: string, listener: AnyHandler | ErrorListener): this {
    checkEvent(event)
    if (event === 'error') this.#errorListeners.delete(listener as ErrorListener)
    const at = this.#handlers.findIndex((handler) => handler.event === event && handler.given === listener)
    if (at >= 0) {
      this.#handlers.splice(at, 1)
      this.#setHandlers()
    }
    return this
  }

  /** Starts registered handlers and stops removed ones, one change after the other. */
  #setHandlers(): void {
    const set = async () => {
      const machine = await this.#open().catch((error) => {
        throw inUse(error, `the ${this.#handlers.length === 1 ? 'handler' : 'handlers'} of this program cannot run`)
      })
      for (const handler of this.#working) {
        if (this.#handlers.includes(handler)) continue
        this.#working.delete(handler)
        this.#keepAlive.release()
        void machine.unhandle(handler.name)
      }
      for (const handler of this.#handlers.filter((each) => !this.#working.has(each))) {
        await outside(() => machine.handle(handler))
        if (this.#closing) return
        this.#working.add(handler)
        this.#keepAlive.hold()
        if (isPoolName(handler.event)) void this.#noteMissing(handler.event, machine)
      }
    }
    const setting = this.#setting.then(set).catch((error) => {
      if (!this.#closing) this.#report({ kind: 'not-open', error })
    })
    this.#setting = this.#keepAlive.until(setting)
  }

  /** Says that a handler waits for a pool that does not exist, perhaps because its name is a misspelt event. */
  async #noteMissing(path: string, { pools }: EmbeddedMachine): Promise<void> {
    await Promise.allSettled(this.#creating)
    const all = await pools.list().catch(() => undefined) // the machine is being closed
    if (all && !all.some((pool) => pool.path === path)) this.#report({ kind: 'no-pool', pool: path })
  }

  /**
   * Stops the machine: handlers finish their current entry, and the next start goes on from there. Called inside one of its handlers it resolves at once, since the machine
   * waits for that handler.
   */
  async close(): Promise<void> {
    this.#closing ??= this.#keepAlive.until(this.#close())
    const run = handlerContext.getStore()
    if (!run || run.ended || !this.#runs.has(run)) await this.#closing
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#creating)
    for (const opened of [this.#remote, this.#machine]) {
      const machine: Machine | undefined = await opened?.catch(() => undefined)
      await machine?.close()
    }
    for (const handler of this.#working) if (this.#working.delete(handler)) this.#keepAlive.release()
    this.#exits?.()
    this.#closed = true
    this.#printed.end()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Does work on the machine, after the pools that are being created. */
  #use<T>(work: (machine: Machine) => Promise<T>): Promise<T> {
    return this.#keepAlive.until(this.#created().then(work))
  }

  async *#each<T>(list: (machine: Machine) => AsyncGenerator<T, void>): AsyncGenerator<T, void> {
    const events = list(await this.#use(async (machine) => machine))
    try {
      while (true) {
        const { value, done } = await this.#keepAlive.until(events.next())
        if (done) return
        yield value
      }
    } finally {
      await events.return()
    }
  }

  async #created(): Promise<Machine> {
    if (this.#creating.size) await Promise.allSettled(this.#creating)
    const place = this.#stack
    if (place) return this.#reach(async () => (await import('./stack.ts')).openStack(place))
    if (this.#remote && !this.#machine) return this.#remote
    return this.#open().catch((error) => {
      if (!isInUse(error)) throw error
      return this.#reach(() => joinFolder(this.#dir))
    })
  }

  /** The machine that another process runs. */
  #reach(open: () => Promise<RemoteMachine>): Promise<Machine> {
    if (this.#closing) return Promise.reject(closed())
    if (!this.#remote) {
      const remote = outside(open)
      this.#remote = remote
      remote.catch(() => (this.#remote = undefined)) // the caller gets the error; the next call tries again
    }
    return this.#remote
  }

  #open(): Promise<EmbeddedMachine> {
    if (this.#closing) return Promise.reject(closed())
    if (!this.#machine) {
      const machine = outside(() =>
        EmbeddedMachine.open({
          dir: this.#dir,
          network: this.#network,
          bitcoin: this.#bitcoin,
          reached: this.#reached,
          report: (report) => this.#report(report),
          ports: idlePorts,
        }),
      )
      this.#machine = machine
      this.#exits ??= closeBeforeExit(this)
      machine.then(
        () => this.#setHandlers(), // handlers that a failed opening left without work
        () => (this.#machine = undefined), // the caller gets the error; the next call tries again
      )
    }
    return this.#machine
  }

  #report(report: MachineReport): void {
    const line = lineOf(report)
    if (line === undefined || this.#closed) return
    const error = Object.assign(new Error(printed(line), { cause: 'error' in report ? report.error : undefined }), { report })
    if (!this.#errorListeners.size) this.#printed.say(line)
    // In a microtask of its own: an error that a listener throws is the program's, and must not stop the loop that reports.
    for (const listener of this.#errorListeners) outside(() => queueMicrotask(() => listener(error)))
  }
}

/** Runs work of the machine outside the current handler's context: it is no consequence of that handler's entry. */
function outside<T>(work: () => T): T {
  return handlerContext.exit(work)
}

/** The machine of a folder, which another process runs, or has just begun to run. */
async function joinFolder(dir: string): Promise<RemoteMachine> {
  const again = retriesWithin(JOIN_MS, 20, 200)
  while (true) {
    try {
      return openFolder(dir)
    } catch (error) {
      const isStarting = error instanceof OverpoolError && error.code === 'MACHINE_NOT_FOUND'
      if (!isStarting || !(await again())) throw error
    }
  }
}

function isInUse(error: unknown): error is OverpoolError {
  return error instanceof OverpoolError && error.code === 'FOLDER_IN_USE'
}

/** What a program cannot do that has joined a machine; any other error as it is. */
function inUse(error: unknown, what: string): unknown {
  if (!isInUse(error)) return error
  return new OverpoolError(
    'FOLDER_IN_USE',
    `${what}: ${error.message}. Meanwhile this program can post, read, prune, publish and subscribe there`,
    { cause: error },
  )
}

function closed(): OverpoolError {
  return new OverpoolError('CLOSED', 'this Overpool has been closed')
}

function deployed(sentence: string): OverpoolError {
  return new OverpoolError('DEPLOYED', `${sentence}, then \`npx cdk deploy\``)
}

function stackOf({ stack, region, dir, path, network, bitcoin }: OverpoolOptions): StackPlace | undefined {
  if (stack === undefined && region === undefined) return undefined
  if (typeof stack !== 'string' || !stack)
    throw new OverpoolError('BAD_ARGUMENT', 'new Overpool({ stack }) takes the name of a stack, such as Overpool')
  if (region !== undefined && (typeof region !== 'string' || !region))
    throw new OverpoolError('BAD_ARGUMENT', 'region is the name of an AWS region, such as eu-central-1')
  if ([dir, path, network, bitcoin].every((option) => option === undefined)) return { stack, region }
  throw new OverpoolError(
    'BAD_ARGUMENT',
    'a machine is in a folder or on AWS: `dir`, `path`, `network` and `bitcoin` do not go with `stack`',
  )
}

function checkEvent(event: string): void {
  if (!EVENTS.includes(event) && !isPath(event) && !isPublicKey(event))
    throw new OverpoolError('BAD_ARGUMENT', `there is no event "${String(event)}"; there are ${EVENTS.join(', ')}, and the names of pools`)
}

/** Whether an event is the name of a pool, or the public key of a peer's. */
function isPoolName(event: string): boolean {
  return !EVENTS.includes(event)
}

function kindOf(event: string): HandledKind {
  return event in EXPORTS ? (event as HandledKind) : 'tx'
}

function folder(value: unknown, option: string): string {
  if (typeof value === 'string' && value && !value.includes('\0')) return value
  throw new OverpoolError('BAD_ARGUMENT', `new Overpool({ ${option} }) takes the path of a folder`)
}

function portOf(port: unknown): number {
  const number = typeof port === 'string' && /^\d+$/.test(port) ? Number(port) : port
  if (typeof number === 'number' && Number.isInteger(number) && number >= 0 && number <= 65_535) return number
  throw new OverpoolError('BAD_ARGUMENT', 'port is a number from 0 to 65535, or false for none')
}

/** Refuses an empty host: Node would listen on every address. */
function hostOf(host: unknown): string {
  if (typeof host === 'string' && host) return host
  throw new OverpoolError('BAD_ARGUMENT', 'host is an address of this machine: 127.0.0.1, or 0.0.0.0 for all of them')
}
