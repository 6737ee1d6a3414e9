import type { NetworkSettings, OverpoolConfig, PoolConfig, SubscriptionConfig } from './config.ts'
import { subscriptionsOf, type Takes } from './handlers.ts'

/** A handler as the sidecar knows it: its queue, and the pools to ring it for. */
export interface RungHandler extends Takes {
  name: string
  /** of its bell queue */
  url: string
}

/** What a sidecar on AWS needs from the config. It is plain data, the same for all shards. */
export interface MachinePlan {
  pools: Record<string, Pick<PoolConfig, 'batchMs' | 'encrypt' | 'publish' | 'unique'>>
  subscribe: Omit<SubscriptionConfig, 'handler'>[]
  network: NetworkSettings
  handlers: RungHandler[]
}

export function planMachine(config: OverpoolConfig, handlers: RungHandler[]): MachinePlan {
  const pools = Object.entries(config.pools).map(
    ([path, { batchMs, encrypt, publish, unique }]) => [path, { batchMs, encrypt, publish, unique }] as const,
  )
  return {
    pools: Object.fromEntries(pools),
    subscribe: subscriptionsOf(config).map(({ key, from, peer }) => ({ key, from, peer })),
    network: config.network ?? {},
    handlers: handlers.map(({ name, url, pools, notPeers }) => ({ name, url, pools, notPeers })),
  }
}
