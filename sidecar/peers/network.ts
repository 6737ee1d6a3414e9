import type Hypercore from 'hypercore'
import { type Clock, timeLeft } from '../../shared/clock.ts'
import { OverpoolError } from '../../shared/errors.ts'
import type { PoolName } from '../../shared/ledger/pool.ts'
import { lastOfWhole } from '../../shared/store/blocks.ts'
import { isDamage } from '../../shared/store/checksum.ts'
import type { Network, PoolControl, Repair, SignedText } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { CoreStore } from '../cores/core.ts'
import type { Report } from '../report.ts'
import { Bells } from '../writer/bells.ts'
import type { Ringer } from '../writer/effects.ts'
import type { IngressConsumer } from '../writer/ingress-consumer.ts'
import { repairBlocks } from './repair.ts'
import { Subscription } from './subscription.ts'
import type { Swarm } from './swarm.ts'
import { PoolTerms, termsText } from './terms.ts'

/** How often it looks for handlers that lag in a subscription, ms. A writer does so for its own pool. */
const SWEEP_MS = 5_000
/** A repair gives up on peers when none has sent a block for this time, ms. */
const PEERS_MS = 60_000

export interface PoolNetworkOptions {
  stores: Stores
  cores: CoreStore
  swarm: Swarm
  consumer: Pick<IngressConsumer, 'reopen' | 'halt'>
  ringers: (pool: PoolName) => Ringer[]
  clock: Clock
  report: Report
  /** whether a pool is this shard's to publish or to subscribe to; default: all are */
  owns?: (pool: string) => boolean
  /** how often the desired state is read, ms (default 1,000) */
  lookMs?: number
}

/** A pool in the network: a published one of ours, or a subscription. */
interface Member {
  core: Hypercore
  subscription?: Subscription
  poolTerms: PoolTerms
  /** the machines that may have it */
  allow: string | undefined
  /** settings that need leaving and joining again when they change */
  terms: string
}

/** Brings the network to the desired state in the control items, and writes the actual state there. */
export class PoolNetwork {
  /** the effects of the subscriptions */
  readonly bells = new Bells()
  readonly #invalid = new Map<string, number>()
  readonly #options: PoolNetworkOptions
  readonly #members = new Map<string, Member>()
  readonly #written = new Map<string, string>()
  readonly #stopped = new AbortController()
  /** the repairs under way, by pool */
  readonly #repairs = new Map<string, Promise<void>>()
  #looking: Promise<void> = Promise.resolve()
  #running = Promise.resolve()

  static start(options: PoolNetworkOptions): PoolNetwork {
    const network = new PoolNetwork(options)
    network.#running = network.#run()
    return network
  }

  private constructor(options: PoolNetworkOptions) {
    this.#options = options
  }

  async #run(): Promise<void> {
    const { clock, lookMs = 1_000 } = this.#options
    for (let swept = clock.elapsed(); !this.#stopped.signal.aborted; ) {
      await this.look()
      if (!timeLeft(clock, swept, SWEEP_MS)) {
        swept = clock.elapsed()
        await this.bells.ringAgain() // a bell can get lost
      }
      await clock.sleep(lookMs, this.#stopped.signal)
    }
  }

