import { claimOf, dueOf, type Invoice, type InvoiceClaim, isSameMoney, moneyOf, paidOf } from '../invoice/invoice.ts'
import type { InvoiceState } from '../invoice/view.ts'
import { encodeEntry } from '../ledger/entry-codec.ts'
import { idOfInvoiceChange } from '../ledger/ids.ts'
import type { CommonFields, EntryId, EntryInvoice } from '../ledger/kinds.ts'
import type { IngressMessage } from '../ledger/messages.ts'
import { isRefused } from '../ledger/status.ts'
import type { InvoiceRecord, Invoices, OtherPayment, Standing } from '../store/invoices.ts'
import type { Statuses } from '../store/statuses.ts'
import type { ScannedTransaction } from '../transaction/index.ts'

/**
 * What a payment is to an invoice, judged by its outputs and the time alone.
 * @param at when it came, ms since 1970
 * @returns undefined if it pays nothing that was asked
 */
export function verdictOf(
  { id, outputs, expiresAt, data }: Invoice,
  transaction: ScannedTransaction,
  at: number,
): EntryInvoice | undefined {
  const { all, any, received } = paidOf({ outputs }, transaction)
  if (!any) return undefined
  const isLate = expiresAt !== undefined && at > expiresAt
  const state: InvoiceState = !all ? 'underpaid' : isLate ? 'late' : received > dueOf({ outputs }) ? 'overpaid' : 'paid'
  const isShared = outputs.some(({ satoshis, keyPath }) => satoshis > 0 && keyPath === undefined)
  return { id, state, received, ...(isShared && { isShared }), ...(data !== undefined && { data }) }
}

/** What is needed of the stores to decide whether an invoice is paid, cancelled or open. */
export interface Deciding {
  invoices: Pick<Invoices, 'claim' | 'cancel' | 'find' | 'standings' | 'make' | 'note' | 'use'>
  statuses: Pick<Statuses, 'newest'>
}

/** Whether a claim does not count any more. */
export async function isVoid(stores: Deciding, pool: string, id: string, claim: InvoiceClaim): Promise<boolean> {
  const [said] = await stores.statuses.newest(pool, [claim.txid])
  return isRefused(said) && !(await standInOf(stores, pool, id, claim))
}

/** The payment of the same money that counts in the place of a claim that the network has refused: the id of a transaction can be changed on its way. */
export async function standInOf(
  { invoices, statuses }: Deciding,
  pool: string,
  id: string,
  { txid }: InvoiceClaim,
): Promise<OtherPayment | undefined> {
  const record = await invoices.find(pool, id)
  const copies = record?.others.filter(({ copyOf, received }) => copyOf === txid && received >= dueOf(record.invoice)) ?? []
  const said = copies.length
    ? await statuses.newest(
        pool,
        copies.map((copy) => copy.txid),
      )
    : []
  return copies.find((_, i) => !isRefused(said[i]))
}

/** The invoice that some money pays: the first one, unless the network has refused that payment. */
async function payerOf(stores: Deciding, pool: string, id: string, claim: InvoiceClaim): Promise<string> {
  const { invoices } = stores
  const payer = await invoices.use(pool, moneyOf(claim), id)
  if (payer === id) return id
  const [{ claim: theirs } = {}] = await invoices.standings(pool, [payer])
  const isFreed = theirs && isSameMoney(theirs, claim) && (await isVoid(stores, pool, payer, theirs))
  return isFreed ? invoices.use(pool, moneyOf(claim), id, payer) : payer
}

/** Cancels an invoice, unless a payment counts. @returns that payment */
export async function cancel(stores: Deciding, pool: string, id: string, at: number): Promise<InvoiceClaim | undefined> {
  const { invoices } = stores
  let { claim, cancelledAt } = await invoices.cancel(pool, id, at)
  if (cancelledAt === undefined && claim && (await isVoid(stores, pool, id, claim)))
    ({ claim, cancelledAt } = await invoices.cancel(pool, id, at, claim))
  return cancelledAt === undefined ? claim : undefined
}

