import { join, resolve } from 'node:path'
import type { TxEvent } from '../functions/handler/event.ts'
import { asPoster, type OnTx, type Pools, type Posted, type PostOptions } from '../functions/handler/pools.ts'
import { handlerContext } from '../functions/handler/runner.ts'
import { type PoolStatus, statusOf } from '../functions/handler/status.ts'
import { checkNetwork, type NetworkSettings, type PoolSettings } from '../shared/config.ts'
import { readEnv } from '../shared/env.ts'
import { OverpoolError } from '../shared/errors.ts'
import type { PublishOptions, SubscribeOptions } from '../sidecar/wanted.ts'
import { Machine } from './machine.ts'
import { lineOf, type MachineReport } from './report.ts'

/** The ledger is kept by node:sqlite, which is there without a flag from this version on. */
const LEAST_NODE = [22, 13] as const
const DEFAULT_DIR = '.overpool'
const DEFAULT_PORT = 3000
const DEFAULT_HOST = '127.0.0.1'
const DEFAULT_POOL = 'localhost'

export interface OverpoolOptions {
  /** the machine's folder, default `.overpool`, or OVERPOOL_DIR */
  dir?: string
  /** as in the original: the folder in which to make the machine's own */
  path?: string
  /** how it takes part in the peer-to-peer network, once something is published or followed; default: by the public DHT */
  network?: NetworkSettings
}

export interface PubOptions extends PublishOptions {
  path: string
}

export interface SubOptions extends Omit<SubscribeOptions, 'byConfig'> {
  /** what the publisher's `pub` gave */
  path: string
}

export interface ReadyOptions {
  path: string
  /** until the network has taken the announcement of the published pool */
  announced?: boolean
}

export interface CreateOptions extends PoolSettings {
  /** the pool's name, default `localhost` as in the original */
  path?: string
  /** default 3000; 0 takes a free one, false opens none. Pools of one port share it */
  port?: number | false
  /** default 127.0.0.1, this machine only */
  host?: string
  /** its hypercore is encrypted: when it is published, who only has the public key cannot read it */
  encrypt?: boolean
}

export interface Created {
  path: string
  /** public key of the pool, 64 hex */
  key: string
  /** where wallets post to, if anywhere */
  url?: string
}

export interface OnOptions {
  /** keeps the handler's place in the pools over restarts, default `tx`, `tx-2` … in the order they are registered */
  name?: string
}

/** Something to be seen to: the machine goes on. `report` says the same for programs. */
export type MachineError = Error & { report: MachineReport }
type ErrorListener = (error: MachineError) => void

/**
 * The embedded machine as one object with the methods of the original Overpool. It opens its folder at the first call; calls wait for the pools that are
 * being created. Handlers and pools may come in any order.
 */
export class Overpool {
  readonly #dir: string
  readonly #network: NetworkSettings
  #machine: Promise<Machine> | undefined
  #closing: Promise<void> | undefined
  readonly #creating = new Set<Promise<unknown>>()
  readonly #handlers: { name: string; onTx: OnTx }[] = []
  readonly #errorListeners = new Set<ErrorListener>()

  constructor(options: OverpoolOptions = {}) {
    checkNode()
    const { OVERPOOL_DIR } = readEnv('local')
    this.#network = checkNetwork(options.network ?? {})
    this.#dir = resolve(options.dir ?? (options.path !== undefined ? join(options.path, DEFAULT_DIR) : (OVERPOOL_DIR ?? DEFAULT_DIR)))
  }

  /** Makes a pool, or gives one that exists these settings, and opens its HTTP door. Resolves when wallets can post. */
  create(options: CreateOptions = {}): Promise<Created> {
    const creating = this.#create(options)
    this.#creating.add(creating)
    const over = () => this.#creating.delete(creating)
    creating.then(over, over)
    return creating.then((created) => created) // of its own, so that a failure that nobody looks at ends the program, as it should
  }

