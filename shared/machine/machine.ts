import type { MachineControl, PublishOptions, SubscribeOptions } from './control.ts'
import type { TxEvent } from './event.ts'
import { optionsOf } from './options.ts'
import type { EventOfKinds, Kinds, LedgerPools, ReadOptions, TailOptions } from './pools.ts'
import type { Posted, PostOptions } from './post.ts'
import { type PoolStatus, statusOf } from './status.ts'

/** A machine, wherever it runs: in this process, in another one beside a folder, or on AWS. */
export interface Machine {
  /** what is in its pools, and a way to post */
  readonly pools: LedgerPools
  /** what is wanted of them */
  readonly control: MachineControl
  /** The public key by which other machines know this one, 64 hex. */
  id(): Promise<string>
  /** Resolves when the network has taken the announcement of a published pool. BAD_ARGUMENT if it is not published. */
  announced(path: unknown): Promise<void>
  close(): Promise<void>
}

export interface PubOptions extends PublishOptions {
  path: string
}

export interface SubOptions extends Omit<SubscribeOptions, 'byConfig'> {
  /** what the publisher's `pub` gave */
  path: string
}

/** The pools of a machine, as handlers and programs use them. */
export interface Pools {
  /**
   * Posts a payment; resolves when it is held durably. Inside a handler it is a consequence of the entry that the handler was called with: run again, the
   * handler posts it no second time.
   */
  post(options: PostOptions): Promise<Posted>
  /** The oldest entry of a transaction, or ENTRY_NOT_FOUND. */
  get(options: { path: string; hash: string }): Promise<TxEvent>
  /** The newest transactions, oldest first; ten unless `size` says otherwise. With `kinds`, entries of these kinds. */
  tail(options: TailOptions): Promise<TxEvent[]>
  tail<K extends Kinds>(options: TailOptions & { kinds: K }): Promise<EventOfKinds<K>[]>
  /** The transactions from `from` up to, and without, `to`. With `kinds`, entries of these kinds. */
  read(options: ReadOptions): AsyncGenerator<TxEvent, void>
  read<K extends Kinds>(options: ReadOptions & { kinds: K }): AsyncGenerator<EventOfKinds<K>, void>
  /** The entry of a transaction, the one whose handler posted it, and so on to where the loop began, or as far as this machine sees. */
  trail(options: { path: string; hash: string }): AsyncGenerator<TxEvent, void>
  /** Archives what a pool holds: `tail` and `read` begin after it, `get` still finds it. */
  prune(pool: string | { path: string }): Promise<void>
  /** Publishes a pool under its public key; resolves to what others subscribe to. The announcement goes on in the background. */
  pub(options: PubOptions): Promise<string>
  /** Publishes it no more. Who has entries of it keeps them. */
  unpub(options: { path: string }): Promise<void>
  /** Follows a peer's pool: handlers run on its entries; `get`, `tail` and `read` know it by its public key. */
  sub(options: SubOptions): Promise<{ path: string; key: string }>
  /** Follows it no more. What has come stays; `sub` goes on from there. */
  unsub(options: { path: string }): Promise<void>
  /** The pools of this machine and those that it follows, with how they stand in the network. */
  status(): Promise<PoolStatus[]>
}

/** The pools of a machine, as its handlers get them. */
export function poolsOf({ pools, control }: Pick<Machine, 'pools' | 'control'>): Pools {
  return {
    post: (options) => pools.post(options),
    get: (options) => pools.get(options),
    tail: (options: TailOptions) => pools.tail(options) as Promise<never[]>,
    read: (options: ReadOptions) => pools.read(options) as AsyncGenerator<never, void>,
    trail: (options) => pools.trail(options),
    prune: (pool) => pools.prune(pool),
    pub: async (options) => {
      const { path, ...publish } = optionsOf(options, 'pub')
      return control.publish(path, publish)
    },
    unpub: async (options) => control.unpublish(optionsOf(options, 'unpub').path),
    sub: async (options) => {
      const { path: published, ...subscribe } = optionsOf(options, 'sub')
      const { path, key } = await control.subscribe(published, subscribe)
      return { path, key }
    },
    unsub: async (options) => control.unsubscribe(optionsOf(options, 'unsub').path),
    status: () => statusOf(pools),
  }
}
