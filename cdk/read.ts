import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { isBroadcasting } from '../shared/config/bitcoin.ts'
import { checkConfig, checkPool, checkSettings, type OverpoolConfig } from '../shared/config/config.ts'
import { type PlannedForward, type PlannedHandler, planForwards, planHandlers, subscriptionsOf } from '../shared/config/handlers.ts'
import { load } from '../shared/config/load-user-file.ts'
import { OverpoolError } from '../shared/errors.ts'
import { checkBitcoinOnAws } from './bitcoin.ts'
import { type Bundle, bundleBroadcaster, bundleEvents, bundleForward, bundleHandler, bundlePayments, OUT } from './bundle.ts'
import { checkEventsOnAws, isFollowed } from './events.ts'
import { checkAskedOnAws } from './invoice-keys.ts'
import { checkSecretOnAws } from './secret.ts'

/** Seconds added to a handler's `timeoutMs` for its function's timeout: for the runner's own work, and for further entries of the same bell. */
const ROOM_S = 30

/** A handler, ready to be deployed. */
export interface HandlerCode extends PlannedHandler {
  bundle: Bundle
  /** timeout of its function, s: the visibility timeout of its bells is derived from it, so that two calls never run side by side */
  timeoutS: number
}

/** A program that entries are forwarded to: what does so, ready to be deployed. */
export interface ForwardCode extends PlannedForward {
  bundle: Bundle
  timeoutS: number
}

/** The built-in broadcaster, ready to be deployed. */
export type BroadcasterCode = Pick<HandlerCode, 'bundle' | 'timeoutS'>

/** A config, read, with the files that it names bundled. */
export interface Program {
  config: OverpoolConfig
  payments: Bundle
  handlers: HandlerCode[]
  forwards: ForwardCode[]
  /** if a pool can be followed */
  events?: Bundle
  /** if there is somebody to broadcast to */
  broadcaster?: BroadcasterCode
}

/** Reads a config and bundles the functions. @throws OverpoolError BAD_CONFIG, with the line to change */
export async function readProgram(file: string): Promise<Program> {
  if (!existsSync(file)) throw new OverpoolError('BAD_CONFIG', `there is no ${file}`)
  const config = checkConfig((await load(file, join(OUT, 'config'))).default)
  for (const [i, { key }] of subscriptionsOf(config).entries()) {
    if (!key.includes('.')) continue
    throw new OverpoolError(
      'BAD_CONFIG',
      `the config is wrong: subscribe[${i}] holds an encryption key, and would stand in the template: write the part before the dot, and give the whole once with \`overpool sub\``,
    )
  }
  const planned = planHandlers(config, resolve(dirname(file)))
  checkBitcoinOnAws(config, planned)
  checkAskedOnAws(config)
  checkEventsOnAws(config)
  const forwarding = planForwards(config, planned)
  for (const { name, forward } of forwarding) checkSecretOnAws(forward.secret, `handlers.${name}.secret`)
  for (const { file, named } of planned) {
    if (!existsSync(file)) throw new OverpoolError('BAD_CONFIG', `the config names a handler ${named}, and there is no such file`)
  }
  const [payments, broadcaster, events, forwards, handlers] = await Promise.all([
    bundlePayments(resolve(file)),
    isBroadcasting(config.bitcoin) ? bundleBroadcaster(resolve(file)) : undefined,
    isFollowed(config) ? bundleEvents(resolve(file)) : undefined,
    Promise.all(
      forwarding.map(async (forward) => ({
        ...forward,
        timeoutS: timeoutOf(forward, config),
        bundle: await bundleForward(forward.name, resolve(file)),
      })),
    ),
    Promise.all(
      planned.map(async (handler) => ({
        ...handler,
        timeoutS: timeoutOf(handler, config),
        bundle: await bundleHandler(handler.name, handler, resolve(file)),
      })),
    ),
  ])
  const timeoutS = timeoutOf({ pools: Object.keys(config.pools) }, config)
  return {
    config,
    payments,
    handlers,
    forwards,
    ...(events && { events }),
    ...(broadcaster && { broadcaster: { bundle: broadcaster, timeoutS } }),
  }
}

/** The timeout of a handler's function is that of its slowest pool. */
function timeoutOf({ pools }: Pick<PlannedHandler, 'pools'>, config: OverpoolConfig): number {
  const settings = [checkSettings({}, ''), ...pools.map((path) => checkPool(config.pools[path] ?? {}, `pools.${path}`))]
  return Math.max(...settings.map(({ timeoutMs }) => Math.ceil(timeoutMs / 1000) + ROOM_S))
}
