import type { Block } from '../ledger/block.ts'
import type { PoolKind } from '../ledger/pool.ts'

/** What callers want of the network for a pool. They write it; the sidecar does it, now or when it runs again. */
export interface DesiredState {
  /** our pool is offered to the network */
  publish?: boolean
  /** and only to these machines, by their public keys (64 hex) */
  allow?: string[]
  /** its hypercore is encrypted */
  encrypt?: boolean
  /** it has been offered so before: once somebody may hold blocks of it, that cannot be changed */
  publishedAs?: 'clear' | 'encrypted'
  /** the peer's pool is followed */
  subscribe?: boolean
  /** the first entry that is followed; 'now': what comes after the publisher's newest */
  from?: 'start' | 'now' | number
  /** the encryption key of the peer's pool, 64 hex: what it opens lies beside it in clear */
  secret?: string
  /** public key of a machine to go to straight, 64 hex */
  peer?: string
  /** said by the config, which may unsay it */
  byConfig?: boolean
}

/** What a publisher has signed: a log of this length and tree hash. All hex. */
export interface Signed {
  length: number
  treeHash: string
  signature: string
  /** the public key that made the signature; the pool's key is a hash over it */
  signer: string
}

/** How a pool stands in the network, as last seen by the sidecar. */
export interface Network {
  /** when this was written, ms since 1970 */
  at: number
  /** the DHT has taken our announcement */
  announced: boolean
  /** machines that are connected for this pool */
  peers: number
  /** why there is no network, if there is none */
  problem?: string
  /** blocks that the publisher has signed, as far as we have heard */
  remoteLength?: number
  /** blocks of the publisher's that were passed over because they are no blocks, and what was wrong with the last of them */
  skipped?: number
  lastSkipped?: string
}

/** What is known of a pool beside its blocks. */
export interface PoolControl {
  path: string
  kind: PoolKind
  /** public key of its hypercore, 64 hex */
  key: string
  discoveryKey: string
  createdAt: number
  /** effects of all blocks before this one are done; it may lag, that costs a redo */
  checkpoint: number
  /** blocks in the hypercore, and its tree hash (64 hex) at that length, as last reported */
  coreLength: number
  treeHash?: string
  /** entries before this one are archived: `tail` and `read` leave them out, `get` and peers still find them */
  prunedBefore: number
  /** why nothing is appended to this pool any more, until an operator acts */
  halted?: string
  desired?: DesiredState
  /** its hypercore, which nobody else has seen, has to be made again from the mirror: encrypted, or in clear */
  rebuild?: true
  network?: Network
  /** a peer's pool: what its publisher has signed of what is in the mirror */
  signed?: Signed
  /** a peer's pool that is not followed from its first entry: where it begins */
  begins?: { block: number; seq: number }
}

/** Fields of a pool's control item that are kept as JSON. */
export const AS_JSON: ReadonlySet<string> = new Set<keyof PoolControl>(['desired', 'rebuild', 'network', 'signed', 'begins'])

export type PoolPatch = Partial<Omit<PoolControl, 'path' | 'kind' | 'key' | 'discoveryKey' | 'createdAt'>>

/** A new pool. */
export type NewPool = Pick<PoolControl, 'path' | 'kind' | 'key' | 'discoveryKey' | 'createdAt'>

/** What is known of each pool beside its blocks. */
export interface Control {
  /** Makes the pool if there is none; answers with what stands. */
  create(pool: NewPool): Promise<PoolControl>
  read(path: string): Promise<PoolControl | undefined>
  list(): Promise<PoolControl[]>
  /** Changes these fields and no others. `checkpoint` and `coreLength` never go back, and `treeHash` stays with its `coreLength`. */
  update(path: string, patch: PoolPatch): Promise<void>
  /**
   * For a pool whose core is to be made again: removes `rebuild`, what was reported of the core, and all that is written of blocks after `last`, its newest, if the
   * mirror was shortened: the checkpoint, the cursors and dead letters of its handlers, `prunedBefore`. Nothing else makes them go back.
   */
  beginAnew(path: string, last: Block | undefined): Promise<void>
}

/** The names under which stores keep fields that were renamed since. */
export const STORED_NAMES: Partial<Record<keyof PoolControl, string>> = { desired: 'wanted' }

/** What a pool is that was stored before that was a field: a peer's pool is named by its public key, 64 hex; ours have names of at most 63 characters. */
export function kindByName(path: string): PoolKind {
  return /^[0-9a-f]{64}$/.test(path) ? 'peer' : 'own'
}
