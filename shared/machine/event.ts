import { inspect } from 'node:util'
import { type Cause, type Entry, type EntryId, hex, type PaymentFields, type Source } from '../ledger/entry.ts'
import { type Parsed, parseTransaction, type ScannedTransaction, scanTransaction } from '../transaction/index.ts'

/** The BIP270 Payment, `transaction` in hex. */
export interface Payment extends PaymentFields {
  transaction: string
}

/** What a `tx` handler is called with: an entry of a pool. `path`, `key`, `hash`, `payment` and `parsed` are those of the original Overpool. */
export interface TxEvent {
  /** name of the pool, or the public key of a peer's */
  path: string
  /** public key of the pool, 64 hex */
  key: string
  /** txid, 64 hex */
  hash: string
  /** place in the pool: 0, 1, 2 … */
  seq: number
  id: EntryId
  /** when it was posted, ms since 1970 */
  at: number
  source: Source
  /** the entry whose handler posted this one */
  cause?: Cause
  /** posts since the one that began the loop */
  hops: number
  payment: Payment
  /** the transaction in BPU/TXO shape, computed when first read */
  parsed: Parsed
}

/**
 * The event of an entry. `hash`, `payment` and `parsed` are computed when first read; else they are like the rest, to console.log and to JSON.stringify, and
 * to a program that writes into its event, as it could in the original.
 */
export function eventOf(pool: { path: string; key: string }, seq: number, entry: Entry): TxEvent {
  let scanned: ScannedTransaction | undefined
  let hash: string | undefined
  let payment: Payment | undefined
  let parsed: Parsed | undefined
  const scan = () => (scanned ??= scanTransaction(entry.tx))
  const event: TxEvent = {
    path: pool.path,
    key: pool.key,
    get hash() {
      return (hash ??= scan().txid)
    },
    set hash(value) {
      hash = value
    },
    seq,
    id: entry.id,
    at: entry.at,
    source: entry.source,
    ...(entry.cause && { cause: entry.cause }),
    hops: entry.hops,
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
  return Object.defineProperty(event, inspect.custom, { value: show })
}

// console.log would show `[Getter]`
function show(this: TxEvent): object {
  return { ...this }
}
