import { isIPv4 } from 'node:net'
import { OverpoolError } from '../errors.ts'
import type { PaymentFields } from '../ledger/kinds.ts'
import { isPublicKey, parsePoolAddress } from '../ledger/pool-address.ts'
import type { Parsed } from '../transaction/index.ts'
import { type AwsSettings, checkAws } from './aws.ts'

/** What a filter gets: the Payment, and its transaction as handlers get it. */
export interface FilterPayment extends PaymentFields {
  transaction: string
  parsed: Parsed
}

/**
 * Decides which payments a pool takes. To refuse, it throws or returns false; it may be async. The original's form, with two parameters, calls back with an error. The
 * reason reaches the wallet in `memo`. After 10 s without an answer the wallet gets 503. It is not asked about a payment that is recorded already, and not about posts of
 * programs that have joined the machine.
 */
export type Filter = (payment: FilterPayment, callback: (error?: unknown, valid?: unknown) => void) => unknown

/** How much may be posted in a minute. */
export interface Quota {
  perMinute?: number
  bytesPerMinute?: number
}

/** How much wallets may post in a minute: of one address, and `total`, of all together. */
export interface Limits extends Quota {
  total?: Quota
}

/** The settings of a pool. */
export interface PoolSettings {
  filter?: Filter
  /**
   * how much wallets may post in a minute. Default for other hosts: 1,000 payments and 60 MB of an address, and 60,000 payments and 600 MB in all; for this host: no limits. Further
   * payments get 429. False: no limits for anybody
   */
  limits?: Limits | false
  /** web pages that may post, by their origins, such as `https://shop.example`; default: all. Wallets and programs that are no web pages may always */
  origins?: string[]
  /** what makes two wallet posts the same: the whole payment (default), or its transaction alone */
  unique?: 'payment' | 'transaction'
  /** longest chain of posts by handlers, default 1,000; 0: handlers cannot post into it */
  maxHops?: number
  /** attempts at an entry before the handler gives it up, default 5. If `retryForMs` is not set, they alone decide */
  maxAttempts?: number
  /** an entry whose handler fails is retried for about this long at least, ms of waiting between attempts, default 600,000: 10 minutes */
  retryForMs?: number
  /** then the pool goes on without it ('skip', the default), or stops there for this handler ('stop') */
  onPoison?: 'skip' | 'stop'
  /** a longer call of the handler counts as failed, ms, default 60,000, at most 300,000 */
  timeoutMs?: number
  /** how long to wait for a fuller, cheaper block, ms, default 0, at most 60,000 */
  batchMs?: number
}

/** A pool in `overpool.config.ts`. */
export interface PoolConfig extends PoolSettings {
  /** the handler's file, relative to the config; without one the config's own */
  handler?: string
  /** publishes the pool: to all who know its key, or to the machines in `allow` (public keys, 64 hex). False: stops publishing. Left out: unchanged */
  publish?: boolean | { allow: string[] }
  /** encrypts its hypercore: the public key alone does not open it. Cannot be changed after the first publication */
  encrypt?: boolean
}

/** A peer's pool in `overpool.config.ts`. */
export interface SubscriptionConfig {
  /** what its publisher's `pub` printed */
  key: string
  /** the handler's file, relative to the config; without one the config's own */
  handler?: string
  /** the first entry that handlers get, default 'start'; 'now': the entries after the publisher's newest */
  from?: 'start' | 'now' | number
  /** public key of the publisher's machine (`overpool id`), to connect to it directly */
  peer?: string
}

/** How the machine takes part in the peer-to-peer network. */
export interface NetworkSettings {
  /** bootstrap nodes of the DHT, `host:port`; default: those of the public DHT */
  bootstrap?: string[]
  /** UDP port, default any free one. If the firewall opens it, peers reach this machine without help */
  port?: number
  /** address to bind to, default all */
  host?: string
  /** public IPv4 address under which others reach `port`; default: the DHT finds it out */
  announce?: string
  /** public keys of machines to connect to directly (`overpool id`), 64 hex */
  peers?: string[]
}

/** `overpool.config.ts` */
export interface OverpoolConfig {
  /** the file of the handler for every pool and subscription that names none, relative to the config */
  handler?: string
  pools: Record<string, PoolConfig>
  /** peers' pools to subscribe to: what their `pub` printed */
  subscribe?: (string | SubscriptionConfig)[]
  network?: NetworkSettings
  /** settings of a machine on AWS (`npx cdk deploy`); the embedded machine ignores them */
  aws?: AwsSettings
}

/** A pool's settings with all defaults filled in. */
export type CheckedSettings = Required<Omit<PoolSettings, Unset>> & Pick<PoolSettings, Unset>
/** The settings that may be left out for good. */
type Unset = 'filter' | 'limits' | 'origins'

