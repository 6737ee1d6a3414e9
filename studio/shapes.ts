import type { InvoiceView } from '../shared/invoice/view.ts'
import type { EntryInvoice } from '../shared/ledger/kinds.ts'
import type { PoolKind } from '../shared/ledger/pool.ts'
import type { Run } from '../shared/store/runs.ts'

// What the studio's server says to its page, as JSON. Both sides compile against it. Times are in ms since 1970.

/** The machine at one moment: each line of `live`, and the answer of `overview`. */
export interface Overview {
  at: number
  /** whether the machine runs, or is only looked at in its folder */
  isRunning: boolean
  /** which machine this is: its folder, or the name of its stack */
  place: string
  /** the addresses of its doors */
  doors: string[]
  /** posts on their way into the ledger */
  ingress: { waiting: number; inFlight: number }
  pools: PoolRow[]
  chain: ChainRow[]
  /** what an operator has to look at, a sentence each */
  problems: string[]
}

export interface PoolRow {
  path: string
  /** public key, 64 hex */
  key: string
  kind: PoolKind
  entries: number
  /** entries before this one are archived */
  prunedBefore: number
  createdAt: number
  halted?: string
  published?: boolean
  subscribed?: boolean
  encrypted?: boolean
  /** machines that are connected for it */
  peers?: number
  announced?: boolean
  /** when a search in the DHT last found it */
  verifiedAt?: number
  /** blocks of a subscription that are not here yet */
  behind?: number
  networkProblem?: string
  handlers: HandlerRow[]
}

export interface HandlerRow {
  handler: string
  done: number
  /** entries that wait for it */
  waiting: number
  /** when the oldest of them was accepted */
  since?: number
  /** failed attempts at the next entry */
  attempts?: number
  /** why it stopped, and at which entry */
  stopped?: string
  stoppedAt?: number
  /** why an operator has paused it, and since when */
  paused?: string
  pausedAt?: number
  /** how many entries it gave up */
  dead: number
}

/** How far the machine has followed the chain. */
export interface ChainRow {
  path: string
  /** what it is read from */
  source?: string
  /** the newest block that was followed, and the time in it */
  height?: number
  blockAt?: number
  /** why it does not go on, and since when */
  problem?: string
  since?: number
  halted?: string
}

/** An entry as a line of a list. */
export interface EntryRow {
  seq: number
  at: number
  kind: string
  id: string
  source: string
  hops: number
  /** of a transaction */
  txid?: string
  status?: string
  height?: number
  memo?: string
  /** what its data output pushes, as text */
  data?: string
  /** all outputs together */
  satoshis?: number
  bytes?: number
  invoice?: Pick<EntryInvoice, 'id' | 'state'>
  /** of an entry of another kind: what it says */
  says?: string
}

/** Entries in the order of their numbers; `end` is the number of the next one that the pool gets. */
export interface EntriesPage {
  end: number
  begin: number
  rows: EntryRow[]
}

/** Matches, the newest first. */
export interface FoundPage {
  end: number
  rows: EntryRow[]
  /** the search goes on before this entry; absent: it has seen all */
  before?: number
}

/** Where a transaction or an entry id was found. */
export interface Found {
  path: string
  seq: number
}

/** An opcode or a push of a script. */
export interface ScriptPart {
  op?: string
  /** a push: its first bytes, hex, its length, and its text if it is one */
  hex?: string
  bytes?: number
  text?: string
  /** this many bytes of the script are not shown */
  cut?: number
}

export interface InputShape {
  txid: string
  vout: number
  sequence: number
  address?: string
  script: ScriptPart[]
}

export interface OutputShape {
  satoshis: number
  address?: string
  bytes: number
  script: ScriptPart[]
}

/** What was said of a transaction's status. */
export interface StatusStep {
  seq: number
  at: number
  status: string
  height?: number
  blockHash?: string
  reason?: string
  by?: string
  final?: true
  undone?: string
  isProven: boolean
}

export interface ProofShape {
  height?: number
  blockHash?: string
  /** place in the block */
  index?: number
  /** the Merkle root that the path leads to */
  root: string
  /** whether that is the root in the header of the block, as this machine has checked it; absent: it has no such header */
  isRoot?: boolean
  /** BUMP (BRC-74), hex */
  bump: string
}

export interface EntryShape extends EntryRow {
  path: string
  key: string
  cause?: { key: string; seq: number; path?: string }
  payment?: { merchantData?: string; refundTo?: string }
  inputs?: InputShape[]
  outputs?: OutputShape[]
  /** of how many, where not all are shown */
  inputCount?: number
  outputCount?: number
  version?: number
  lockTime?: number
  /** what it is now, and why */
  reason?: string
  by?: string
  isProven?: boolean
  history?: StatusStep[]
  /** the history was not searched to its end */
  isHistoryCut?: true
  proof?: ProofShape
  /** the whole invoice field of the entry, and of another kind its fields, as JSON */
  fields?: string
}

/** A part of an entry's transaction. */
export interface BytesPage {
  from: number
  size: number
  hex: string
}

/** An entry in the graph of causes and consequences. */
export interface TrailNode {
  path: string
  key: string
  seq: number
  at: number
  kind: string
  txid?: string
  label: string
  /** place of the entry that it was posted for among the nodes; absent: it has none, or that one is not here */
  parent?: number
}

export interface Trail {
  nodes: TrailNode[]
  /** place of the entry that was asked for */
  root: number
  /** it has a cause that this machine does not have */
  isCauseElsewhere: boolean
  /** later entries were not all looked at */
  isCut: boolean
}

export interface DeadRow {
  path: string
  handler: string
  seq: number
  error: string
  attempts: number
  at: number
}

/** What handlers gave up, the newest first. */
export interface DeadPage {
  rows: DeadRow[]
  /** how many there are: not all may be shown */
  total: number
  stopped: { path: string; handler: string; seq: number; error: string }[]
}

/** What becomes of transactions, and who this machine is. */
export interface NetworkPage {
  ids: string[]
  broadcasts: boolean
  /** transactions that the network has not settled, the first ones */
  open: { path: string; txid: string; seq: number; status: string; by?: string; reason?: string }[]
  problems: string[]
}

export type InvoiceRow = Pick<InvoiceView, 'id' | 'url' | 'state' | 'due' | 'received' | 'memo' | 'createdAt' | 'expiresAt' | 'payment'>

/** Runs of handlers on the entries of a pool, the newest first. */
export interface RunsPage {
  /** whether this machine keeps runs at all */
  isKept: boolean
  rows: Run[]
  /** how many runs were looked at for these */
  looked: number
  /** there may be older ones, which were not looked at */
  isCut: boolean
}

/** A key of a state; `json` is its value as one line of JSON, cut. */
export interface StateRow {
  key: string
  json: string
}

/** What a handler remembers, in the order of the keys. */
export interface StatePage {
  /** one state for all pools of the handler */
  isShared: boolean
  /** how often the handler has committed changes */
  version: number
  rows: StateRow[]
  /** there are more keys after the last one */
  isMore: boolean
}

/** The value of one key as JSON; absent: the key is not there. */
export interface StateValue {
  key: string
  json?: string
}

/** A change of a state; a value that is absent was not there. */
export interface ChangeRow {
  version: number
  key: string
  /** the pool and the entry at which the handler made it */
  pool: string
  seq: number
  before?: string
  after?: string
}

export interface Said {
  /** a sentence about what was done */
  says: string
}

export interface Refused {
  code: string
  message: string
}