/** Whether an invoice is neither paid nor cancelled. */
export async function isOpen(stores: Deciding, pool: string, id: string): Promise<boolean> {
  const [{ claim, cancelledAt } = {}] = await stores.invoices.standings(pool, [id])
  return cancelledAt === undefined && (!claim || (await isVoid(stores, pool, id, claim)))
}

/** Who has brought about what is told of an invoice. */
export type ToldBy = Pick<CommonFields, 'source' | 'hops' | 'cause'>

/** The post that tells of an invoice that is cancelled, or has expired. */
export function changeOf(
  { invoice: { id: of, pool, data }, others }: Pick<InvoiceRecord, 'invoice' | 'others'>,
  state: 'cancelled' | 'expired',
  at: number,
  by: ToldBy = { source: 'machine', hops: 0 },
): IngressMessage {
  const id = idOfInvoiceChange(pool, of, state)
  const invoice = { id: of, state, received: receivedOf(others), ...(data !== undefined && { data }) }
  return { pool, id, kind: 'invoice', named: true, entry: encodeEntry({ kind: 'invoice', id, at, ...by, invoice }) }
}

/** Satoshis that have come, each of them once. */
export function receivedOf(others: readonly OtherPayment[]): number {
  return others.reduce((sum, { received, copyOf }) => sum + (copyOf === undefined ? received : 0), 0)
}

/** A payment that is held durably, and what it is, judged alone. */
export interface Held {
  pool: string
  entry: EntryId
  said: EntryInvoice
  transaction: ScannedTransaction
  invoice?: Invoice | undefined
  /** what stood a moment ago */
  known?: Standing | undefined
  /** when the payment was accepted, ms since 1970 */
  at: number
}

/**
 * Decides what a payment is to its invoice. Doors and the pool's writer both do so, each once the payment is held durably, in any order and as often as they like: one conditional
 * write decides, and says the same to all. So whoever is told "paid" has an entry in the ledger or on its way there, and a claim never stands without one. A payment takes the place
 * of one that the network has refused.
 */
export async function settle(stores: Deciding, held: Held): Promise<EntryInvoice> {
  const { pool, entry, said, invoice, known, at } = held
  if (known?.claim?.entry === entry) return { ...said, state: known.claim.state }
  const { invoices } = stores
  const { transaction } = held
  const claim = claimOf(entry, said, transaction, at)
  const pays = said.state === 'paid' || said.state === 'overpaid'
  const isDecided = known?.claim !== undefined || known?.cancelledAt !== undefined
  const payer = pays && said.isShared ? await payerOf(stores, pool, said.id, claim) : said.id
  const isUsed = payer !== said.id
  const ask = async () => (pays && !isUsed ? invoices.claim(pool, said.id, claim, invoice) : (await invoices.standings(pool, [said.id]))[0])
  let { claim: stands, cancelledAt } = (isDecided ? known : await ask()) ?? {}
  if (stands && stands.entry !== entry && (await isVoid(stores, pool, said.id, stands))) {
    const refused = stands
    const noted = (await invoices.find(pool, said.id))?.others.find((other) => other.entry === entry)
    if (noted) return { ...said, state: noted.state, ...(noted.copyOf !== undefined && { copyOf: noted.copyOf }) } // its entry says so already
    if (pays && !isUsed) ({ claim: stands, cancelledAt } = await invoices.claim(pool, said.id, claim, invoice, refused))
    if (stands?.entry === refused.entry) stands = undefined
  }
  if (stands?.entry === entry) return { ...said, state: stands.state }
  const first = async () =>
    stands && isSameMoney(stands, claim) ? stands.txid : invoices.use(pool, `${said.id} ${moneyOf(claim)}`, claim.txid)
  const original = isUsed ? claim.txid : await first()
  const judged = stands || isUsed ? 'second' : cancelledAt === undefined ? said.state : 'cancelled'
  if (invoice) await invoices.make(invoice)
  const { txid, received } = claim
  const note = { entry, txid, state: judged, received, at, ...((isUsed || original !== claim.txid) && { copyOf: original }) }
  const { state, copyOf } = await invoices.note(pool, said.id, note)
  return { ...said, state, ...(copyOf !== undefined && { copyOf }) }
}
