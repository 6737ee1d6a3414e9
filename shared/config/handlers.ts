import { basename, resolve } from 'node:path'
import { OverpoolError } from '../errors.ts'
import type { PoolName } from '../ledger/pool.ts'
import { parsePoolAddress } from '../ledger/pool-address.ts'
import type { OverpoolConfig, SubscriptionConfig } from './config.ts'
import { type ForwardConfig, withDefaults } from './forward.ts'

/** The pools that a handler is called for. */
export interface Takes {
  /** those that the config gives it */
  pools: string[]
  /** it handles every peer's pool besides, except these */
  notPeers?: string[] | undefined
}

/** A handler that a config names. */
export interface PlannedHandler extends Takes {
  /** its cursor goes by this: its file's name without the ending */
  name: string
  /** absolute */
  file: string
  /** as the config has it */
  named: string
}

/** A program that a config forwards entries to. */
export interface PlannedForward extends Takes {
  /** its cursor goes by this */
  name: string
  forward: Required<Omit<ForwardConfig, 'pools'>>
}

/** The handlers of a config, each once, with their pools. @param dir the folder of the config's file */
export function planHandlers(config: OverpoolConfig, dir: string): PlannedHandler[] {
  const planned = new Map<string, PlannedHandler>()
  const at = (named: string): PlannedHandler => {
    const file = resolve(dir, named)
    const name = handlerName(file)
    const there = planned.get(name)
    if (there?.file === file) return there
    if (there) {
      throw new OverpoolError(
        'BAD_CONFIG',
        `${there.file} and ${file} have the same name, under which a handler's place in the pools is stored: rename one of them`,
      )
    }
    const fresh: PlannedHandler = { name, file, named, pools: [], notPeers: undefined }
    planned.set(name, fresh)
    return fresh
  }
  const pools: [pool: string, handler: string | undefined][] = Object.entries(config.pools).map(([path, { handler }]) => [path, handler])
  for (const { key, handler } of subscriptionsOf(config)) pools.push([parsePoolAddress(key).key, handler])
  for (const [path, handler = config.handler] of pools) if (handler !== undefined) at(handler).pools.push(path)
  // Subscriptions that are not in the config (`overpool sub`) go to the config's default handler.
  if (config.handler !== undefined) at(config.handler).notPeers = pools.map(([path]) => path)
  return [...planned.values()]
}

/** The forwards of a checked config. @param handlers its other handlers. @throws OverpoolError BAD_CONFIG: one of them has the same name */
export function planForwards(config: OverpoolConfig, handlers: Pick<PlannedHandler, 'name' | 'named'>[]): PlannedForward[] {
  return Object.entries(config.handlers ?? {}).map(([name, forward]) => {
    const other = handlers.find((each) => each.name === name)
    if (other)
      throw new OverpoolError(
        'BAD_CONFIG',
        `handlers.${name} and ${other.named} have the same name, under which a handler's place in the pools is stored: rename one of them`,
      )
    const which: Takes = forward.pools ? { pools: forward.pools } : { pools: Object.keys(config.pools), notPeers: [] }
    return { name, ...which, forward: withDefaults(forward, config) }
  })
}

export function takes({ pools, notPeers }: Takes, { path, kind }: PoolName): boolean {
  return pools.includes(path) || (notPeers !== undefined && kind === 'peer' && !notPeers.includes(path))
}

export function subscriptionsOf({ subscribe = [] }: Pick<OverpoolConfig, 'subscribe'>): SubscriptionConfig[] {
  return subscribe.map((one) => (typeof one === 'string' ? { key: one } : one))
}

function handlerName(file: string): string {
  return basename(file)
    .replace(/\.[^.]*$/, '')
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, '-')
}
