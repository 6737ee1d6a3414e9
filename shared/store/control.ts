import type { Watch } from '../chain/filter.ts'
import type { Block } from '../ledger/block.ts'
import type { PoolKind } from '../ledger/pool.ts'

/** What callers want for a pool in the network. They write it; the sidecar carries it out, now or at its next start. */
export interface DesiredState {
  /** publish our pool */
  publish?: boolean
  /** only to these machines: public keys, 64 hex */
  allow?: string[]
  /** when `allow` was last changed, ms since 1970; it only grows */
  allowedAt?: number
  /** its hypercore is encrypted */
  encrypt?: boolean
  /** how it has been published before: others may hold its blocks, so that cannot change */
  publishedAs?: 'clear' | 'encrypted'
  /** subscribe to the peer's pool */
  subscribe?: boolean
  /** the first entry of the subscription; 'now': the entries after the publisher's newest */
  from?: 'start' | 'now' | number
  /** the encryption key of the peer's pool, 64 hex. The blocks that it opens are stored in clear beside it */
  secret?: string
  /** public key of a machine to connect to directly, 64 hex */
  peer?: string
  /** the config asked for this subscription: it ends when the config no longer names it */
  byConfig?: boolean
}

/** A publisher's signature over a log of this length and tree hash. All hex. */
export interface Signed {
  length: number
  treeHash: string
  signature: string
  /** the public key that made the signature; the pool's key is a hash over it */
  signer: string
}

/** A text that a publisher has signed with its pool's key. */
export interface SignedText {
  text: string
  /** hex, as in `Signed` */
  signer: string
  signature: string
}

/** The state of a pool in the network, as last seen by the sidecar. */
export interface Network {
  /** when this was written, ms since 1970 */
  at: number
  /** a search in the DHT, as a stranger makes it, finds our announcement */
  announced: boolean
  /** when such a search last found it, ms since 1970 */
  verifiedAt?: number
  /** number of machines connected for this pool */
  peers: number
  /** why the network cannot be joined, or why a block does not arrive */
  problem?: string
  /** blocks that the publisher has signed, as far as we know */
  remoteLength?: number
  /** invalid blocks of the publisher that were passed over, their bytes since the last `sub`, and the fault of the last one */
  skipped?: number
  skippedBytes?: number
  lastSkipped?: string
  /** of a peer's pool: which machines may have it (sidecar/peers/terms.ts) */
  terms?: SignedText
}

/** Damaged blocks of a pool, and their repair. Callers ask for it; the sidecar carries it out. */
export interface Repair {
  /** the damaged block that halted the pool */
  damaged?: number
  /** when a repair was asked for, ms since 1970 */
  at?: number
  /** when it is done: how many blocks were put in place again, the numbers of those that could not be had anywhere, and where their damaged bytes are kept */
  done?: { repaired: number; lost: number[]; aside?: string }
}

/** How far a pool of the chain has come, as the follower last saw it. */
export interface ChainState {
  /** what the chain is read from */
  source?: string
  /** the newest block that was followed, and the time in it, ms since 1970 */
  height?: number
  blockAt?: number
  /** why it does not go on, and since when, ms since 1970 */
  problem?: string
  since?: number
}

/** What a pool was told to take from the chain: `filter` as text. */
export interface KeptGrid {
  from: number | 'now'
  filter: string
}

/** What is known of a pool beside its blocks. */
export interface PoolControl {
  path: string
  kind: PoolKind
  /** public key of its hypercore, 64 hex */
  key: string
  discoveryKey: string
  createdAt: number
  /** number of the first block whose effects may be unfinished. It may lag: after a restart some effects are repeated */
  checkpoint: number
  /** blocks in the hypercore, and its tree hash (64 hex) at that length, as last reported */
  coreLength: number
  treeHash?: string
  /** transactions on the chain that become entries of the pool, as was asked for while the machine ran */
  watch?: Watch
  /** an entry of the pool says something about a transaction's status; where none does, no status is looked up */
  hasStatuses?: true
  /** entries before this one are archived: `tail` and `read` leave them out, `get` and peers still find them */
  prunedBefore: number
  /** why the pool is halted, until an operator acts */
  halted?: string
  desired?: DesiredState
  /** how its posts are written, and whether payments are broadcast, as it was last set: posts may wait for a program that has not set it again yet */
  settings?: { unique?: 'transaction'; batchMs?: number; commits?: true; grid?: KeptGrid }
  /** its hypercore has to be rebuilt from the mirror */
  rebuild?: true
  /** a damage of its blocks, or their last repair */
  repair?: Repair
  network?: Network
  chain?: ChainState
  /** of a peer's pool: its publisher's signature over the mirror's blocks */
  signed?: Signed
  /** where a subscription begins, if not at the first entry */
  begins?: { block: number; seq: number }
}

/** Fields of a pool's control item that are kept as JSON. */
export const AS_JSON: ReadonlySet<string> = new Set<keyof PoolControl>([
  'desired',
  'settings',
  'rebuild',
  'repair',
  'network',
  'chain',
  'signed',
  'begins',
  'hasStatuses',
  'watch',
])

export type PoolPatch = Partial<Omit<PoolControl, 'path' | 'kind' | 'key' | 'discoveryKey' | 'createdAt'>>

/** A new pool. */
export type NewPool = Pick<PoolControl, 'path' | 'kind' | 'key' | 'discoveryKey' | 'createdAt'>

/** What is known of each pool beside its blocks. */
export interface Control {
  /** Creates the pool if it does not exist. Returns the stored item. */
  create(pool: NewPool): Promise<PoolControl>
  read(path: string): Promise<PoolControl | undefined>
  list(): Promise<PoolControl[]>
  /** Changes these fields and no others. `checkpoint` and `coreLength` never go back, and `treeHash` stays with its `coreLength`. */
  update(path: string, patch: PoolPatch): Promise<void>
  /**
   * For a pool whose core is rebuilt. It removes `rebuild` and what was reported of the core. If the mirror was shortened, it also sets back what goes past `last`, the newest
   * block: the checkpoint, `prunedBefore`, the cursors and dead letters of handlers. Nothing else sets them back. The statuses of its transactions are forgotten: the effects of
   * its blocks bring them again.
   */
  beginAnew(path: string, last: Block | undefined): Promise<void>
}

/** The stored names of fields that have been renamed. */
export const STORED_NAMES: Partial<Record<keyof PoolControl, string>> = { desired: 'wanted' }

/** The kind of a pool that was stored without one. A peer's pool is named by its public key, 64 hex; our names have at most 63 characters. */
export function kindByName(path: string): PoolKind {
  return /^[0-9a-f]{64}$/.test(path) ? 'peer' : 'own'
}
