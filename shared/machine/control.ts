import { ChainFilter, joined, type Watch } from '../chain/filter.ts'
import type { Clock } from '../clock.ts'
import { isFrom, type OverpoolConfig } from '../config/config.ts'
import { subscriptionsOf } from '../config/handlers.ts'
import { OverpoolError } from '../errors.ts'
import { discoveryKeyOf } from '../ledger/discovery-key.ts'
import { formatPoolAddress, isPublicKey, parsePoolAddress } from '../ledger/pool-address.ts'
import type { DesiredState, PoolControl, PoolPatch } from '../store/control.ts'
import type { Stores } from '../store/port.ts'
import { findPool } from './find-pool.ts'
import { optionsOf } from './options.ts'

export interface PublishOptions {
  /** encrypts the hypercore: only a holder of the whole key that `pub` returns can read it. Can be changed only before the first publication */
  encrypt?: boolean
  /** only these machines may get it: public keys, 64 hex (`overpool id`) */
  allow?: string[]
}

export interface SubscribeOptions {
  /** the first entry that handlers get, default 'start'; 'now': what comes after the publisher's newest */
  from?: 'start' | 'now' | number
  /** public key of the publisher's machine, to connect to it directly, 64 hex */
  peer?: string
  /** the config asks for this subscription: it ends when the config no longer names it */
  byConfig?: boolean
}

export interface MachineControlDeps {
  stores: Pick<Stores, 'control'>
  clock: Clock
  /** encryption key of a pool of ours, 64 hex; called for encrypted pools only, since few may read the seed that it is derived from */
  secretOf: (path: string) => Promise<string>
  /** called after a desired state was stored; resolves when the running machine has read it. Default: the machine looks by itself */
  changed?: () => Promise<void>
}

/** Stores the desired state of a machine's pools. The process that runs the machine carries it out, now or at its next start. */
export class MachineControl {
  readonly #deps: MachineControlDeps

  constructor(deps: MachineControlDeps) {
    this.#deps = deps
  }

