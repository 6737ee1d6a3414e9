import { Broadcaster } from '../../shared/broadcast/broadcaster.ts'
import { callbackTo, streamTokenOf } from '../../shared/broadcast/callbacks.ts'
import type { ReadSecret } from '../../shared/broadcast/secret.ts'
import { openServices } from '../../shared/broadcast/services.ts'
import type { Clock } from '../../shared/clock.ts'
import { type CheckedSettings, checkPool, checkSettings, type OverpoolConfig } from '../../shared/config/config.ts'
import { BROADCASTER } from '../../shared/config/plan.ts'
import type { BoundFunctions } from '../../shared/machine/handlers.ts'
import { LedgerPools } from '../../shared/machine/pools.ts'
import type { Ingress } from '../../shared/queue/port.ts'
import type { Stores } from '../../shared/store/port.ts'
import { broadcasterFunctions } from './broadcaster.ts'
import { type FunctionDeps, handlerFunction } from './function.ts'
import type { PostFailed, RunnerReport } from './report.ts'

export interface BroadcasterFunctionDeps extends Pick<FunctionDeps, 'queue' | 'failed' | 'ran'> {
  /** with `bitcoin` */
  config: OverpoolConfig
  stores: Stores
  ingress: Ingress
  clock: Clock
  secretOf: ReadSecret
  /** the door of the machine, where services call back, and what their tokens are made of */
  callbacks: { door: string; secret: string }
  /** puts metrics around the functions */
  measured?: (functions: BoundFunctions) => BoundFunctions
  report: (said: RunnerReport | PostFailed) => void
}

/** The Lambda function of the broadcaster: called with a batch of its bells, and the time that is left. @throws OverpoolError BAD_CONFIG: a secret is missing */
export async function broadcasterFunction(deps: BroadcasterFunctionDeps): Promise<ReturnType<typeof handlerFunction>> {
  const { config, queue, stores, ingress, clock, secretOf, callbacks, measured = (functions) => functions, report, ran, failed } = deps
  const { door, secret } = callbacks
  const bitcoin = config.bitcoin!
  const services = await openServices(bitcoin, { secretOf, streamToken: streamTokenOf(secret) })
  const knowsChain = (bitcoin.chain ?? []).length > 0
  const broadcaster = new Broadcaster({ services, stores, ingress, clock, knowsChain, callback: callbackTo(door, secret) })
  const own = new Map(Object.entries(config.pools).map(([path, pool]) => [path, checkPool(pool, `pools.${path}`)]))
  const defaults = checkSettings({}, '')
  const settings = (path: string): CheckedSettings => own.get(path) ?? defaults
  const postFailed = (error: unknown) => report({ kind: 'post-failed', error })
  const pools = new LedgerPools({ stores, ingress, clock, settings, broadcasts: true, postFailed })
  const functions = measured(broadcasterFunctions(broadcaster, (path) => settings(path).commit, pools, clock))
  // Nothing is known yet of a payment that has just come: its status is not looked up.
  return handlerFunction({
    handler: BROADCASTER,
    queue,
    stores: { blocks: stores.blocks, progress: stores.progress, state: stores.state },
    pools,
    settings,
    clock,
    functions,
    report,
    ran,
    failed,
  })
}
