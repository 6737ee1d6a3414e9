/** 64 hex characters: what makes two posts "the same post". */
export type EntryId = string & { readonly __brand: 'EntryId' }

/** What an entry records (docs/design.md, Records of kinds). */
export type Kind = 'tx' | 'commit' | 'status' | 'block' | 'reorg' | 'invoice'

export const KINDS: readonly Kind[] = ['tx', 'commit', 'status', 'block', 'reorg', 'invoice']

/** The kinds that handlers can be called with, and that followers may see. */
export type HandledKind = Exclude<Kind, 'commit'>

export const HANDLED_KINDS: readonly HandledKind[] = ['tx', 'status', 'block', 'reorg', 'invoice']

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

/** What a payment is to the invoice that it pays; or what has become of an invoice without a payment. */
export interface EntryInvoice {
  /** of the invoice */
  id: string
  /**
   * Of a payment: `paid` or `overpaid`: it has turned the invoice to paid, and no other entry has. `underpaid`, `late`, `second`, `cancelled`: it is recorded, and has not. Of an
   * invoice: `cancelled` or `expired`.
   */
  state: string
  /** satoshis that the payment pays to what was asked; of an invoice, those that had come */
  received: number
  /** an output that was asked for goes to a script that others may be asked for as well */
  isShared?: true
  /** txid of a payment that came before and spends the same output. It is the same money: nothing is to be given back. Its own txid, if this money has paid another invoice */
  copyOf?: string
  /** the `data` of the invoice */
  data?: unknown
}

/** A transaction: a payment, or one that the chain follower found. */
export interface TxEntry extends CommonFields {
  kind: 'tx'
  source: Source
  tx: Uint8Array
  payment: PaymentFields
  /** a wallet has sent something along with it (BEEF, extended format): the machine that took it has that */
  along?: true
  /** what it is to the invoice that it pays */
  invoice?: EntryInvoice
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
  /** of a rejected or double-spent one: nothing is asked or sent any more */
  final?: true
  /** of one that was mined: hash of the block that the chain took back */
  undone?: string
  /** why it was refused, or is not sent yet */
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

/** What has become of an invoice without a payment: it was cancelled, or its time is over. */
export interface InvoiceEntry extends CommonFields {
  kind: 'invoice'
  invoice: EntryInvoice
}

/** An entry of an unknown kind, or from an unknown source. It is stored and replicated like all others; handlers do not get it. */
export interface UnknownEntry extends CommonFields {
  kind: 'unknown'
  /** the name of its kind */
  named: string
  /** its other fields */
  fields: Record<string, unknown>
}

export type Entry = TxEntry | CommitEntry | StatusEntry | BlockEntry | ReorgEntry | InvoiceEntry | UnknownEntry
