import { isIPv4 } from 'node:net'
import type { Watch } from '../chain/filter.ts'
import { OverpoolError } from '../errors.ts'
import { checkPageSettings, type PageSettings } from '../invoice/page-settings.ts'
import { checkTerms, type RequestSetting } from '../invoice/terms.ts'
import type { PaymentFields } from '../ledger/kinds.ts'
import { isPublicKey, parsePoolAddress } from '../ledger/pool-address.ts'
import type { Parsed } from '../transaction/index.ts'
import { MAX_SATOSHIS } from '../transaction/reader.ts'
import { type AwsSettings, checkAws } from './aws.ts'
import {
  type BitcoinSettings,
  type CommitPolicy,
  checkBitcoin,
  checkCommit,
  checkFilled,
  checkGrid,
  checkWatch,
  type GridSettings,
  isBroadcasting,
} from './bitcoin.ts'
import type { EventsSetting } from './events.ts'
import { checkForwards, type ForwardConfig } from './forward.ts'

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
  /**
   * what is checked of a wallet's transaction: its 'structure' (default), or that it is 'signed': the scripts are run of inputs whose outputs come along with it (extended format,
   * BEEF), and the other inputs have unlocking scripts
   */
  verify?: 'structure' | 'signed'
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
  /** whether payments are broadcast to Bitcoin as soon as they are in the pool: 'never' (default; a handler may call `broadcast`), 'always', or a function of the event */
  commit?: CommitPolicy
  /** what it asks of whoever opens its URL: a payment request that nobody keeps until it is paid; or a function of the URL's query that says so */
  request?: RequestSetting
  /** how its invoices look in a browser */
  page?: PageSettings
  /** transactions on the chain that become entries of this pool, beside those that are posted: what they pay to or spend */
  watch?: Watch
  /** what an entry costs, satoshis: whoever comes without a payment gets 402, with the terms of BRC-121 and BRC-166 (docs/paywall.md) */
  price?: number
  /**
   * who may follow the pool's entries as they come, at `GET /{pool}/events` (docs/push.md): true for everybody, or a function that decides by the request. Default: nobody
   */
  events?: EventsSetting
  /** the paymail to which wallets pay into this pool, such as `shop@example.com`: the domain is where this machine's door is reached */
  paymail?: string
}

/** A pool in `overpool.config.ts`. */
export interface PoolConfig extends PoolSettings {
  /** the handler's file, relative to the config; without one the config's own */
  handler?: string
  /** publishes the pool: to all who know its key, or to the machines in `allow` (public keys, 64 hex). False: stops publishing. Left out: unchanged */
  publish?: boolean | { allow: string[] }
  /** encrypts its hypercore: the public key alone does not open it. Cannot be changed after the first publication */
  encrypt?: boolean
  /** its entries come from the Bitcoin chain; nobody posts into it */
  grid?: GridSettings
  /** whether wallets post into it over HTTP, default true. False: handlers and programs of this machine alone do */
  door?: boolean
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
  /** more handlers, by name: programs in any language that entries are posted to */
  handlers?: Record<string, ForwardConfig>
  /** peers' pools to subscribe to: what their `pub` printed */
  subscribe?: (string | SubscriptionConfig)[]
  network?: NetworkSettings
  /** how the machine takes part in Bitcoin: without it nothing is broadcast, and no chain is read */
  bitcoin?: BitcoinSettings
  /** where wallets reach the machine, such as `https://pay.example.com`: what its invoices say. Default: as the request for an invoice names it */
  url?: string
  /** the extended public key (xpub) of a wallet, for outputs that name no script: each gets a key of its own below it. Default: the machine's own (`overpool keys`); on AWS there is none */
  receive?: string
  /** settings of a machine on AWS (`npx cdk deploy`); the embedded machine ignores them */
  aws?: AwsSettings
}

/** A pool's settings with all defaults filled in. */
export type CheckedSettings = Required<Omit<PoolSettings, Unset>> & Pick<PoolSettings, Unset>
/** The settings that may be left out for good. */
type Unset = 'filter' | 'limits' | 'origins' | 'watch' | 'request' | 'page' | 'price' | 'paymail' | 'events'

