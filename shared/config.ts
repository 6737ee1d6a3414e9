import { OverpoolError } from './errors.ts'
import type { PaymentFields } from './ledger/entry.ts'
import type { Parsed } from './transaction/index.ts'

/** What a filter sees: the Payment, and its transaction in the shape that handlers get. */
export interface FilterPayment extends PaymentFields {
  transaction: string
  parsed: Parsed
}

/**
 * Says which payments a pool takes. The original's form, with two parameters, calls back with an error to refuse; the new one may be async, and throws or
 * returns false. The reason reaches the wallet in `memo`. It has half a minute.
 */
export type Filter = (payment: FilterPayment, callback: (error?: unknown, valid?: unknown) => void) => unknown

/** What can be said of a pool. */
export interface PoolSettings {
  filter?: Filter
  /** what makes two wallet posts the same: the whole payment (default), or its transaction alone */
  unique?: 'payment' | 'transaction'
  /** longest chain of posts by handlers, default 1,000; 0: handlers cannot post into it */
  maxHops?: number
  /** attempts at an entry until the handler gives it up, default 5 */
  maxAttempts?: number
  /** then the pool goes on without it ('skip', the default), or stops there for this handler ('stop') */
  onPoison?: 'skip' | 'stop'
  /** a handler's call that takes longer has failed, ms, default 60,000, at most 300,000 */
  timeoutMs?: number
  /** wait so long for a fuller, cheaper block, ms, default 0, at most 60,000 */
  batchMs?: number
}

/** A pool in `overpool.config.ts`. */
export interface PoolConfig extends PoolSettings {
  /** the handler's file, relative to the config; without one the config's own */
  handler?: string
}

/** `overpool.config.ts` */
export interface OverpoolConfig {
  /** the file of the handler for every pool that names none, relative to the config */
  handler?: string
  pools: Record<string, PoolConfig>
}

/** A pool's settings with nothing left open. */
export type CheckedSettings = Required<Omit<PoolSettings, 'filter'>> & Pick<PoolSettings, 'filter'>

const DEFAULTS: CheckedSettings = { unique: 'payment', maxHops: 1_000, maxAttempts: 5, onPoison: 'skip', timeoutMs: 60_000, batchMs: 0 }
const SETTING_KEYS = new Set([...Object.keys(DEFAULTS), 'filter'])
/** Whatever waits for a handler's entry (a bell's visibility, a function's time) is made for this, ms. */
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
  refuseUnknown(config, new Set(['handler', 'pools']), '')
  if (config.handler !== undefined && typeof config.handler !== 'string') throw wrong('`handler` is the path of a file')
  for (const [path, pool] of Object.entries(config.pools)) {
    const where = `pools.${path}`
    checkPath(path)
    if (typeof pool !== 'object' || pool === null) throw wrong(`${where} is an object, {} at least`)
    const { handler, ...settings } = pool
    if (handler !== undefined && typeof handler !== 'string') throw wrong(`${where}.handler is the path of a file`)
    checkSettings(settings, where)
  }
  return config as OverpoolConfig
}

/** Fills in what is not said, or throws BAD_CONFIG. */
export function checkSettings(settings: PoolSettings, where: string): CheckedSettings {
  refuseUnknown(settings, SETTING_KEYS, `${where}.`)
  const said = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined && value !== null))
  const all: CheckedSettings = { ...DEFAULTS, ...said }
  for (const [key, least, most] of [
    ['maxHops', 0, Number.MAX_SAFE_INTEGER],
    ['maxAttempts', 1, Number.MAX_SAFE_INTEGER],
    ['timeoutMs', 1, MAX_TIMEOUT_MS],
    ['batchMs', 0, MAX_BATCH_MS],
  ] as const) {
    const isWithin = Number.isSafeInteger(all[key]) && all[key] >= least && all[key] <= most
    if (!isWithin) throw wrong(`${where}.${key} is a whole number from ${least}${most < Number.MAX_SAFE_INTEGER ? ` to ${most}` : ' on'}`)
  }
  if (!['payment', 'transaction'].includes(all.unique)) throw wrong(`${where}.unique is 'payment' or 'transaction'`)
  if (!['skip', 'stop'].includes(all.onPoison)) throw wrong(`${where}.onPoison is 'skip' or 'stop'`)
  if (all.filter !== undefined && typeof all.filter !== 'function') throw wrong(`${where}.filter is a function`)
  return all
}

/** Checks a pool's name, or throws BAD_ARGUMENT. */
export function checkPath(path: unknown): string {
  if (typeof path === 'string' && /^[a-z0-9][a-z0-9_-]{0,62}$/.test(path)) return path
  throw new OverpoolError(
    'BAD_ARGUMENT',
    `${typeof path === 'string' ? `"${path.slice(0, 80)}"` : `a ${typeof path}`} cannot name a pool: use 1 to 63 of a-z, 0-9, - and _, the first a letter or a digit`,
  )
}

function refuseUnknown(object: object, known: Set<string>, where: string): void {
  for (const key of Object.keys(object))
    if (!known.has(key)) throw wrong(`there is no setting \`${where}${key}\`; there are ${[...known].sort().join(', ')}`)
}

function wrong(what: string): OverpoolError {
  return new OverpoolError('BAD_CONFIG', `the config is wrong: ${what}`)
}
