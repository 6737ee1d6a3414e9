import type { Invoice, InvoiceClaim, WatchedInvoice } from '../invoice/invoice.ts'
import type { EntryId, EntryInvoice } from '../ledger/kinds.ts'

/** A payment of an invoice that has not turned it to paid. */
export interface OtherPayment extends Omit<EntryInvoice, 'id' | 'data'> {
  entry: EntryId
  txid: string
  /** ms since 1970 */
  at: number
}

/** Whether an invoice is paid, or cancelled, so far. */
export interface Standing {
  claim?: InvoiceClaim
  /** ms since 1970 */
  cancelledAt?: number
}

export interface InvoiceRecord extends Standing {
  invoice: Invoice
  /** the oldest first */
  others: OtherPayment[]
}

/** When an invoice expires. */
export interface Expiry {
  pool: string
  /** of the invoice */
  id: string
  /** ms since 1970 */
  at: number
}

/** Invoices and what was paid of them. A request that is not kept comes in with its first payment. */
export interface Invoices {
  /** The number of the next key below `receive`, 0 the first time. Each is given out once. */
  nextKey(): Promise<number>
  /** Keeps an invoice. One with this id that is there already stays as it is. */
  make(invoice: Invoice): Promise<void>
  /**
   * Turns an invoice to paid by this payment, unless another one has, or it is cancelled. One conditional write decides.
   * @param invoice is kept, if it is not yet; undefined if the caller does not have it
   * @param refused a claim that does not count, since the network has refused its transaction: if it stands, this one takes its place
   * @returns what stands now: for a second call with the same entry the same as for the first
   */
  claim(pool: string, id: string, claim: InvoiceClaim, invoice: Invoice | undefined, refused?: InvoiceClaim): Promise<Standing>
  /** Keeps what some money, named by an output that it spends, is used for: one invoice, or one transaction. @param freed takes the place of this one @returns what is kept */
  use(pool: string, money: string, id: string, freed?: string): Promise<string>
  /** Keeps the id of the invoice with this name. @returns the first id that was kept */
  named(pool: string, name: string, id: string): Promise<string>
  /** The id that was kept for this name, if one was. */
  idOf(pool: string, name: string): Promise<string | undefined>
  /** Notes another payment. @returns what was noted first of this entry: nothing that comes later changes it */
  note(pool: string, id: string, payment: OtherPayment): Promise<OtherPayment>
  /** Cancels an invoice, unless it is paid. @param refused a claim that does not count @returns what stands now */
  cancel(pool: string, id: string, at: number, refused?: InvoiceClaim): Promise<Standing>
  /** What stands for these invoices, in this order. */
  standings(pool: string, ids: string[]): Promise<Standing[]>
  find(pool: string, id: string): Promise<InvoiceRecord | undefined>
  /** Notes when an invoice that is kept expires, until `forgetExpiry`. */
  noteExpiry(expiry: Expiry): Promise<void>
  /** Those that expired before this time, ms since 1970, in their order: at most 100 after this one, none at the end. */
  expired(before: number, after?: Expiry): Promise<Expiry[]>
  forgetExpiry(expiry: Expiry): Promise<void>
  /** Has the chain watched for what is sent to an invoice. */
  watch(watched: WatchedInvoice): Promise<void>
  /**
   * Those that are watched, of all pools.
   * @param after a place that was returned before: those that have come since then, and maybe some once more
   */
  watched(after?: string): Promise<{ watched: WatchedInvoice[]; place: string | undefined }>
  /** Ends that. */
  unwatch(watched: WatchedInvoice[]): Promise<void>
  /** Records in the order of their ids: at most 100 after this one, none at the end. */
  list(pool: string, after?: string): Promise<InvoiceRecord[]>
}

/** A record has at most this many other payments: anybody may send any number of small ones. */
export const MAX_OTHERS = 100

/** `list` and `expired` return at most this many. */
export const MAX_INVOICES = 100