  /** Reads the desired state now; resolves when its changes have begun. */
  look(): Promise<void> {
    this.#looking = this.#looking
      .then(() => this.#look())
      .catch((error) => this.#options.report({ kind: 'retrying', pool: '', step: 'network', error }))
    return this.#looking
  }

  /** Does this work while no look is under way. */
  #betweenLooks(work: () => void): Promise<void> {
    this.#looking = this.#looking.then(work)
    return this.#looking
  }

  async #look(): Promise<void> {
    const { stores, report, owns } = this.#options
    for (const pool of await stores.control.list()) {
      if (this.#stopped.signal.aborted) return
      if (owns && !owns(pool.path)) continue
      try {
        await this.#reconcile(pool)
        await this.#describe(pool)
      } catch (error) {
        report({ kind: 'retrying', pool: pool.path, step: 'network', error }) // the other pools go on
      }
    }
  }

  async #reconcile(pool: PoolControl): Promise<void> {
    const { path } = pool
    if (this.#repairs.has(path)) return
    if (isAsked(pool.repair)) return this.#beginRepair(pool, pool.repair)
    if (pool.halted !== undefined && pool.kind !== 'peer') this.#options.consumer.halt(path, pool.halted) // whoever reads a damaged block halts its pool
    const member = this.#members.get(path)
    if (member?.subscription && !member.subscription.halted && pool.halted !== undefined)
      this.#options.report({ kind: 'halted', pool: path, error: new OverpoolError('POOL_HALTED', pool.halted) })
    if (member && (pool.rebuild || !isDesired(pool) || member.subscription?.halted || member.terms !== termsOf(pool))) {
      await this.#leave(path, member)
      return this.#begin((await this.#options.stores.control.read(path))!) // it may have been halted meanwhile
    }
    await this.#begin(pool)
  }

  async #begin(pool: PoolControl): Promise<void> {
    const { consumer, swarm } = this.#options
    const { path, desired } = pool
    if (pool.rebuild && pool.kind !== 'peer') await consumer.reopen(path)
    else if (pool.rebuild) await this.#beginAnew(pool)
    if (!isDesired(pool)) return
    const member = this.#members.get(path) ?? (await this.#join(pool))
    const allow = JSON.stringify(desired?.allow)
    if (member.allow !== allow) {
      member.poolTerms.set(this.#sign(pool)) // followers hear of it before they are shut out
      swarm.restrict(member.core, desired?.allow)
    }
    member.allow = allow
  }

  /** Removes the core of a subscription, which is downloaded again. It stays if the mirror is damaged: it may have what the mirror lacks. */
  async #beginAnew({ path, key, begins }: PoolControl): Promise<void> {
    const { cores, stores } = this.#options
    try {
      await lastOfWhole(stores.blocks, path, begins?.block)
      await cores.purge(key)
    } catch (error) {
      if (!isDamage(error)) throw error
    }
    await stores.control.update(path, { rebuild: undefined })
  }

  /** Begins the repair of a pool. It may wait for peers, so it runs beside the looks, which leave the pool alone until its end. */
  async #beginRepair(pool: PoolControl, repair: Repair): Promise<void> {
    const { path } = pool
    const member = this.#members.get(path)
    if (member) await this.#leave(path, member)
    const repaired = this.#repair(pool, repair)
      .catch((error) => this.#stopped.signal.aborted || this.#options.report({ kind: 'retrying', pool: path, step: 'repair', error }))
      // A look that has read the pool before the end would halt it again.
      .then(() => this.#betweenLooks(() => void this.#repairs.delete(path)))
    this.#repairs.set(path, repaired)
  }

  /** Repairs the damaged blocks of a pool, which then goes on. */
  async #repair(pool: PoolControl, { at }: Repair): Promise<void> {
    const { stores, cores, swarm, consumer, report } = this.#options
    const { path, key, kind, desired: { allow, peer } = {} } = pool
    const isPeers = kind === 'peer'
    const isShared = isDesired({ ...pool, halted: undefined })
    const replica = await cores.replica(key, { isOurs: !isPeers })
    const source = await cores.source(pool, isShared ? PEERS_MS : 0, this.#stopped.signal)
    this.#termsOn(replica, pool)
    if (isShared) swarm.share({ core: replica, announce: !isPeers, allow, peer })
    try {
      const done = await repairBlocks(pool, stores.blocks, source)
      const { damaged } = (await stores.control.read(path))?.repair ?? {} // a reader may have found it meanwhile, and halted the pool
      await stores.control.update(path, {
        repair: { at, done },
        ...(damaged !== undefined && { halted: undefined }),
        // It is made again from the mirror, unless that has lost blocks: subscribers may have the originals, and the core still has its tree.
        ...(!isPeers && !source.isWhole && !done.lost.length && { rebuild: true }),
      })
      report({ kind: 'repaired', pool: path, ...done })
    } finally {
      await swarm.leave(replica)
      await source.close()
      await replica.close()
    }
    if (!isPeers) await consumer.reopen(path)
  }

  /** Which machines may have a pool of ours, for its followers: they give its blocks to no others. This machine is one of them. */
  #sign({ path, desired: { allow, allowedAt = 0 } = {} }: PoolControl): SignedText {
    const { cores, swarm } = this.#options
    return cores.signText(path, termsText({ version: allowedAt, machines: allow && [...allow, swarm.id] }))
  }

