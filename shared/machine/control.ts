import { discoveryKeyOf } from '../../sidecar/cores/core.ts'
import { isFrom } from '../config/config.ts'
import { OverpoolError } from '../errors.ts'
import { formatCapability, isMachine, isPeerPool, parseCapability } from '../ledger/capability.ts'
import type { DesiredState, PoolControl, PoolPatch } from '../store/control.ts'
import type { Stores } from '../store/port.ts'

export interface PublishOptions {
  /** encrypts the hypercore: only who has the whole of what `pub` gives can read it. As it was created, unless it was never published */
  encrypt?: boolean
  /** only these machines get it: their public keys, 64 hex (`overpool id`) */
  allow?: string[]
}

export interface SubscribeOptions {
  /** the first entry that handlers get, default 'start'; 'now': what comes after the publisher's newest */
  from?: 'start' | 'now' | number
  /** public key of the publisher's machine, to go to it straight, 64 hex */
  peer?: string
  /** said by the config */
  byConfig?: boolean
}

/**
 * Wants a pool of ours to be published; whoever runs the machine does it. Again is harmless, and with another `allow` changes that.
 * @param secret gives the pool's encryption key, and is asked for an encrypted one only: it is made from the seed, which few may read
 * @returns what others subscribe to
 * @throws OverpoolError BAD_ARGUMENT
 */
export async function publish(
  pool: PoolControl,
  secret: () => string | Promise<string>,
  { encrypt, allow }: PublishOptions,
  stores: Stores,
): Promise<string> {
  const { path, key, desired = {} } = pool
  if (isPeerPool(path)) throw new OverpoolError('BAD_ARGUMENT', `${path} is a peer's pool; its publisher publishes it`)
  if (allow !== undefined && !(Array.isArray(allow) && allow.every(isMachine))) {
    throw new OverpoolError(
      'BAD_ARGUMENT',
      '`allow` names machines by their public keys, 64 hex characters each, as `overpool id` prints them there',
    )
  }
  const changed = encryption(pool, encrypt)
  const isEncrypted = (changed?.desired ?? desired).encrypt ?? false
  const capability = formatCapability({ key, ...(isEncrypted && { secret: await secret() }) })
  await stores.control.update(path, {
    ...changed,
    desired: { ...desired, ...changed?.desired, publish: true, allow, publishedAs: isEncrypted ? 'encrypted' : 'clear' },
  })
  return capability
}

/**
 * What has to be written so that the pool's hypercore is encrypted, or is not; nothing if it stays as it is.
 * @throws OverpoolError BAD_ARGUMENT: others have seen it as it is
 */
export function encryption(
  { path, desired = {} }: PoolControl,
  encrypt = desired.encrypt ?? false,
): Pick<PoolPatch, 'desired' | 'rebuild'> | undefined {
  if (encrypt === (desired.encrypt ?? false)) return undefined
  if (desired.publishedAs === 'clear') {
    throw new OverpoolError(
      'BAD_ARGUMENT',
      `"${path}" has been published in clear, and others may hold its blocks: for a private one make another pool`,
    )
  }
  if (desired.publishedAs === 'encrypted') {
    throw new OverpoolError(
      'BAD_ARGUMENT',
      `"${path}" has been published encrypted; in clear it would be another ledger under the same key: make another pool`,
    )
  }
  return { desired: { ...desired, encrypt }, rebuild: true }
}

/**
 * Wants a pool of ours that was halted to go on: its hypercore is made again from the mirror as it is now. If others hold other blocks of it, or more, their
 * copies halt. Whoever runs the machine does it.
 * @throws OverpoolError BAD_ARGUMENT: it is not halted
 */
export async function resume({ path, halted }: PoolControl, stores: Stores): Promise<void> {
  if (isPeerPool(path)) throw new OverpoolError('BAD_ARGUMENT', `${path} is a peer's pool: \`sub\` tries it anew`)
  if (halted === undefined) throw new OverpoolError('BAD_ARGUMENT', `"${path}" is not halted`)
  await stores.control.update(path, { halted: undefined, rebuild: true })
}

/** Throws BAD_ARGUMENT where nobody can find a pool of ours, because it is not wanted that they do. */
export function checkPublished({ path, desired }: Pick<PoolControl, 'path' | 'desired'>): void {
  if (!desired?.publish) throw new OverpoolError('BAD_ARGUMENT', `"${path}" is not published: call pub({ path: '${path}' }) first`)
}

/** Wants a pool of ours to be offered no more. Who has blocks of it keeps them. */
export async function unpublish({ path, desired = {} }: PoolControl, stores: Stores): Promise<void> {
  if (isPeerPool(path)) throw new OverpoolError('BAD_ARGUMENT', `${path} is a peer's pool: unsubscribe from it`)
  await stores.control.update(path, { desired: { ...desired, publish: false } })
}

/**
 * Wants a peer's pool to be followed. Again is harmless; after `unsub` it goes on where it was, and one that was halted is tried anew.
 * @param published what `pub` gave
 * @throws OverpoolError BAD_ARGUMENT
 */
export async function subscribe(
  published: unknown,
  { from, peer, byConfig }: SubscribeOptions,
  stores: Stores,
  now: number,
): Promise<PoolControl> {
  const { key, secret } = parseCapability(published)
  if (from !== undefined && !isFrom(from)) throw new OverpoolError('BAD_ARGUMENT', "from is 'start', 'now' or a sequence number")
  if (peer !== undefined && !isMachine(peer))
    throw new OverpoolError('BAD_ARGUMENT', 'peer is the public key of a machine, 64 hex characters, as `overpool id` prints it there')
  const ours = (await stores.control.list()).find((pool) => pool.key === key && !isPeerPool(pool.path))
  if (ours) throw new OverpoolError('BAD_ARGUMENT', `that is this machine's own pool "${ours.path}": its handlers get its entries already`)
  const pool = await stores.control.create({ path: key, key, discoveryKey: discoveryKeyOf(key), createdAt: now })
  const before = pool.desired ?? {}
  const halted = pool.halted !== undefined
  const desired: DesiredState = {
    ...before,
    subscribe: true,
    from: from ?? before.from ?? 'start',
    peer: peer ?? before.peer,
    secret: secret ?? (halted ? undefined : before.secret), // perhaps it was the wrong one
    byConfig: byConfig ?? before.byConfig,
  }
  // A config says the same at every start: only if it says something else is that a wish to try again.
  const anew = halted && (!byConfig || !before.subscribe || desired.secret !== before.secret)
  await stores.control.update(key, { desired, ...(anew && { halted: undefined, rebuild: true }) })
  return { ...pool, desired }
}

/** Wants a peer's pool to be followed no more. What has come stays. */
export async function unsubscribe({ path, desired = {} }: PoolControl, stores: Stores): Promise<void> {
  if (!isPeerPool(path)) throw new OverpoolError('BAD_ARGUMENT', `"${path}" is this machine's own pool: unpublish it`)
  await stores.control.update(path, { desired: { ...desired, subscribe: false } })
}
