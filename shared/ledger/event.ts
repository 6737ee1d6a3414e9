import { inspect } from 'node:util'
import { type DataPush, dataOf, type Parsed, parseTransaction, type ScannedTransaction, scanTransaction } from '../transaction/index.ts'
import type {
  BlockEntry,
  CommitEntry,
  CommonFields,
  Entry,
  EntryId,
  InvoiceEntry,
  Kind,
  PaymentFields,
  ReorgEntry,
  Source,
  StatusEntry,
  TxEntry,
  UnknownEntry,
} from './kinds.ts'
import { type KeptStatus, LOCAL, statusIn, type TxStatus } from './status.ts'
import { hex } from './values.ts'

/** The BIP270 Payment, `transaction` in hex. */
export interface Payment extends PaymentFields {
  transaction: string
}

/** What events of every kind have. */
interface CommonEvent extends Omit<CommonFields, 'unknown'> {
  /** name of the pool, or the public key of a peer's */
  path: string
  /** public key of the pool, 64 hex */
  key: string
  /** place in the pool: 0, 1, 2 … */
  seq: number
  id: EntryId
}

/** An entry that records a transaction, with what has become of it, as far as the pool knew when the event was made. `path`, `key`, `hash`, `payment` and `parsed` are those of the original Overpool. */
export interface TxEvent extends CommonEvent, TxStatus, Pick<TxEntry, 'index' | 'proof' | 'invoice'> {
  kind: 'tx'
  source: Source
  /** txid, 64 hex */
  hash: string
  payment: Payment
  /** the transaction in BPU/TXO shape, computed when first read */
  parsed: Parsed
  /** the pushes of the first data output (OP_RETURN), none if there is no such output; computed when first read, and not shown by console.log and JSON.stringify */
  data: DataPush[]
}

type EventOf<Of extends Entry> = CommonEvent & Omit<Of, 'unknown'>

/** An entry that asks for transactions to be broadcast. */
export type CommitEvent = EventOf<CommitEntry>
/** An entry that records what became of a transaction. */
export type StatusEvent = EventOf<StatusEntry>
/** An entry that records a block of the chain. */
export type BlockEvent = EventOf<BlockEntry>
/** An entry that records that the chain took blocks back. */
export type ReorgEvent = EventOf<ReorgEntry> & {
  /** to a handler with `undo`: keys of its state that the undone entries had changed, and later entries too, so that they were left as they are */
  kept?: string[]
}
/** An entry that records what has become of an invoice without a payment. */
export type InvoiceEvent = EventOf<InvoiceEntry>
/** An entry of a kind that this program does not know. */
export type UnknownEvent = CommonEvent & Pick<UnknownEntry, 'kind' | 'named'>

interface Events {
  tx: TxEvent
  commit: CommitEvent
  status: StatusEvent
  block: BlockEvent
  reorg: ReorgEvent
  invoice: InvoiceEvent
  unknown: UnknownEvent
}

/** An entry of a pool, as programs and handlers get it. */
export type LedgerEvent = Events[keyof Events]

/** The events of some kinds. */
export type EventOfKind<K extends Kind | 'unknown'> = Events[K]

interface PoolName {
  path: string
  key: string
}

/** The event of an entry of any kind. @param status the newest of its transaction, if the pool knows one */
export function eventOf(pool: PoolName, seq: number, entry: Entry, status?: KeptStatus): LedgerEvent {
  switch (entry.kind) {
    case 'tx':
      return txEventOf(pool, seq, entry, status)
    case 'unknown': {
      const { fields: _fields, unknown: _unknown, ...rest } = entry
      return { path: pool.path, key: pool.key, seq, ...rest }
    }
    default: {
      const { unknown: _, ...rest } = entry
      return { path: pool.path, key: pool.key, seq, ...rest }
    }
  }
}

/**
 * The event of a transaction. `hash`, `payment` and `parsed` are computed when they are first read. Otherwise they are ordinary properties: console.log and
 * JSON.stringify show them, and a program may write to them, as in the original.
 */
export function txEventOf(pool: PoolName, seq: number, entry: TxEntry, newest?: KeptStatus): TxEvent {
  const { kind, id, at, source, cause, hops, invoice, blockHash, index, proof } = entry
  const status = shownStatus(newest) ?? ownWord(pool, entry) ?? LOCAL
  let scanned: ScannedTransaction | undefined
  let hash: string | undefined
  let payment: Payment | undefined
  let parsed: Parsed | undefined
  const scan = () => (scanned ??= scanTransaction(entry.tx))
  let data: DataPush[] | undefined
  const event: Omit<TxEvent, 'data'> = {
    path: pool.path,
    key: pool.key,
    kind,
    get hash() {
      return (hash ??= scan().txid)
    },
    set hash(value) {
      hash = value
    },
    seq,
    id,
    at,
    source,
    ...(cause && { cause }),
    hops,
    ...(invoice && pool.path !== pool.key && { invoice }), // a peer's invoices are not ours
    ...status,
    ...(blockHash !== undefined && blockHash === status.blockHash && { index, proof }),
    get payment() {
      return (payment ??= { transaction: hex(entry.tx), ...entry.payment })
    },
    set payment(value) {
      payment = value
    },
    get parsed() {
      return (parsed ??= parseTransaction(scan()))
    },
    set parsed(value) {
      parsed = value
    },
  }
  const whole = Object.defineProperty(event as TxEvent, 'data', {
    configurable: true,
    get: () => (data ??= dataOf(scan())),
    set(value: DataPush[]) {
      data = value
    },
  })
  return showGetters(whole)
}

/** What an entry from the chain says of itself. A peer's word for a proof is no proof: its pool is named by its key. */
function ownWord({ path, key }: PoolName, entry: TxEntry): TxStatus | undefined {
  const status = statusIn(entry)
  if (path !== key || !status) return status
  const { proven: _, ...heard } = status
  return heard
}

function shownStatus(kept: KeptStatus | undefined): TxStatus | undefined {
  if (!kept) return undefined
  const { txid: _txid, seq: _seq, ...status } = kept
  return status
}

/** Has console.log show the values of an object's getters; otherwise it shows `[Getter/Setter]`. */
export function showGetters<T extends object>(object: T): T {
  return Object.defineProperty(object, inspect.custom, { value: show })
}

function show(this: object): object {
  return { ...this }
}