const DEFAULTS: CheckedSettings = {
  unique: 'payment',
  maxHops: 1_000,
  maxAttempts: 5,
  retryForMs: 10 * 60_000,
  onPoison: 'skip',
  timeoutMs: 60_000,
  batchMs: 0,
}
const SETTING_KEYS = new Set([...Object.keys(DEFAULTS), 'filter', 'limits', 'origins'])
const POOL_KEYS = new Set([...SETTING_KEYS, 'handler', 'publish', 'encrypt'])
const QUOTA_KEYS = new Set(['perMinute', 'bytesPerMinute'])
const SUBSCRIPTION_KEYS = new Set(['key', 'handler', 'from', 'peer'])
const NETWORK_KEYS = new Set(['bootstrap', 'port', 'host', 'announce', 'peers'])
/** The longest `timeoutMs`. The visibility of bells and the time of functions are made for it. */
export const MAX_TIMEOUT_MS = 300_000
const MAX_BATCH_MS = 60_000

/** Types the config while it is written. */
export function defineConfig(config: OverpoolConfig): OverpoolConfig {
  return config
}

/** A loaded config, or BAD_CONFIG with the setting to change. */
export function checkConfig(value: unknown): OverpoolConfig {
  const config = value as Partial<OverpoolConfig> | undefined
  if (typeof config !== 'object' || config === null || typeof config.pools !== 'object' || config.pools === null) {
    throw wrong('it has no `pools`; write: export default defineConfig({ handler: "./functions/handlers/main.ts", pools: { mypool: {} } })')
  }
  refuseUnknown(config, new Set(['handler', 'pools', 'subscribe', 'network', 'aws']), '')
  if (config.handler !== undefined && typeof config.handler !== 'string') throw wrong('`handler` is the path of a file')
  for (const [path, pool] of Object.entries(config.pools)) {
    const where = `pools.${path}`
    if (!isPath(path)) throw wrong(whyNoPath(path))
    if (typeof pool !== 'object' || pool === null) throw wrong(`${where} is an object, {} at least`)
    checkPool(pool, where)
  }
  if (config.subscribe !== undefined && !Array.isArray(config.subscribe)) throw wrong('`subscribe` is a list of what `pub` printed')
  for (const [i, subscription] of (config.subscribe ?? []).entries()) checkSubscription(subscription, `subscribe[${i}]`)
  if (config.network !== undefined) checkNetwork(config.network)
  if (config.aws !== undefined) checkAws(config.aws, wrong)
  return config as OverpoolConfig
}

function checkSubscription(subscription: string | SubscriptionConfig, where: string): void {
  if (typeof subscription !== 'string' && (typeof subscription !== 'object' || subscription === null))
    throw wrong(`${where} is what \`pub\` printed`)
  const { key, handler, from = 'start', peer } = typeof subscription === 'string' ? { key: subscription } : subscription
  if (typeof subscription === 'object') refuseUnknown(subscription, SUBSCRIPTION_KEYS, `${where}.`)
  parsePoolAddress(key)
  if (handler !== undefined && typeof handler !== 'string') throw wrong(`${where}.handler is the path of a file`)
  if (!isFrom(from)) throw wrong(`${where}.from is 'start', 'now' or a sequence number`)
  if (peer !== undefined) checkMachines([peer], `${where}.peer`)
}

/** Where a subscription may begin. */
export function isFrom(from: unknown): from is 'start' | 'now' | number {
  return from === 'start' || from === 'now' || (Number.isSafeInteger(from) && (from as number) >= 0)
}

/** Checks the settings of the network, or throws BAD_CONFIG. */
export function checkNetwork(network: NetworkSettings): NetworkSettings {
  if (typeof network !== 'object' || network === null) throw wrong('`network` is an object')
  refuseUnknown(network, NETWORK_KEYS, 'network.')
  const { bootstrap = [], port, host, announce, peers = [] } = network
  if (!Array.isArray(bootstrap) || !bootstrap.every((node) => typeof node === 'string' && /^[^\s:]+:\d{1,5}$/.test(node))) {
    throw wrong('network.bootstrap is a list of "host:port"')
  }
  if (port !== undefined && !(Number.isInteger(port) && port > 0 && port <= 65_535))
    throw wrong('network.port is a UDP port from 1 to 65535')
  if (host !== undefined && typeof host !== 'string') throw wrong('network.host is the address to bind to')
  if (announce !== undefined && !isIPv4(announce)) throw wrong('network.announce is the public IPv4 address of this machine')
  if (announce !== undefined && port === undefined) throw wrong('network.announce needs network.port, the UDP port that is open there')
  checkMachines(peers, 'network.peers')
  return network
}

function checkMachines(keys: unknown, where: string): void {
  if (!Array.isArray(keys) || !keys.every(isPublicKey)) {
    throw wrong(`${where} names machines by their public keys, 64 hex characters each, as \`overpool id\` prints them there`)
  }
}