  async #create({ path = DEFAULT_POOL, port = DEFAULT_PORT, host = DEFAULT_HOST, ...settings }: CreateOptions): Promise<Created> {
    const machine = await this.#open()
    const { key } = await machine.create(path, settings)
    if (port === false) return { path, key }
    if (!Number.isInteger(port) || port < 0 || port > 65_535)
      throw new OverpoolError('BAD_ARGUMENT', 'port is a number from 0 to 65535, or false for none')
    const { url } = await machine.listen([path], port, host)
    return { path, key, url: `${url}/${path}` }
  }

  /**
   * Posts a payment; resolves when it is held durably. Inside a handler it is a consequence of the entry that the handler was called with: run again, the
   * handler posts it no second time.
   */
  post(options: PostOptions): Promise<Posted> {
    return asPoster(
      options,
      async (poster) => (await this.#pools()).postAs(poster, options ?? {}),
      (error) => this.#report({ kind: 'post-failed', error }),
    )
  }

  /** The oldest entry of a transaction. */
  async get(options: { path: string; hash: string }): Promise<TxEvent> {
    return (await this.#pools()).get(options ?? {})
  }

  /** The newest entries, oldest first; ten unless `size` says otherwise. */
  async tail(options: { path: string; size?: number }): Promise<TxEvent[]> {
    return (await this.#pools()).tail(options ?? {})
  }

  /** The entries from `from` up to, and without, `to`. */
  async *read(options: { path: string; from?: number; to?: number }): AsyncGenerator<TxEvent, void> {
    yield* (await this.#pools()).read(options ?? {})
  }

  /** Archives what a pool holds: `tail` and `read` begin after it, `get` still finds it. */
  async prune(path: string): Promise<void> {
    return (await this.#pools()).prune(path)
  }

  /**
   * Offers a pool to the network under its public key; resolves to what others subscribe to. The announcement goes on in the background (`ready`, `status`),
   * and again after a restart.
   */
  async pub(options: PubOptions): Promise<string> {
    const { path, ...publish } = options ?? {}
    return (await this.#created()).publish(path, publish)
  }

  /** Offers it no more. Who has entries of it keeps them. */
  async unpub({ path }: { path: string }): Promise<void> {
    return (await this.#created()).unpublish(path)
  }

  /** Follows a peer's pool: `tx` handlers run on its entries, `get`, `tail` and `read` know it by its public key. Resolves when that is durable. */
  async sub(options: SubOptions): Promise<Created> {
    const { path, ...subscribe } = options ?? {}
    const pool = await (await this.#created()).subscribe(path, subscribe)
    return { path: pool.path, key: pool.key }
  }

  /** Follows it no more. What has come stays; `sub` goes on from there. */
  async unsub({ path }: { path: string }): Promise<void> {
    return (await this.#created()).unsubscribe(path)
  }

  /** Resolves when a pool is there; with `announced`, when others can find it. */
  async ready({ path, announced }: ReadyOptions): Promise<void> {
    const machine = await this.#created()
    await machine.pools.control(path)
    if (announced) await machine.announced(path)
  }

  /** The pools of this machine and those that it follows, with how they stand in the network. */
  async status(): Promise<PoolStatus[]> {
    return statusOf((await this.#created()).pools)
  }

  /** The public key by which other machines know this one, 64 hex: what they put into `allow`, `peer` and `peers`. */
  async id(): Promise<string> {
    return (await this.#open()).id
  }

  /** `tx`: calls the handler with every entry of every pool of this machine, in order within a pool. `error`: what otherwise goes to console.error. */
  on(event: 'tx', handler: OnTx, options?: OnOptions): this
  on(event: 'error', listener: ErrorListener): this
  on(event: 'tx' | 'error', listener: OnTx | ErrorListener, options: OnOptions = {}): this {
    if (typeof listener !== 'function') throw new OverpoolError('BAD_ARGUMENT', `on('${event}') takes a function`)
    if (event === 'error') this.#errorListeners.add(listener as ErrorListener)
    else if (event === 'tx') this.#register(listener as OnTx, options.name ?? this.#freeName())
    else throw new OverpoolError('BAD_ARGUMENT', `there is no event "${String(event)}"; there are tx and error`)
    return this
  }

  #register(onTx: OnTx, name: string): void {
    if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(name))
      throw new OverpoolError('BAD_ARGUMENT', `"${name}" cannot name a handler: use 1 to 63 of a-z, 0-9, - and _`)
    if (this.#handlers.some((handler) => handler.name === name))
      throw new OverpoolError('BAD_ARGUMENT', `there is a handler named "${name}" already`)
    this.#handlers.push({ name, onTx })
    this.#open()
      .then((machine) => machine.handle({ name, onTx, takes: () => true }))
      .catch((error) => this.#report({ kind: 'retrying', pool: '', step: `on('tx')`, error }))
  }

  #freeName(): string {
    for (let i = 1; ; i++) {
      const name = i === 1 ? 'tx' : `tx-${i}`
      if (!this.#handlers.some((handler) => handler.name === name)) return name
    }
  }

  /** Stops a handler after the entry that it is at. Registered again under its name, it goes on from there. */
  off(event: 'tx', handler: OnTx): this
  off(event: 'error', listener: ErrorListener): this
  off(event: 'tx' | 'error', listener: OnTx | ErrorListener): this {
    if (event === 'error') this.#errorListeners.delete(listener as ErrorListener)
    const handler = this.#handlers.find(({ onTx }) => onTx === listener)
    if (event === 'tx' && handler) {
      this.#handlers.splice(this.#handlers.indexOf(handler), 1)
      this.#open()
        .then((machine) => machine.unhandle(handler.name))
        .catch((error) => this.#report({ kind: 'retrying', pool: '', step: `off('tx')`, error }))
    }
    return this
  }

  /**
   * Stops the machine: handlers finish the entry that they are at, the rest goes on at the next start. Called inside a handler it resolves at once, since the
   * machine waits for that handler.
   */
  async close(): Promise<void> {
    this.#closing ??= this.#close()
    if (!handlerContext.getStore()) await this.#closing
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#creating)
    await this.#machine?.then(
      (machine) => machine.close(),
      () => {},
    )
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The pools, when those that are being created are there. */
  async #pools(): Promise<Pools> {
    return (await this.#created()).pools
  }

  async #created(): Promise<Machine> {
    if (this.#creating.size) await Promise.allSettled(this.#creating)
    return this.#open()
  }

  #open(): Promise<Machine> {
    if (this.#closing) return Promise.reject(new OverpoolError('CLOSED', 'this Overpool has been closed'))
    if (!this.#machine) {
      this.#machine = Machine.open({ dir: this.#dir, network: this.#network, report: (report) => this.#report(report) })
      this.#machine.catch(() => (this.#machine = undefined)) // whoever asked is told; the next call tries again
    }
    return this.#machine
  }

  #report(report: MachineReport): void {
    const line = lineOf(report)
    if (line === undefined) return
    const error = Object.assign(new Error(line, { cause: 'error' in report ? report.error : undefined }), { report })
    if (this.#errorListeners.size) for (const listener of this.#errorListeners) listener(error)
    else console.error(`overpool: ${line}`)
  }
}

function checkNode(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > LEAST_NODE[0] || (major === LEAST_NODE[0] && minor >= LEAST_NODE[1])) return
  throw new OverpoolError(
    'NODE_TOO_OLD',
    `overpool-cloud needs Node ${LEAST_NODE.join('.')} or newer for its ledger (node:sqlite), and this is ${process.versions.node}. \`npm install node@24\` puts one into this project, for its npm scripts and \`npx node\``,
  )
}
