import type Hypercore from 'hypercore'
import { type Clock, timeLeft } from '../../shared/clock.ts'
import { OverpoolError } from '../../shared/errors.ts'
import type { PoolName } from '../../shared/ledger/pool.ts'
import type { Network, PoolControl, SignedText } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { CoreStore } from '../cores/core.ts'
import type { Report } from '../report.ts'
import { Bells } from '../writer/bells.ts'
import type { Ringer } from '../writer/effects.ts'
import type { IngressConsumer } from '../writer/ingress-consumer.ts'
import { Subscription } from './subscription.ts'
import type { Swarm } from './swarm.ts'
import { PoolTerms, termsText } from './terms.ts'

/** How often it looks for handlers that lag in a subscription, ms. A writer does so for its own pool. */
const SWEEP_MS = 5_000

export interface PoolNetworkOptions {
  stores: Stores
  cores: CoreStore
  swarm: Swarm
  consumer: Pick<IngressConsumer, 'reopen'>
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
    for (let swept = clock.now(); !this.#stopped.signal.aborted; ) {
      await this.look()
      if (!timeLeft(clock, swept, SWEEP_MS)) {
        swept = clock.now()
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
    const member = this.#members.get(path)
    if (member && (pool.rebuild || !isDesired(pool) || member.subscription?.halted || member.terms !== termsOf(pool))) {
      await this.#leave(path, member)
      return this.#begin((await this.#options.stores.control.read(path))!) // it may have been halted meanwhile
    }
    await this.#begin(pool)
  }

  async #begin(pool: PoolControl): Promise<void> {
    const { cores, stores, consumer, swarm } = this.#options
    const { path, key, desired } = pool
    if (pool.rebuild && pool.kind !== 'peer') await consumer.reopen(path)
    else if (pool.rebuild) {
      await cores.purge(key)
      await stores.control.update(path, { rebuild: undefined })
    }
    if (!isDesired(pool)) return
    const member = this.#members.get(path) ?? (await this.#join(pool))
    const allow = JSON.stringify(desired?.allow)
    if (member.allow !== allow) {
      member.poolTerms.set(this.#sign(pool)) // followers hear of it before they are shut out
      swarm.restrict(member.core, desired?.allow)
    }
    member.allow = allow
  }

  /** Which machines may have a pool of ours, for its followers: they give its blocks to no others. This machine is one of them. */
  #sign({ path, desired: { allow, allowedAt = 0 } = {} }: PoolControl): SignedText {
    const { cores, swarm } = this.#options
    return cores.signText(path, termsText({ version: allowedAt, machines: allow && [...allow, swarm.id] }))
  }

  async #join(pool: PoolControl): Promise<Member> {
    const { stores, cores, swarm, ringers, clock, report } = this.#options
    const { path, key, desired: { allow, peer } = {} } = pool
    const isPeers = pool.kind === 'peer'
    const core = await cores.replica(key, { isOurs: !isPeers })
    const common = { stores, cores, clock, report, bells: this.bells, invalid: this.#invalid }
    const follow = () => Subscription.open({ pool, ringers: () => ringers(pool), ...common })
    const subscription = isPeers ? await follow().catch((error) => core.close().then(() => Promise.reject(error))) : undefined
    const poolTerms = new PoolTerms(core, { isOurs: !isPeers, signed: isPeers ? pool.network?.terms : this.#sign(pool) })
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

function termsOf({ desired = {} }: PoolControl): string {
  return JSON.stringify([desired.secret, desired.peer])
}