/** A pool's settings from a config, with defaults, or BAD_CONFIG. `handler`, `publish` and `encrypt` are checked and left out. */
export function checkPool({ handler, publish, encrypt, ...settings }: PoolConfig, where: string): CheckedSettings {
  if (handler !== undefined && typeof handler !== 'string') throw wrong(`${where}.handler is the path of a file`)
  if (encrypt !== undefined && typeof encrypt !== 'boolean') throw wrong(`${where}.encrypt is true or false`)
  if (typeof publish === 'object') checkMachines(publish?.allow, `${where}.publish.allow`)
  else if (publish !== undefined && typeof publish !== 'boolean') throw wrong(`${where}.publish is true, false or { allow: [ … ] }`)
  refuseUnknown(settings, POOL_KEYS, `${where}.`)
  return checkSettings(settings, where)
}

/** Fills in defaults, or throws BAD_CONFIG. */
export function checkSettings(settings: PoolSettings, where: string): CheckedSettings {
  refuseUnknown(settings, SETTING_KEYS, `${where}.`)
  const said = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined && value !== null))
  const all: CheckedSettings = { ...DEFAULTS, ...('maxAttempts' in said && { retryForMs: 0 }), ...said }
  for (const [key, least, most] of [
    ['maxHops', 0, Number.MAX_SAFE_INTEGER],
    ['maxAttempts', 1, Number.MAX_SAFE_INTEGER],
    ['retryForMs', 0, Number.MAX_SAFE_INTEGER],
    ['timeoutMs', 1, MAX_TIMEOUT_MS],
    ['batchMs', 0, MAX_BATCH_MS],
  ] as const) {
    const isWithin = Number.isSafeInteger(all[key]) && all[key] >= least && all[key] <= most
    if (!isWithin) throw wrong(`${where}.${key} is a whole number from ${least}${most < Number.MAX_SAFE_INTEGER ? ` to ${most}` : ' on'}`)
  }
  if (!['payment', 'transaction'].includes(all.unique)) throw wrong(`${where}.unique is 'payment' or 'transaction'`)
  if (!['skip', 'stop'].includes(all.onPoison)) throw wrong(`${where}.onPoison is 'skip' or 'stop'`)
  if (all.filter !== undefined && typeof all.filter !== 'function') throw wrong(`${where}.filter is a function`)
  if (all.limits !== undefined && all.limits !== false) checkLimits(all.limits, `${where}.limits`)
  if (all.origins !== undefined && !(Array.isArray(all.origins) && all.origins.every(isOrigin)))
    throw wrong(`${where}.origins is a list of origins of web pages, such as "https://shop.example": no path, no slash at the end`)
  return all
}

function checkLimits(limits: Limits, where: string): void {
  if (typeof limits !== 'object' || limits === null) throw wrong(`${where} is false, or an object such as { perMinute: 60 }`)
  const { total, ...each } = limits
  refuseUnknown(limits, new Set([...QUOTA_KEYS, 'total']), `${where}.`)
  if (total !== undefined) {
    if (typeof total !== 'object' || total === null) throw wrong(`${where}.total is an object such as { perMinute: 6_000 }`)
    refuseUnknown(total, QUOTA_KEYS, `${where}.total.`)
  }
  for (const [quota, at] of [
    [each, where],
    [total ?? {}, `${where}.total`],
  ] as const) {
    for (const [key, value] of Object.entries(quota))
      if (!(Number.isSafeInteger(value) && value > 0)) throw wrong(`${at}.${key} is a whole number of at least 1`)
  }
}

function isOrigin(origin: unknown): boolean {
  return typeof origin === 'string' && URL.parse(origin)?.origin === origin
}

/** Checks a pool's name, or throws BAD_ARGUMENT. */
export function checkPath(path: unknown): string {
  if (isPath(path)) return path
  throw new OverpoolError('BAD_ARGUMENT', whyNoPath(path))
}

/** Whether it has the form of a pool's name. */
export function isPath(path: unknown): path is string {
  return typeof path === 'string' && /^[a-z0-9][a-z0-9_-]{0,62}$/.test(path)
}

function whyNoPath(path: unknown): string {
  const it = typeof path === 'string' ? `"${path.slice(0, 80)}"` : `a ${typeof path}`
  return `${it} cannot name a pool: use 1 to 63 of a-z, 0-9, - and _, the first a letter or a digit`
}

function refuseUnknown(object: object, known: Set<string>, where: string): void {
  for (const key of Object.keys(object))
    if (!known.has(key)) throw wrong(`there is no setting \`${where}${key}\`; there are ${[...known].sort().join(', ')}`)
}

function wrong(what: string): OverpoolError {
  return new OverpoolError('BAD_CONFIG', `the config is wrong: ${what}`)
}