  /** Has a core give blocks to those alone who may have the pool. It comes before the core is shared. */
  #termsOn(core: Hypercore, pool: PoolControl): PoolTerms {
    const isOurs = pool.kind !== 'peer'
    return new PoolTerms(core, { isOurs, signed: isOurs ? this.#sign(pool) : pool.network?.terms })
  }

  async #join(pool: PoolControl): Promise<Member> {
    const { stores, cores, swarm, ringers, clock, report } = this.#options
    const { path, key, desired: { allow, peer } = {} } = pool
    const isPeers = pool.kind === 'peer'
    const core = await cores.replica(key, { isOurs: !isPeers })
    const common = { stores, cores, clock, report, bells: this.bells, invalid: this.#invalid }
    const follow = () => Subscription.open({ pool, ringers: () => ringers(pool), ...common })
    const subscription = isPeers ? await follow().catch((error) => core.close().then(() => Promise.reject(error))) : undefined
    const poolTerms = this.#termsOn(core, pool)
    const member = { core, subscription, poolTerms, allow: JSON.stringify(allow), terms: termsOf(pool) }
    this.#members.set(path, member)
    swarm.share({ core, announce: !isPeers, allow, peer })
    return member
  }

  async #leave(path: string, { core, subscription }: Member): Promise<void> {
    this.#members.delete(path)
    await this.#options.swarm.leave(core)
    await subscription?.stop()
    await core.close()
  }

  /** Writes the actual state of a pool if it has changed. */
  async #describe({ path, network }: PoolControl): Promise<void> {
    const { stores, swarm, clock } = this.#options
    const member = this.#members.get(path)
    if (!member && !network?.peers && !network?.announced) return
    const terms = member?.subscription && member.poolTerms.signed
    const state = member
      ? { ...swarm.state(member.core), ...member.subscription?.state, ...(terms && { terms }) }
      : { ...network, announced: false, peers: 0 }
    const { at: _, ...said } = { at: 0, ...state }
    const text = JSON.stringify(said)
    if (this.#written.get(path) === text) return
    await stores.control.update(path, { network: { ...said, at: clock.now() } as Network })
    this.#written.set(path, text)
  }

  /** Resolves when the DHT has taken the announcement of a published pool. */
  async announced(path: string, signal?: AbortSignal): Promise<void> {
    const { clock, swarm } = this.#options
    while (!signal?.aborted && !this.#stopped.signal.aborted) {
      const member = this.#members.get(path)
      if (member && swarm.state(member.core).announced) return
      await clock.sleep(20, signal)
    }
    throw new OverpoolError('CLOSED', `"${path}" was not announced before the end`)
  }

  /** Leaves the network, and finishes the effects of blocks that have arrived. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
    await this.#looking
    await Promise.all(this.#repairs.values())
    await this.#options.swarm.close()
    await Promise.all(
      [...this.#members.values()].map(async ({ core, subscription }) => {
        await subscription?.stop()
        await core.close()
      }),
    )
  }
}

function isDesired({ kind, desired = {}, halted }: PoolControl): boolean {
  return halted === undefined && ((kind === 'peer' ? desired.subscribe : desired.publish) ?? false)
}

function isAsked(repair: Repair | undefined): repair is Repair {
  return repair?.at !== undefined && !repair.done
}

function termsOf({ desired = {} }: PoolControl): string {
  return JSON.stringify([desired.secret, desired.peer])
}
