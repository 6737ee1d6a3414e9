import { parallel } from '../shared/aws/call.ts'
import type { Clock } from '../shared/clock.ts'
import type { NetworkSettings, OverpoolConfig, PoolConfig } from '../shared/config/config.ts'
import { OverpoolError } from '../shared/errors.ts'
import type { PoolName } from '../shared/ledger/pool.ts'
import { checkPublished, encryption, MachineControl } from '../shared/machine/control.ts'
import type { Ingress, Queue } from '../shared/queue/port.ts'
import type { PoolControl } from '../shared/store/control.ts'
import type { Stores } from '../shared/store/port.ts'
import { CoreStore, machineKeyPair, poolKeys } from './cores/core.ts'
import { PoolNetwork } from './peers/network.ts'
import { Swarm } from './peers/swarm.ts'
import type { Report } from './report.ts'
import { DirectIngress } from './writer/direct-ingress.ts'
import type { Ringer } from './writer/effects.ts'
import { IngressConsumer, type IngressConsumerOptions } from './writer/ingress-consumer.ts'

/** Pools that are opened side by side when the machine starts. */
const OPENED_TOGETHER = 8

export interface SidecarOptions {
  stores: Stores
  ingress: Queue
  clock: Clock
  /** 32 bytes, the machine's one secret */
  seed: Uint8Array
  /** where the seed is, for a person who has to put the right one there */
  seedPlace: string
  /** folder of the hypercores: a cache */
  cores: string
  network: NetworkSettings
  /** pools that are there before the first post is taken: one for a pool that is not would be set aside */
  pools?: string[]
  ringers: (pool: PoolName) => Ringer[]
  batchMs: (pool: string) => number
  report: Report
  /** of many shards this one, with these pools; default: there is one, and it has all of them */
  shard?: { index: number; owns: (pool: string) => boolean }
  /** see PoolWriter, PoolNetwork */
  busy?: IngressConsumerOptions['busy']
  sweepMs?: number
  lookMs?: number
}

interface SidecarParts {
  cores: CoreStore
  consumer: IngressConsumer
  network: PoolNetwork
}

/** Keeps the ledger of a machine, or of one shard of it: the writers of its pools, their hypercores and their part in the network. Whoever opens it closes it. */
export class Sidecar {
  /** what is wanted of the pools: written by callers, and by the config */
  readonly control: MachineControl
  readonly #options: SidecarOptions
  readonly #cores: CoreStore
  readonly #consumer: IngressConsumer
  /** for posts that are made in this process */
  readonly ingress: Ingress
  readonly #network: PoolNetwork
  readonly #keys = new Map<string, string>()
  #stopping: Promise<void> | undefined

  /** Opens every pool's writer, in the background and the newest first: what an earlier process left half done is done now. */
  static async open(options: SidecarOptions): Promise<Sidecar> {
    const { stores, clock, seed, pools = [] } = options
    const createdAt = clock.now()
    const known = await stores.control.list()
    const there = new Set(known.map(({ path }) => path))
    const missing = pools.filter((path) => !there.has(path))
    const made = await parallel(missing, 16, (path) => stores.control.create({ path, kind: 'own', ...publicKeys(seed, path), createdAt }))
    const sidecar = new Sidecar(options, startParts(options))
    try {
      sidecar.#recover([...known, ...made])
      return sidecar
    } catch (error) {
      await sidecar.close()
      throw error
    }
  }

  private constructor(options: SidecarOptions, { cores, consumer, network }: SidecarParts) {
    const { stores, clock, seed } = options
    this.#options = options
    this.#cores = cores
    this.#consumer = consumer
    this.#network = network
    this.ingress = new DirectIngress({ queue: options.ingress, consumer })
    const secretOf = async (path: string) => poolKeys(seed, path).secret
    this.control = new MachineControl({ stores, clock, secretOf, changed: () => network.look() })
  }

