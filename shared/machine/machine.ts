import type { Watch } from '../chain/filter.ts'
import type { TxEvent } from '../ledger/event.ts'
import type { StateOptions, StateView } from '../state/view.ts'
import type { Run, RunsQuery } from '../store/runs.ts'
import type { Broadcast, Broadcastable, BroadcastOptions } from './commit.ts'
import type { MachineControl, PublishOptions, SubscribeOptions } from './control.ts'
import type { InvoiceCalls } from './invoices.ts'
import { optionsOf } from './options.ts'
import type { AncestorTransaction, EventOfKinds, GetOptions, Kinds, LedgerPools, PruneOptions, ReadOptions, TailOptions } from './pools.ts'
import type { Posted, PostOptions } from './post.ts'
import { type PoolStatus, statusOf } from './status.ts'

/** A machine, wherever it runs: in this process, in another one beside a folder, or on AWS. */
export interface Machine {
  /** its pools: to read and to post */
  readonly pools: LedgerPools
  /** the desired state of its pools */
  readonly control: MachineControl
  /** The public key by which other machines know this one, 64 hex. */
  id(): Promise<string>
  /** Resolves when the DHT has accepted the announcement of a published pool. BAD_ARGUMENT if it is not published. */
  announced(path: unknown): Promise<void>
  /** What the key of the machine's paywalls is made of (shared/paywall/payee.ts). Its holder can spend what was paid to them. */
  paySecret(): Promise<string>
  /** The runs of handlers on the entries of a pool, the newest first, as far as they are still kept. */
  runs(query: RunsQuery): Promise<Run[]>
  close(): Promise<void>
}

export interface PubOptions extends PublishOptions {
  path: string
}

export interface WatchOptions extends Watch {
  path: string
}

export interface SubOptions extends Omit<SubscribeOptions, 'byConfig'> {
  /** what the publisher's `pub` returned */
  path: string
}

/** The pools of a machine, as handlers and programs use them. */
export interface Pools {
  /**
   * Posts a payment; resolves when it is durable. Inside a handler it is a consequence of the entry that the handler runs on: if the handler runs again, the post is not
   * made twice.
   */
  post(options: PostOptions): Promise<Posted>
  /**
   * Asks for transactions to be broadcast, in this order: entries, or transactions of any form. Resolves when the request is durable; what becomes of each is recorded in the
   * pool. Inside a handler the request is made once, however often the handler runs.
   */
  broadcast(what: Broadcastable | readonly Broadcastable[], options?: BroadcastOptions): Promise<Broadcast>
  /** Invoices: `invoice({ path, amount, memo })` makes one, `invoice.get`, `.list` and `.cancel` ask after them. */
  readonly invoice: InvoiceCalls
  /** The oldest entry of a transaction, or with `id` the one with this id; ENTRY_NOT_FOUND if there is none. */
  get(options: GetOptions): Promise<TxEvent>
  /** The newest transactions, oldest first; ten unless `size` says otherwise. With `kinds`, entries of these kinds. */
  tail(options: TailOptions): Promise<TxEvent[]>
  tail<K extends Kinds>(options: TailOptions & { kinds: K }): Promise<EventOfKinds<K>[]>
  /** The transactions from `from` up to, and without, `to`. With `kinds`, entries of these kinds. */
  read(options: ReadOptions): AsyncGenerator<TxEvent, void>
  read<K extends Kinds>(options: ReadOptions & { kinds: K }): AsyncGenerator<EventOfKinds<K>, void>
  /** The entry of a transaction, then its cause, and so on back to where the loop began, or as far as this machine has the entries. */
  trail(options: { path: string; hash: string }): AsyncGenerator<TxEvent, void>
  /** What a transaction of a pool spends from, and what that spends from in turn, as far as wallets have sent it along (BEEF): parents before children. */
  ancestors(options: { path: string; hash: string }): Promise<AncestorTransaction[]>
  /** The state of a handler: `(await pool.state({ handler: 'main', path: 'mypool' })).get('balance')`. */
  state(options: StateOptions): Promise<StateView>
  /** Archives the entries of a pool: `tail` and `read` begin after them, `get` still finds them. */
  prune(pool: string | { path: string }, options?: PruneOptions): Promise<void>
  /**
   * Has the chain follower look for transactions that pay to these scripts or addresses, or spend these outputs: they become entries of the pool, whoever broadcast them. A second
   * call adds to the first. It needs `bitcoin.chain`.
   */
  watch(options: WatchOptions): Promise<void>
  /** Publishes a pool under its public key; resolves to what others subscribe to. The announcement goes on in the background. */
  pub(options: PubOptions): Promise<string>
  /** Stops publishing a pool. Machines that have entries of it keep them. */
  unpub(options: { path: string }): Promise<void>
  /** Subscribes to a peer's pool: handlers run on its entries; `get`, `tail` and `read` find it by its public key. */
  sub(options: SubOptions): Promise<{ path: string; key: string }>
  /** Ends a subscription. Its entries stay; a later `sub` goes on from there. */
  unsub(options: { path: string }): Promise<void>
  /** The machine's pools and subscriptions, and their state in the network. */
  status(): Promise<PoolStatus[]>
}

/** The pools of a machine, as its handlers get them. */
export function poolsOf({ pools, control }: Pick<Machine, 'pools' | 'control'>): Pools {
  return {
    post: (options) => pools.post(options),
    broadcast: (what, options) => pools.broadcast(what, options),
    invoice: pools.invoice,
    get: (options) => pools.get(options),
    tail: (options: TailOptions) => pools.tail(options) as Promise<never[]>,
    read: (options: ReadOptions) => pools.read(options) as AsyncGenerator<never, void>,
    trail: (options) => pools.trail(options),
    ancestors: (options) => pools.ancestors(options),
    state: (options) => pools.state(options),
    prune: (pool, options) => pools.prune(pool, options),
    watch: async (options) => {
      const { path, ...wanted } = optionsOf(options, 'watch')
      return control.watch(path, wanted)
    },
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
