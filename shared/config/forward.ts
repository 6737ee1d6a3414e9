import { OverpoolError } from '../errors.ts'
import { HANDLED_KINDS, type HandledKind } from '../ledger/kinds.ts'
import { BROADCASTER, checkSecretPlace, type SecretPlace } from './bitcoin.ts'
import { isHandlerName } from './handler-name.ts'

/** A handler that is a program on the network, in any language: the machine posts each entry to it (docs/push.md). */
export interface ForwardConfig {
  /** the program's URL, http or https */
  forward: string
  /** where the secret is that signs the messages (Standard Webhooks): `whsec_` and 24 to 64 bytes in base64. To replace it, set the new one and the old one with a space between them */
  secret: SecretPlace
  /** names of pools, and public keys of peers' pools. Default: all */
  pools?: string[]
  /** the kinds of entries that are posted, default transactions */
  kinds?: HandledKind[]
  /** how long the program may take to answer, ms, default 15,000. It must be shorter than `timeoutMs` of its pools */
  timeoutMs?: number
}

/** What a config says that concerns its forwards. */
export interface ForwardsOf {
  handlers?: Record<string, ForwardConfig> | undefined
  pools: Record<string, { timeoutMs?: number }>
  /** public keys of the peers' pools that it subscribes to */
  peers: string[]
}

const KEYS = new Set(['forward', 'secret', 'pools', 'kinds', 'timeoutMs'])
const TIMEOUT_MS = 15_000
/** `timeoutMs` of a pool that sets none (config.ts). */
const POOL_TIMEOUT_MS = 60_000
/** The forward's own limit ends a call before the runner's does: so no two calls run side by side. */
const BEFORE = 0.9

/** Checks `handlers` of a config. @throws OverpoolError BAD_CONFIG */
export function checkForwards(config: ForwardsOf): void {
  const { handlers } = config
  if (handlers === undefined) return
  if (typeof handlers !== 'object' || handlers === null || Array.isArray(handlers))
    throw wrong("`handlers` is an object, such as { billing: { forward: 'https://…', secret: { env: 'BILLING_SECRET' } } }")
  for (const [name, forward] of Object.entries(handlers)) {
    if (!isHandlerName(name) || name === BROADCASTER)
      throw wrong(`handlers.${name.slice(0, 80)}: a name has 1 to 63 of a-z, 0-9, - and _, and is not "${BROADCASTER}"`)
    checkForward(forward, `handlers.${name}`, config)
  }
}

function checkForward(value: ForwardConfig, where: string, config: ForwardsOf): void {
  if (typeof value !== 'object' || value === null) throw wrong(`${where} is an object with forward and secret`)
  for (const key of Object.keys(value))
    if (!KEYS.has(key)) throw wrong(`there is no setting \`${where}.${key}\`; there are ${[...KEYS].join(', ')}`)
  const { forward, secret, pools, kinds, timeoutMs } = value
  const url = typeof forward === 'string' ? URL.parse(forward) : null
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.username || url.password)
    throw wrong(`${where}.forward is an http or https address without a user and a password: entries are signed, by \`secret\``)
  checkSecretPlace(secret, `${where}.secret`)
  if (pools !== undefined && !(Array.isArray(pools) && pools.length)) throw wrong(`${where}.pools is a list of pools`)
  const known = [...Object.keys(config.pools), ...config.peers]
  for (const pool of pools ?? [])
    if (!known.includes(pool))
      throw wrong(`${where}.pools names "${String(pool).slice(0, 80)}", and the config has no such pool and no such subscription`)
  if (kinds !== undefined && !(Array.isArray(kinds) && kinds.length && kinds.every((kind) => HANDLED_KINDS.includes(kind))))
    throw wrong(`${where}.kinds is a list of ${HANDLED_KINDS.join(', ')}`)
  const most = shortestOf(pools, config)
  if (timeoutMs !== undefined && !(Number.isSafeInteger(timeoutMs) && timeoutMs > 0 && timeoutMs < most))
    throw wrong(`${where}.timeoutMs is a whole number from 1 on, and less than \`timeoutMs\` of its pools, ${most}`)
}

/** A forward with its defaults. */
export function withDefaults(
  { forward, secret, pools, kinds = ['tx'], timeoutMs }: ForwardConfig,
  config: Pick<ForwardsOf, 'pools'>,
): Required<Omit<ForwardConfig, 'pools'>> {
  return { forward, secret, kinds, timeoutMs: timeoutMs ?? Math.min(TIMEOUT_MS, Math.floor(shortestOf(pools, config) * BEFORE)) }
}

/** The shortest `timeoutMs` among pools. */
function shortestOf(pools: string[] | undefined, config: Pick<ForwardsOf, 'pools'>): number {
  return Math.min(...(pools ?? Object.keys(config.pools)).map((path) => config.pools[path]?.timeoutMs ?? POOL_TIMEOUT_MS), POOL_TIMEOUT_MS)
}

function wrong(what: string): OverpoolError {
  return new OverpoolError('BAD_CONFIG', `the config is wrong: ${what}`)
}
