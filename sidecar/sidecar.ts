import { isDeepStrictEqual } from 'node:util'
import { parallel } from '../shared/aws/call.ts'
import type { Clock } from '../shared/clock.ts'
import type { NetworkSettings, OverpoolConfig, PoolConfig } from '../shared/config/config.ts'
import { OverpoolError } from '../shared/errors.ts'
import { type PoolName, shardOfChainPool } from '../shared/ledger/pool.ts'
import { checkPublished, encryption, MachineControl } from '../shared/machine/control.ts'
import type { Queue } from '../shared/queue/port.ts'
import type { PoolControl } from '../shared/store/control.ts'
import type { Stores } from '../shared/store/port.ts'
import { ChainFollower, type FollowerOptions } from './chain/follower.ts'
import { changesOf, keptGrid } from './chain/grids.ts'
import { CoreStore, machineKeyPair, poolKeys } from './cores/core.ts'
import { InvoiceExpiry } from './invoice-expiry.ts'
import { PoolNetwork } from './peers/network.ts'
import { Swarm } from './peers/swarm.ts'
import type { Report } from './report.ts'
import { DirectIngress } from './writer/direct-ingress.ts'
import type { Ringer } from './writer/effects.ts'
import { IngressConsumer, type IngressConsumerOptions } from './writer/ingress-consumer.ts'
import type { KnownChain } from './writer/status-gate.ts'

/** How many pools are opened at a time when the machine starts. */
const OPENED_TOGETHER = 8

export interface SidecarOptions {
  stores: Stores
  ingress: Queue
  clock: Clock
  /** 32 bytes, the machine's one secret */
  seed: Uint8Array
  /** where the seed is kept, a file or the name of a secret: the error about a wrong seed says it */
  seedPlace: string
  /** folder of the hypercores: a cache */
  cores: string
  network: NetworkSettings
  /** pools to create before the first post is received: a post for a pool that does not exist goes back to the queue for a minute */
  pools?: string[]
  ringers: (pool: PoolName) => Ringer[]
  /** see IngressConsumer */
  unique: (pool: string) => boolean | undefined
  batchMs: (pool: string) => number | undefined
  /** what the chain is read from; undefined: it is not read */
  chain?: Pick<FollowerOptions, 'sources' | 'network' | 'grids' | 'watched' | 'lookMs' | 'gatherMs'> & {
    /** whether what is sent to the addresses of invoices is looked for */
    invoices: boolean
  }
  report: Report
  /** this shard, and the pools that it owns; default: one shard owns all */
  shard?: { index: number; owns: (pool: string) => boolean }
  /** see PoolWriter, PoolNetwork */
  busy?: IngressConsumerOptions['busy']
  sweepMs?: number
  lookMs?: number
  /** how often it looks for invoices that have expired, ms; undefined: this machine makes none */
  expiryMs?: number
}

interface SidecarParts {
  /** what the writers know of the chain, once it is followed */
  known: { follower?: ChainFollower }
  cores: CoreStore
  consumer: IngressConsumer
  network: PoolNetwork
}

/** Runs the ledger of a machine, or of one shard: the writers of its pools, their hypercores and the network. The caller that opens it closes it. */
export class Sidecar {
  /** the desired state of the pools */
  readonly control: MachineControl
  readonly #options: SidecarOptions
  readonly #cores: CoreStore
  readonly #consumer: IngressConsumer
  /** the ingress for posts of this process */
  readonly ingress: DirectIngress
  readonly #network: PoolNetwork
  readonly #known: SidecarParts['known']
  readonly #expiry: InvoiceExpiry | undefined
  readonly #keys = new Map<string, string>()
  #stopping: Promise<void> | undefined

