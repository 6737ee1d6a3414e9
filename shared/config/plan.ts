import { type BitcoinSettings, broadcastPlaces, seesAll } from './bitcoin.ts'
import { asksForPayments, type NetworkSettings, type OverpoolConfig, type PoolConfig, type SubscriptionConfig } from './config.ts'
import { subscriptionsOf, type Takes } from './handlers.ts'

/** A handler as the sidecar knows it: its queue, and the pools to ring it for. */
export interface RungHandler extends Takes {
  name: string
  /** of its bell queue */
  url: string
}

/** What a sidecar on AWS needs from the config. It is plain data, the same for all shards. */
export interface MachinePlan {
  pools: Record<string, Pick<PoolConfig, 'batchMs' | 'encrypt' | 'grid' | 'publish' | 'unique' | 'watch'>>
  subscribe: Omit<SubscriptionConfig, 'handler'>[]
  network: NetworkSettings
  handlers: RungHandler[]
  /** it has invoices */
  asks?: true
  /** the services and sources that have an address; secrets are named */
  bitcoin?: BitcoinSettings
  /** what is sent to the addresses of invoices is looked for on the chain */
  watchesInvoices?: true
  /** the built-in broadcaster: rung for blocks with requests to broadcast, and for those with payments of the pools in `commits` */
  broadcaster?: { url: string; commits: string[] }
}

export { BROADCASTER } from './bitcoin.ts'

/** @param broadcasterUrl of the broadcaster's queue, if the machine has one */
export function planMachine(config: OverpoolConfig, handlers: RungHandler[], broadcasterUrl?: string): MachinePlan {
  const pools = Object.entries(config.pools).map(
    ([path, { batchMs, encrypt, grid, publish, unique, watch }]) => [path, { batchMs, encrypt, grid, publish, unique, watch }] as const,
  )
  return {
    pools: Object.fromEntries(pools),
    subscribe: subscriptionsOf(config).map(({ key, from, peer }) => ({ key, from, peer })),
    network: config.network ?? {},
    handlers: handlers.map(({ name, url, pools, notPeers }) => ({ name, url, pools, notPeers })),
    ...(asksForPayments(config) && { asks: true }),
    ...(config.bitcoin && { bitcoin: planBitcoin(config.bitcoin, config.aws?.domain?.name) }),
    ...(config.receive !== undefined && seesAll(config.bitcoin) && { watchesInvoices: true }),
    ...(broadcasterUrl !== undefined && { broadcaster: { url: broadcasterUrl, commits: committingPools(config) } }),
  }
}

/** A function of the user's own stays out: it runs in the broadcaster's function only. */
function planBitcoin(bitcoin: BitcoinSettings, domain: string | undefined): BitcoinSettings {
  const broadcast = broadcastPlaces(bitcoin).filter((place) => typeof place !== 'function')
  const callbacks = callbacksOf(bitcoin, domain)
  return { ...bitcoin, broadcast, ...(callbacks !== undefined && { callbacks }) }
}

/** Where services call back, as far as the config says it. */
export function callbacksOf({ callbacks }: BitcoinSettings, domain: string | undefined): string | undefined {
  return callbacks ?? (domain && `https://${domain}`)
}

/** The pools whose payments may be broadcast as soon as they are there. */
function committingPools({ pools }: OverpoolConfig): string[] {
  return Object.entries(pools).flatMap(([path, { commit = 'never' }]) => (commit === 'never' ? [] : [path]))
}