  /**
   * Publishes a pool of ours. A second call is harmless; with another `allow` it changes that. Resolves when the desired state is stored; the announcement goes on in the
   * background.
   * @returns what others subscribe to
   * @throws OverpoolError BAD_ARGUMENT, POOL_NOT_FOUND
   */
  async publish(path: unknown, { encrypt, allow }: PublishOptions = {}): Promise<string> {
    const pool = await this.#ownPool(path, `${String(path)} is a peer's pool; its publisher publishes it`)
    if (allow !== undefined && !(Array.isArray(allow) && allow.every(isPublicKey))) {
      throw new OverpoolError(
        'BAD_ARGUMENT',
        '`allow` names machines by their public keys, 64 hex characters each, as `overpool id` prints them there',
      )
    }
    const changed = encryption(pool, encrypt)
    const desired = { ...pool.desired, ...changed?.desired }
    const isEncrypted = desired.encrypt ?? false
    const address = formatPoolAddress({ key: pool.key, ...(isEncrypted && { secret: await this.#deps.secretOf(pool.path) }) })
    const publishedAs = isEncrypted ? 'encrypted' : 'clear'
    const isChanged = JSON.stringify(allow) !== JSON.stringify(desired.allow)
    const allowedAt = isChanged ? Math.max(this.#deps.clock.now(), (desired.allowedAt ?? 0) + 1) : desired.allowedAt
    await this.#update(pool.path, { ...changed, desired: { ...desired, publish: true, allow, allowedAt, publishedAs } })
    void this.#changed()
    return address
  }

  /** Stops publishing a pool of ours. Machines that have blocks of it keep them. */
  async unpublish(path: unknown): Promise<void> {
    const pool = await this.#ownPool(path, `${String(path)} is a peer's pool: unsubscribe from it`)
    await this.#update(pool.path, { desired: { ...pool.desired, publish: false } })
    await this.#changed()
  }

  /**
   * Subscribes to a peer's pool: handlers run on its entries. A second call is harmless. After `unsubscribe` it goes on where it was; a halted subscription starts again.
   * @param published what `pub` returned
   * @throws OverpoolError BAD_ARGUMENT
   */
  async subscribe(published: unknown, { from, peer, byConfig }: SubscribeOptions = {}): Promise<PoolControl> {
    const { key, secret } = parsePoolAddress(published)
    if (from !== undefined && !isFrom(from)) throw new OverpoolError('BAD_ARGUMENT', "from is 'start', 'now' or a sequence number")
    if (peer !== undefined && !isPublicKey(peer))
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
      secret: secret ?? (isHalted ? undefined : before.secret), // the old secret may be what halted it
      byConfig: byConfig ?? before.byConfig,
    }
    // A config subscribes at every start. Only a change in it means: try again.
    const tryAgain = isHalted && (!byConfig || !before.subscribe || desired.secret !== before.secret)
    const network = pool.network?.skippedBytes ? { ...pool.network, skippedBytes: 0 } : pool.network
    await this.#update(key, { desired, ...(tryAgain && { halted: undefined, rebuild: true, network }) })
    void this.#changed()
    return { ...pool, desired }
  }

  /** Ends the subscription to a peer's pool. Its entries stay. */
  async unsubscribe(published: unknown): Promise<void> {
    const { path, desired } = await findPool(this.#deps.stores.control, parsePoolAddress(published).key)
    await this.#update(path, { desired: { ...desired, subscribe: false } })
    await this.#changed()
  }

  /**
   * Subscribes to the peers' pools of a config, and ends subscriptions that only an earlier config named.
   * @param owns whether this process subscribes to a pool; default: to all
   */
  async syncSubscriptions(config: Pick<OverpoolConfig, 'subscribe'>, owns: (path: string) => boolean = () => true): Promise<void> {
    const subscriptions = subscriptionsOf(config).map((one) => ({ ...one, path: parsePoolAddress(one.key).key }))
    const named = new Set(subscriptions.map(({ path }) => path))
    for (const { path, desired } of await this.#deps.stores.control.list()) {
      if (desired?.subscribe && desired.byConfig && !named.has(path)) await this.unsubscribe(path)
    }
    for (const { path, key, from, peer } of subscriptions) if (owns(path)) await this.subscribe(key, { from, peer, byConfig: true })
  }

  /**
   * Lets a halted pool of ours go on. Its hypercore is rebuilt from the mirror as it is now. Peers that hold other blocks of it, or more, halt their copies.
   * @throws OverpoolError BAD_ARGUMENT: it is not halted
   */
  async resume(path: unknown): Promise<void> {
    const pool = await this.#ownPool(path, `${String(path)} is a peer's pool: \`sub\` tries it anew`)
    if (pool.halted === undefined) throw new OverpoolError('BAD_ARGUMENT', `"${pool.path}" is not halted`)
    await this.#update(pool.path, { halted: undefined, rebuild: true })
  }

  /**
   * Has the chain follower look for transactions for a pool of ours, beside those that the config names: those that pay to these scripts or addresses, or spend these outputs, become
   * its entries. A second call adds to the first.
   */
  async watch(path: unknown, wanted: Watch): Promise<void> {
    const pool = await this.#ownPool(path, `${String(path)} is a peer's pool: its publisher says what is in it`)
    if (pool.kind === 'chain')
      throw new OverpoolError('BAD_ARGUMENT', `the entries of "${pool.path}" come from the chain already: its \`grid\` says which`)
    new ChainFilter().add(optionsOf(wanted, 'watch')) // throws what is wrong
    const watch = joined(pool.watch ?? {}, wanted)
    await this.#update(pool.path, { watch })
    void this.#changed()
  }

  /** Asks for the repair of a pool's damaged blocks, ours or a peer's. The process that runs the machine carries it out, now or at its next start. */
  async repair(path: unknown): Promise<void> {
    const pool = await findPool(this.#deps.stores.control, path)
    await this.#update(pool.path, { repair: { damaged: pool.repair?.damaged, at: this.#deps.clock.now() } })
    void this.#changed()
  }

  /** A pool of ours, or BAD_ARGUMENT with this sentence. */
  async #ownPool(path: unknown, refusal: string): Promise<PoolControl> {
    const pool = await findPool(this.#deps.stores.control, path)
    if (pool.kind === 'peer') throw new OverpoolError('BAD_ARGUMENT', refusal)
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
 * The change that encrypts a pool's hypercore, or decrypts it; undefined if it stays as it is.
 * @throws OverpoolError BAD_ARGUMENT: the pool has been published as it is
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
