/** 64 hex characters: what makes two posts "the same post". */
export type EntryId = string & { readonly __brand: 'EntryId' }

/** What an entry records (docs/design.md, Records of kinds). */
export type Kind = 'tx' | 'commit' | 'status' | 'block' | 'reorg'

export const KINDS: readonly Kind[] = ['tx', 'commit', 'status', 'block', 'reorg']

/** Where a transaction came from. */
export type Source = 'http' | 'api' | 'handler' | 'mempool' | 'chain'

/** The entry whose handler posted this one: the public key of its pool (64 hex) and its sequence number. */
export interface Cause {
  key: string
  seq: number
}

/** The Payment fields of BIP270 besides `transaction`, those that were present. */
export interface PaymentFields {
  merchantData?: unknown
  refundTo?: unknown
  memo?: string
}

/** What entries of every kind have. The sequence number of an entry is its place: the block's `first` plus its index. */
export interface CommonFields {
  id: EntryId
  /** when it was accepted, ms since 1970 */
  at: number
  source: string
  cause?: Cause
  /** posts between this entry and the one that began the loop; 0 for an entry without a cause */
  hops: number
  /** fields that a later version wrote: stored, and otherwise ignored */
  unknown?: Record<string, unknown>
}

/** A transaction: a payment, or one that the chain follower found. */
export interface TxEntry extends CommonFields {
  kind: 'tx'
  source: Source
  tx: Uint8Array
  payment: PaymentFields
  /** of one on the chain: its block's height and hash (64 hex), its place in the block, its Merkle path (BUMP, BRC-74) */
  height?: number
  blockHash?: string
  index?: number
  proof?: Uint8Array
}

/** A transaction to be broadcast: one of this machine's pools, or raw. */
export type Committed = { txid: string; seq?: number } | { tx: Uint8Array }

/** A request to broadcast transactions, in this order. */
export interface CommitEntry extends CommonFields {
  kind: 'commit'
  of: Committed[]
}

/** What became of a transaction. */
export interface StatusEntry extends CommonFields {
  kind: 'status'
  /** the transaction, and its entry in this pool if it has one */
  of: { txid: string; seq?: number }
  status: string
  height?: number
  blockHash?: string
  proof?: Uint8Array
  /** why it was refused */
  reason?: string
  /** the service that said so */
  by?: string
}

/** A block of the chain. */
export interface BlockEntry extends CommonFields {
  kind: 'block'
  height: number
  /** 64 hex */
  hash: string
  /** 80 bytes */
  header: Uint8Array
  /** transactions of the block that are in this pool */
  count: number
}

/** A place on the chain; the hash is 64 hex. */
export interface ChainPlace {
  height: number
  hash: string
}

/** The chain took blocks back. */
export interface ReorgEntry extends CommonFields {
  kind: 'reorg'
  /** the tip that was left */
  from: ChainPlace
  /** the last block that both chains have */
  to: ChainPlace
  /** hashes of the blocks that were taken back, the newest first */
  undone: string[]
}

/** An entry of an unknown kind, or from an unknown source. It is stored and replicated like all others; handlers do not get it. */
export interface UnknownEntry extends CommonFields {
  kind: 'unknown'
  /** the name of its kind */
  named: string
  /** its other fields */
  fields: Record<string, unknown>
}

export type Entry = TxEntry | CommitEntry | StatusEntry | BlockEntry | ReorgEntry | UnknownEntry