  #recover(all: PoolControl[]): void {
    const { report, shard } = this.#options
    const pools = all.filter(({ path, kind }) => kind !== 'peer' && (shard?.owns(path) ?? true))
    for (const pool of pools) this.#checkKey(pool)
    // A few at a time: what is read of each meanwhile is in memory.
    const open = ({ path }: PoolControl) =>
      this.#consumer.writer(path).catch((error) => {
        if (!this.#stopping) report({ kind: 'retrying', pool: path, step: 'open', error })
      })
    void parallel(
      pools.sort((a, b) => b.createdAt - a.createdAt),
      OPENED_TOGETHER,
      open,
    )
  }

  #checkKey({ path, key }: PoolControl): void {
    this.#keys.set(path, key)
    if (key === poolKeys(this.#options.seed, path).key) return
    throw new OverpoolError(
      'BAD_CONFIG',
      `the seed in ${this.#options.seedPlace} is not the one that "${path}" was made with: put the right one back, or take another ledger`,
    )
  }

  /** Public key of a pool of ours, 64 hex. */
  keyOf(path: string): string | undefined {
    return this.#keys.get(path)
  }

  /** The public key by which other machines know this one, 64 hex. */
  get id(): string {
    const { seed, shard } = this.#options
    return machineKeyPair(seed, shard?.index).publicKey.toString('hex')
  }

  /** Whether its loops move: one that waits for the mirror or a queue does not. */
  get moves(): boolean {
    return this.#consumer.moves
  }

  /** Why nothing is appended to a pool any more, if so. */
  halted(path: string): OverpoolError | undefined {
    return this.#consumer.halted(path)
  }

  /** Makes a pool if there is none. */
  async make(path: string): Promise<PoolControl> {
    const { stores, clock, seed } = this.#options
    const there = this.#keys.has(path) ? await stores.control.read(path) : undefined
    const pool = there ?? (await stores.control.create({ path, kind: 'own', ...publicKeys(seed, path), createdAt: clock.now() }))
    this.#checkKey(pool)
    return pool
  }

  /** Opens a pool that is made; resolves when it takes posts, and what is wanted of it holds durably. */
  async configure(pool: PoolControl, { encrypt, publish: published }: Pick<PoolConfig, 'encrypt' | 'publish'>): Promise<PoolControl> {
    const changed = encryption(pool, encrypt)
    if (changed) await this.#options.stores.control.update(pool.path, changed)
    await (changed ? this.#consumer.reopen(pool.path) : this.#consumer.writer(pool.path))
    const taken = { ...pool, ...changed }
    if (published) await this.control.publish(pool.path, published === true ? {} : published)
    else if (published === false) await this.control.unpublish(pool.path)
    return taken
  }

  /** Follows the peers' pools of a config, as far as they are this shard's; no more those that an earlier config named and this one does not. */
  syncSubscriptions(config: Pick<OverpoolConfig, 'subscribe'>): Promise<void> {
    return this.control.syncSubscriptions(config, this.#options.shard?.owns)
  }

  /** Resolves when the network has taken the announcement of a published pool. */
  async announced({ path, desired }: PoolControl, signal: AbortSignal): Promise<void> {
    checkPublished({ path, desired })
    await this.#network.announced(path, signal)
  }

  /** Rings for handlers whose pools have changed. */
  async ringAgain(): Promise<void> {
    await Promise.all([this.#consumer.bells.ringAgain(), this.#network.bells.ringAgain()])
  }

  /** Stops in this order: receives no more, puts what is in hand, lets the effects go out, leaves the network. What is left is redone by the next start. */
  stop(): Promise<void> {
    this.#stopping ??= this.#consumer.stop().then(() => this.#network.stop())
    return this.#stopping
  }

  /** Stops, and closes the hypercores. */
  async close(): Promise<void> {
    await this.stop()
    await this.#cores.close()
  }
}

/** Opens the hypercores, and sets the consumer of posts and the network to work. */
function startParts({ cores: folder, seed, network: settings, shard, ...options }: SidecarOptions): SidecarParts {
  const { stores, ingress, ringers, clock, report, batchMs, busy, sweepMs, lookMs } = options
  const owns = shard?.owns
  const cores = new CoreStore(folder, seed)
  const consumer = IngressConsumer.start({ stores, ingress, cores, clock, report, ringers, batchMs, busy, sweepMs, owns })
  const swarm = new Swarm(machineKeyPair(seed, shard?.index), settings, clock, (error) => report({ kind: 'no-network', error }))
  const network = PoolNetwork.start({ stores, cores, swarm, consumer, ringers, clock, report, owns, lookMs })
  return { cores, consumer, network }
}

function publicKeys(seed: Uint8Array, path: string): Pick<PoolControl, 'key' | 'discoveryKey'> {
  const { key, discoveryKey } = poolKeys(seed, path)
  return { key, discoveryKey }
}