  /** Opens every pool's writer in the background, the newest pool first, and finishes what an earlier process left undone. */
  static async open(options: SidecarOptions): Promise<Sidecar> {
    const { stores, clock, seed, pools = [], cores: folder, report } = options
    const createdAt = clock.now()
    const existing = await stores.control.list()
    const names = new Set(existing.map(({ path }) => path))
    const missing = pools.filter((path) => !names.has(path))
    const made = await parallel(missing, 16, (path) => stores.control.create({ path, kind: 'own', ...publicKeys(seed, path), createdAt }))
    const cores = await CoreStore.open(folder, seed, (error) => report({ kind: 'cores-set-aside', folder, error }))
    const sidecar = new Sidecar(options, startParts(options, cores))
    try {
      sidecar.#recover([...existing, ...made])
      sidecar.#followChain()
      return sidecar
    } catch (error) {
      await sidecar.close()
      throw error
    }
  }

  private constructor(options: SidecarOptions, { cores, consumer, network, known }: SidecarParts) {
    const { stores, clock, seed } = options
    this.#options = options
    this.#cores = cores
    this.#consumer = consumer
    this.#network = network
    this.#known = known
    this.ingress = new DirectIngress({ queue: options.ingress, consumer })
    const secretOf = async (path: string) => poolKeys(seed, path).secret
    const { report, shard, expiryMs: lookMs } = options
    const owns = shard?.owns ?? (() => true)
    this.#expiry = lookMs === undefined ? undefined : InvoiceExpiry.start({ stores, ingress: this.ingress, clock, report, owns, lookMs })
    this.control = new MachineControl({ stores, clock, secretOf, changed: () => network.look() })
  }

  #recover(all: PoolControl[]): void {
    const { report, shard } = this.#options
    const pools = all.filter(({ path, kind }) => kind !== 'peer' && (shard?.owns(path) ?? true))
    for (const pool of pools) this.#checkKey(pool)
    // A few at a time: each holds its blocks in memory meanwhile.
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

