import { Broadcaster, type BroadcasterDeps } from '../shared/broadcast/broadcaster.ts'
import { callbackTo, streamTokenOf } from '../shared/broadcast/callbacks.ts'
import type { ReadSecret } from '../shared/broadcast/secret.ts'
import { openServices } from '../shared/broadcast/services.ts'
import type { MachinePlan } from '../shared/config/plan.ts'
import type { Stores } from '../shared/store/port.ts'
import { type Grid, gridOf, watchedBy } from './chain/grids.ts'
import { openSources } from './chain/sources.ts'
import { Tracker, type TrackerOptions } from './chain/tracker.ts'
import type { SidecarOptions } from './sidecar.ts'

/** Every look costs requests on AWS (docs/architecture.md, Bitcoin). How often a source is asked for news, and how often the follower looks without any, ms. */
const POLL_MS = 30_000
const LOOK_MS = 60_000
/** Unconfirmed transactions are gathered for this time, ms. */
const GATHER_MS = 2_000
/** How often open transactions are looked up, and the wait before the first question about one, ms. */
const TRACK_MS = 15_000
const ASK_MS = 10_000

export interface PlannedBitcoinOptions {
  plan: MachinePlan
  secretOf: ReadSecret
  /** what the tokens of callbacks are made of */
  callbackSecret: string
  owns: (pool: string) => boolean
  /** takes what an operator should know, a line each */
  warn?: (line: string) => void
}

/** What a sidecar on AWS does about Bitcoin: it follows the chain for the pools of its shard, and asks what has become of their transactions. */
export class PlannedBitcoin {
  readonly chain: NonNullable<SidecarOptions['chain']>
  readonly #options: PlannedBitcoinOptions
  readonly #services: TrackerOptions['services']

  /** Opens what the plan names; undefined if that is nothing. @throws OverpoolError BAD_CONFIG: a secret is missing */
  static async open(options: PlannedBitcoinOptions): Promise<PlannedBitcoin | undefined> {
    const { plan, secretOf, callbackSecret, warn } = options
    const { bitcoin } = plan
    if (!bitcoin) return undefined
    const polls = bitcoin.network === 'regtest' ? undefined : POLL_MS // a block of a regtest comes when somebody makes it, and nobody pays for the requests
    const services = await openServices(bitcoin, { secretOf, streamToken: streamTokenOf(callbackSecret) })
    return new PlannedBitcoin(options, services, {
      sources: await openSources(bitcoin, secretOf, { pollMs: polls, warn }),
      network: bitcoin.network,
      grids: gridsOf(options),
      watched: watchedBy((path) => plan.pools[path]?.watch),
      lookMs: LOOK_MS,
      gatherMs: polls === undefined ? 0 : GATHER_MS,
      invoices: plan.watchesInvoices ?? false,
    })
  }

  private constructor(options: PlannedBitcoinOptions, services: TrackerOptions['services'], chain: PlannedBitcoin['chain']) {
    this.#options = options
    this.#services = services
    this.chain = chain
  }

  /** Starts asking after transactions; undefined if there is nobody to ask. */
  track(parts: Pick<BroadcasterDeps, 'ingress' | 'clock'> & Pick<TrackerOptions, 'report'> & { stores: Stores }): Tracker | undefined {
    const { plan, callbackSecret, owns } = this.#options
    const services = this.#services
    if (!services.length) return undefined
    const knowsChain = this.chain.sources.length > 0
    const { callbacks } = plan.bitcoin!
    const callback = callbacks === undefined ? undefined : callbackTo(callbacks, callbackSecret)
    const broadcaster = new Broadcaster({ ...parts, services, knowsChain, owns, callback })
    return Tracker.start({ ...parts, broadcaster, services, knowsChain, owns, lookMs: TRACK_MS, askMs: ASK_MS })
  }
}

function gridsOf({ plan, owns }: PlannedBitcoinOptions): () => Grid[] {
  const grids = Object.entries(plan.pools).flatMap(([path, { grid }]) => (grid && owns(path) ? [gridOf(path, grid)] : []))
  return () => grids
}