const DEFAULTS: CheckedSettings = {
  unique: 'payment',
  verify: 'structure',
  maxHops: 1_000,
  maxAttempts: 5,
  retryForMs: 10 * 60_000,
  onPoison: 'skip',
  timeoutMs: 60_000,
  batchMs: 0,
  commit: 'never',
}
const SETTING_KEYS = new Set([
  ...Object.keys(DEFAULTS),
  'filter',
  'limits',
  'origins',
  'watch',
  'request',
  'page',
  'price',
  'paymail',
  'events',
])
/** A handle and a domain, perhaps this computer's. */
const PAYMAIL = /^[a-z0-9][a-z0-9._+-]{0,63}@[a-z0-9-]+(\.[a-z0-9-]+)*$/
const POOL_KEYS = new Set([...SETTING_KEYS, 'handler', 'publish', 'encrypt', 'grid', 'door'])
const QUOTA_KEYS = new Set(['perMinute', 'bytesPerMinute'])
const SUBSCRIPTION_KEYS = new Set(['key', 'handler', 'from', 'peer'])
const NETWORK_KEYS = new Set(['bootstrap', 'port', 'host', 'announce', 'peers'])
/** The longest `timeoutMs`. The visibility of bells and the time of functions are made for it. */
export const MAX_TIMEOUT_MS = 300_000
const MAX_BATCH_MS = 60_000
const MAX_PAYMAIL = 100

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
  refuseUnknown(config, new Set(['handler', 'handlers', 'pools', 'subscribe', 'network', 'bitcoin', 'url', 'receive', 'aws']), '')
  if (config.handler !== undefined && typeof config.handler !== 'string') throw wrong('`handler` is the path of a file')
  for (const [path, pool] of Object.entries(config.pools)) {
    const where = `pools.${path}`
    if (!isPath(path)) throw wrong(whyNoPath(path))
    if (typeof pool !== 'object' || pool === null) throw wrong(`${where} is an object, {} at least`)
    checkPool(pool, where)
  }
  if (config.subscribe !== undefined && !Array.isArray(config.subscribe)) throw wrong('`subscribe` is a list of what `pub` printed')
  for (const [i, subscription] of (config.subscribe ?? []).entries()) checkSubscription(subscription, `subscribe[${i}]`)
  checkForwards({
    handlers: config.handlers,
    pools: config.pools,
    peers: (config.subscribe ?? []).map((one) => parsePoolAddress(typeof one === 'string' ? one : one.key).key),
  })
  if (config.network !== undefined) checkNetwork(config.network)
  if (config.bitcoin !== undefined) checkBitcoin(config.bitcoin)
  for (const [path, { commit = 'never', grid }] of Object.entries(config.pools)) {
    if (grid) checkFilled(config.bitcoin, grid, `pools.${path}`)
    if (commit !== 'never' && !isBroadcasting(config.bitcoin))
      throw wrong(
        `pools.${path}.commit hands payments to Bitcoin, and \`bitcoin\` names nobody who takes them: set bitcoin: { network: 'main' }, or name your node in bitcoin.broadcast`,
      )
  }
  checkReached(config)
  const named = Object.values(config.pools).flatMap(({ paymail }) => paymail ?? [])
  const twice = named.find((paymail, i) => named.indexOf(paymail) !== i)
  if (twice !== undefined) throw wrong(`two pools have the paymail "${twice}"`)
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