  #followChain(): void {
    const { chain, stores, clock, report, shard } = this.#options
    if (!chain?.sources.length) return
    const make = (path: string) => this.make(path, 'chain')
    const { invoices, ...settings } = chain
    const ingress = invoices ? this.ingress : undefined
    this.#known.follower = ChainFollower.start({ ...settings, stores, writers: this.#consumer, ingress, clock, report, make, shard })
  }

  /** Has the chain follower look at once: its settings have changed. */
  lookAtChain(): void {
    this.#known.follower?.look()
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

  /** Whether its loops make progress: a loop that hangs in a store or a queue does not. */
  get moves(): boolean {
    return this.#consumer.moves
  }

  /** The time in the newest block of the chain that it has followed, ms since 1970; undefined before the chain was reached. */
  get newestBlockAt(): number | undefined {
    return this.#known.follower?.newestBlockAt
  }

  /** Why a pool is halted, if it is. */
  halted(path: string): OverpoolError | undefined {
    return this.#consumer.halted(path)
  }

  /** Creates a pool if it does not exist. @throws OverpoolError BAD_CONFIG: it exists, and is of another kind */
  async make(path: string, kind: 'own' | 'chain' = 'own'): Promise<PoolControl> {
    const { stores, clock, seed } = this.#options
    const existing = this.#keys.has(path) ? await stores.control.read(path) : undefined
    const pool = existing ?? (await stores.control.create({ path, kind, ...publicKeys(seed, path), createdAt: clock.now() }))
    if (pool.kind !== kind) throw otherKind(pool)
    this.#checkKey(pool)
    return pool
  }

  /** Opens a pool and applies its settings. Resolves when it takes posts and its desired state is stored. */
  async configure(
    pool: PoolControl,
    {
      encrypt,
      publish: published,
      unique,
      batchMs,
      commit,
      grid,
    }: Pick<PoolConfig, 'encrypt' | 'publish' | 'unique' | 'batchMs' | 'commit' | 'grid'>,
  ): Promise<PoolControl> {
    const changed = encryption(pool, encrypt)
    const settings = {
      ...(unique === 'transaction' && { unique }),
      ...(batchMs && { batchMs }),
      ...(commit && commit !== 'never' && { commits: true as const }),
      ...(grid && { grid: keptGrid(grid) }),
    }
    const before = pool.settings?.grid
    if (before && settings.grid)
      for (const sentence of changesOf(before, settings.grid)) this.#options.report({ kind: 'advice', pool: pool.path, sentence })
    const isNew = !isDeepStrictEqual(settings, pool.settings ?? {})
    if (changed || isNew) await this.#options.stores.control.update(pool.path, { ...changed, ...(isNew && { settings }) })
    await (changed ? this.#consumer.reopen(pool.path) : this.#consumer.writer(pool.path))
    const taken = { ...pool, ...changed }
    if (published) await this.control.publish(pool.path, published === true ? {} : published)
    else if (published === false) await this.control.unpublish(pool.path)
    return taken
  }

  /** Subscribes to the peers' pools of a config that this shard owns; ends subscriptions that only an earlier config named. */
  syncSubscriptions(config: Pick<OverpoolConfig, 'subscribe'>): Promise<void> {
    return this.control.syncSubscriptions(config, this.#options.shard?.owns)
  }

  /** Resolves when the DHT has accepted the announcement of a published pool. */
  async announced({ path, desired }: PoolControl, signal: AbortSignal): Promise<void> {
    checkPublished({ path, desired })
    await this.#network.announced(path, signal)
  }

  /** Rings for handlers that lag, such as one that has just begun. */
  async ringAgain(): Promise<void> {
    await Promise.all([this.#consumer.bells.ringAgain(), this.#network.bells.ringAgain()])
  }

  /** Stops receiving, puts the posts in hand, finishes the effects, then leaves the network. The next start repeats the rest. */
  stop(): Promise<void> {
    this.#stopping ??= Promise.all([this.#known.follower?.stop(), this.#expiry?.stop()])
      .then(() => this.#consumer.stop())
      .then(() => this.#network.stop())
    return this.#stopping
  }

  /** Stops, and closes the hypercores. */
  async close(): Promise<void> {
    await this.stop()
    await this.#cores.close()
  }
}

/** Starts the ingress consumer and the network. */
function startParts({ seed, network: settings, shard, ...options }: SidecarOptions, cores: CoreStore): SidecarParts {
  const { stores, ingress, clock, report, unique, batchMs, busy, sweepMs, lookMs } = options
  const owns = shard?.owns
  const ringers = (pool: PoolName) => (shardOfChainPool(pool.path) === undefined ? options.ringers(pool) : [])
  const known: SidecarParts['known'] = {}
  // Before the chain is followed, nothing that others say of it counts.
  const chain: KnownChain | undefined = options.chain?.sources.length
    ? {
        proves: async (entry, txid) => known.follower?.proves(entry, txid) ?? false,
        isUndone: (hash) => known.follower?.isUndone(hash) ?? false,
      }
    : undefined
  const consumer = IngressConsumer.start({ stores, ingress, cores, clock, report, ringers, unique, batchMs, chain, busy, sweepMs, owns })
  const swarm = new Swarm(machineKeyPair(seed, shard?.index), settings, clock, (error) => report({ kind: 'no-network', error }))
  const network = PoolNetwork.start({ stores, cores, swarm, consumer, ringers, clock, report, owns, lookMs })
  return { cores, consumer, network, known }
}

function publicKeys(seed: Uint8Array, path: string): Pick<PoolControl, 'key' | 'discoveryKey'> {
  const { key, discoveryKey } = poolKeys(seed, path)
  return { key, discoveryKey }
}

function otherKind({ path, kind }: PoolControl): OverpoolError {
  return new OverpoolError(
    'BAD_CONFIG',
    kind === 'chain'
      ? `the entries of "${path}" come from the chain: keep its \`grid\`, or take another name`
      : `"${path}" has entries that were posted: a pool whose entries come from the chain needs a name of its own`,
  )
}
