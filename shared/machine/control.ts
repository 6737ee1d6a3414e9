import type { Clock } from '../clock.ts'
import { isFrom, type OverpoolConfig } from '../config/config.ts'
import { subscriptionsOf } from '../config/handlers.ts'
import { OverpoolError } from '../errors.ts'
import { formatCapability, isMachine, parseCapability } from '../ledger/capability.ts'
import { discoveryKeyOf } from '../ledger/discovery-key.ts'
import type { DesiredState, PoolControl, PoolPatch } from '../store/control.ts'
import type { Stores } from '../store/port.ts'
import { findPool } from './find-pool.ts'

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

export interface MachineControlDeps {
  stores: Pick<Stores, 'control'>
  clock: Clock
  /** encryption key of a pool of ours, 64 hex. It is made from the seed, which few may read, and asked for an encrypted pool only */
  secretOf: (path: string) => Promise<string>
  /** told that a desired state was written; resolves when whoever runs the machine has seen it. Default: it looks by itself */
  changed?: () => Promise<void>
}

/** Writes what callers want of the pools of a machine. Whoever runs the machine does it: now, or when it runs again. */
export class MachineControl {
  readonly #deps: MachineControlDeps

  constructor(deps: MachineControlDeps) {
    this.#deps = deps
  }

  /**
   * Publishes a pool of ours; again is harmless, and with another `allow` changes that. Resolves when the wish is stored: the announcement goes on in the background.
   * @returns what others subscribe to
   * @throws OverpoolError BAD_ARGUMENT, POOL_NOT_FOUND
   */
  async publish(path: unknown, { encrypt, allow }: PublishOptions = {}): Promise<string> {
    const pool = await this.#ownPool(path, `${String(path)} is a peer's pool; its publisher publishes it`)
    if (allow !== undefined && !(Array.isArray(allow) && allow.every(isMachine))) {
      throw new OverpoolError(
        'BAD_ARGUMENT',
        '`allow` names machines by their public keys, 64 hex characters each, as `overpool id` prints them there',
      )
    }
    const changed = encryption(pool, encrypt)
    const desired = { ...pool.desired, ...changed?.desired }
    const isEncrypted = desired.encrypt ?? false
    const capability = formatCapability({ key: pool.key, ...(isEncrypted && { secret: await this.#deps.secretOf(pool.path) }) })
    const publishedAs = isEncrypted ? 'encrypted' : 'clear'
    await this.#update(pool.path, { ...changed, desired: { ...desired, publish: true, allow, publishedAs } })
    void this.#changed()
    return capability
  }

  /** Publishes a pool of ours no more. Who has blocks of it keeps them. */
  async unpublish(path: unknown): Promise<void> {
    const pool = await this.#ownPool(path, `${String(path)} is a peer's pool: unsubscribe from it`)
    await this.#update(pool.path, { desired: { ...pool.desired, publish: false } })
    await this.#changed()
  }

  /**
   * Follows a peer's pool: handlers run on its entries. Again is harmless; after `unsubscribe` it goes on where it was, and one that was halted is tried anew.
   * @param published what `pub` gave
   * @throws OverpoolError BAD_ARGUMENT
   */
  async subscribe(published: unknown, { from, peer, byConfig }: SubscribeOptions = {}): Promise<PoolControl> {
    const { key, secret } = parseCapability(published)
    if (from !== undefined && !isFrom(from)) throw new OverpoolError('BAD_ARGUMENT', "from is 'start', 'now' or a sequence number")
    if (peer !== undefined && !isMachine(peer))
      throw new OverpoolError('BAD_ARGUMENT', 'peer is the public key of a machine, 64 hex characters, as `overpool id` prints it there')
    const { stores, clock } = this.#deps
    const ours = (await stores.control.list()).find((pool) => pool.key === key && pool.kind !== 'peer')
    if (ours)
      throw new OverpoolError('BAD_ARGUMENT', `that is this machine's own pool "${ours.path}": its handlers get its entries already`)
    const pool = await stores.control.create({ path: key, kind: 'peer', key, discoveryKey: discoveryKeyOf(key), createdAt: clock.now() })
    const before = pool.desired ?? {}
    const isHalted = pool.halted !== undefined
    const desired: DesiredState = {
      ...before,
      subscribe: true,
      from: from ?? before.from ?? 'start',
      peer: peer ?? before.peer,
      secret: secret ?? (isHalted ? undefined : before.secret), // of a halted one the secret may be what is wrong
      byConfig: byConfig ?? before.byConfig,
    }
    // A config says the same at every start: only if it says something else is that a wish to try again.
    const tryAgain = isHalted && (!byConfig || !before.subscribe || desired.secret !== before.secret)
    await this.#update(key, { desired, ...(tryAgain && { halted: undefined, rebuild: true }) })
    void this.#changed()
    return { ...pool, desired }
  }

  /** Follows a peer's pool no more. What has come stays. */
  async unsubscribe(published: unknown): Promise<void> {
    const { path, desired } = await findPool(this.#deps.stores.control, parseCapability(published).key)
    await this.#update(path, { desired: { ...desired, subscribe: false } })
    await this.#changed()
  }

  /**
   * Follows the peers' pools of a config, and no more those that an earlier config named and this one does not.
   * @param owns whether a pool is this process's to follow; default: all are
   */
  async syncSubscriptions(config: Pick<OverpoolConfig, 'subscribe'>, owns: (path: string) => boolean = () => true): Promise<void> {
    const subscriptions = subscriptionsOf(config).map((one) => ({ ...one, path: parseCapability(one.key).key }))
    const named = new Set(subscriptions.map(({ path }) => path))
    for (const { path, desired } of await this.#deps.stores.control.list()) {
      if (desired?.subscribe && desired.byConfig && !named.has(path)) await this.unsubscribe(path)
    }
    for (const { path, key, from, peer } of subscriptions) if (owns(path)) await this.subscribe(key, { from, peer, byConfig: true })
  }

  /**
   * Lets a halted pool of ours go on: its hypercore is made again from the mirror as it is now. If others hold other blocks of it, or more, their copies halt.
   * @throws OverpoolError BAD_ARGUMENT: it is not halted
   */
  async resume(path: unknown): Promise<void> {
    const pool = await this.#ownPool(path, `${String(path)} is a peer's pool: \`sub\` tries it anew`)
    if (pool.halted === undefined) throw new OverpoolError('BAD_ARGUMENT', `"${pool.path}" is not halted`)
    await this.#update(pool.path, { halted: undefined, rebuild: true })
  }

  /** A pool of ours, or BAD_ARGUMENT with the sentence. */
  async #ownPool(path: unknown, elseSay: string): Promise<PoolControl> {
    const pool = await findPool(this.#deps.stores.control, path)
    if (pool.kind === 'peer') throw new OverpoolError('BAD_ARGUMENT', elseSay)
    return pool
  }

  #update(path: string, patch: PoolPatch): Promise<void> {
    return this.#deps.stores.control.update(path, patch)
  }

  async #changed(): Promise<void> {
    await this.#deps.changed?.()
  }
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

/** Throws BAD_ARGUMENT if a pool of ours is not published. */
export function checkPublished({ path, desired }: Pick<PoolControl, 'path' | 'desired'>): void {
  if (!desired?.publish) throw new OverpoolError('BAD_ARGUMENT', `"${path}" is not published: call pub({ path: '${path}' }) first`)
}