/** Checks where a machine is reached, and where money comes to. @throws OverpoolError BAD_CONFIG */
export function checkReached({ url, receive }: Pick<OverpoolConfig, 'url' | 'receive'>): void {
  const { protocol, search, hash } = (typeof url === 'string' && URL.parse(url)) || {}
  if (url !== undefined && !(/^https?:$/.test(protocol ?? '') && !search && !hash && !url.endsWith('/')))
    throw wrong('`url` is where wallets reach the machine, such as "https://pay.example.com", with no slash at the end')
  if (receive !== undefined && !(typeof receive === 'string' && /^[xt]pub[1-9A-HJ-NP-Za-km-z]{100,112}$/.test(receive)))
    throw wrong('`receive` is an extended public key that begins with xpub: your wallet shows it. It never is the private one (xprv)')
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

/** A pool's settings from a config, with defaults, or BAD_CONFIG. What is no setting of a running pool is checked and left out. */
export function checkPool({ handler, publish, encrypt, grid, door, ...settings }: PoolConfig, where: string): CheckedSettings {
  if (handler !== undefined && typeof handler !== 'string') throw wrong(`${where}.handler is the path of a file`)
  for (const [key, value] of Object.entries({ encrypt, door }))
    if (value !== undefined && typeof value !== 'boolean') throw wrong(`${where}.${key} is true or false`)
  if (typeof publish === 'object') checkMachines(publish?.allow, `${where}.publish.allow`)
  else if (publish !== undefined && typeof publish !== 'boolean') throw wrong(`${where}.publish is true, false or { allow: [ … ] }`)
  if (grid !== undefined) {
    checkGrid(grid, where)
    for (const key of ['commit', 'filter', 'watch', 'request', 'price', 'paymail'] as const)
      if (settings[key] !== undefined)
        throw wrong(`${where}.${key} says nothing to a pool with a grid: its entries come from the chain alone`)
  }
  for (const key of ['price', 'paymail'] as const)
    if (door === false && settings[key] !== undefined)
      throw wrong(`${where}.${key} is for those who pay over HTTP, and ${where}.door is false: leave one of them out`)
  refuseUnknown(settings, POOL_KEYS, `${where}.`)
  return checkSettings(settings, where)
}

/** The names of the pools that wallets post into. */
export function doorsOf({ pools }: OverpoolConfig): string[] {
  return Object.keys(pools).filter((path) => pools[path]!.grid === undefined && pools[path]!.door !== false)
}

/** Whether a machine on AWS asks for payments: a pool does so by its config, or a handler may, since there is a wallet that they come to. */
export function asksForPayments({ pools, receive }: OverpoolConfig): boolean {
  return receive !== undefined || Object.values(pools).some(({ request }) => request !== undefined)
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
  if (!['structure', 'signed'].includes(all.verify)) throw wrong(`${where}.verify is 'structure' or 'signed'`)
  if (!['skip', 'stop'].includes(all.onPoison)) throw wrong(`${where}.onPoison is 'skip' or 'stop'`)
  checkCommit(all.commit, where)
  if (all.watch !== undefined) checkWatch(all.watch, `${where}.watch`)
  if (all.request !== undefined && typeof all.request !== 'function') checkTerms(all.request, `${where}.request`, 'BAD_CONFIG')
  if (all.page !== undefined) checkPageSettings(all.page, `${where}.page`)
  if (all.filter !== undefined && typeof all.filter !== 'function') throw wrong(`${where}.filter is a function`)
  if (all.events !== undefined && typeof all.events !== 'boolean' && typeof all.events !== 'function')
    throw wrong(`${where}.events is true, false, or a function of the request that returns true, false or 'whole'`)
  checkPaid(all, where)
  if (all.price !== undefined && all.request !== undefined)
    throw wrong(`${where} has a \`price\`, or a \`request\`, and not both: each answers whoever opens its URL`)
  if (all.request !== undefined && all.unique === 'transaction')
    throw wrong(`${where} has a \`request\`, and each payment of it needs an entry of its own: leave \`unique: 'transaction'\` out`)
  if (all.limits !== undefined && all.limits !== false) checkLimits(all.limits, `${where}.limits`)
  if (all.origins !== undefined && !(Array.isArray(all.origins) && all.origins.every(isOrigin)))
    throw wrong(`${where}.origins is a list of origins of web pages, such as "https://shop.example": no path, no slash at the end`)
  return all
}

function checkPaid({ price, paymail, unique }: CheckedSettings, where: string): void {
  if (price !== undefined && !(Number.isSafeInteger(price) && price > 0 && price <= MAX_SATOSHIS))
    throw wrong(`${where}.price is a whole number of satoshis, at least 1`)
  if (paymail !== undefined && !(typeof paymail === 'string' && paymail.length <= MAX_PAYMAIL && PAYMAIL.test(paymail)))
    throw wrong(`${where}.paymail is a handle and a domain in small letters, such as "shop@example.com"`)
  if (unique === 'transaction' && (price ?? paymail) !== undefined)
    throw wrong(
      `${where}.unique is 'transaction', and \`price\` and \`paymail\` need an entry for each payment: a transaction that came another way has no note of its key. Leave one of them out`,
    )
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
