import { scriptOfAddress } from '../chain/filter.ts'
import { OverpoolError } from '../errors.ts'
import {
  dueOf,
  type FreshOutputs,
  INVOICE_ID,
  type Invoice,
  type InvoiceClaim,
  keyPathOf,
  newInvoiceId,
  watchedOf,
} from '../invoice/invoice.ts'
import type { PageSettings } from '../invoice/page-settings.ts'
import { urisOf } from '../invoice/request.ts'
import { type CheckedTerms, checkTerms, type RequestSetting } from '../invoice/terms.ts'
import { invoiceIn, isToken, type TokenKeys, tokenOf } from '../invoice/token.ts'
import type { InvoiceOutput, InvoiceState, InvoiceView } from '../invoice/view.ts'
import type { EntryId, EntryInvoice } from '../ledger/kinds.ts'
import type { IngressMessage } from '../ledger/messages.ts'
import { isRefused, type KeptStatus } from '../ledger/status.ts'
import type { InvoiceRecord } from '../store/invoices.ts'
import type { Stores } from '../store/port.ts'
import type { ScannedTransaction } from '../transaction/index.ts'
import { cancel, changeOf, isVoid, receivedOf, settle, standInOf, type ToldBy, verdictOf } from './settle.ts'

export interface InvoicingDeps {
  stores: Pick<Stores, 'invoices' | 'receipts' | 'statuses'>
  /** keys of `merchantData`, read when they are first needed; only a door needs them. @param anew reads them again: none of the known ones has signed a token */
  keys?: (anew?: boolean) => Promise<TokenKeys>
  /** makes fresh scripts, likewise */
  receiver: () => Promise<FreshOutputs>
  /** whether the machine reads the chain, and looks there for what is sent to the addresses of invoices */
  watches?: boolean | undefined
  now: () => number
}

/** What an invoice is shown with. */
export interface Shown {
  /** where the machine is reached, without a slash at the end */
  base: string
  page?: PageSettings
}

/** Payment requests and invoices of a machine's pools: asks, checks what is paid, and says what has become of it. */
export class Invoicing {
  readonly #deps: InvoicingDeps

  constructor(deps: InvoicingDeps) {
    this.#deps = deps
  }

  /** A payment request as the pool's settings have it. Nothing is kept. @returns undefined if the pool asks for nothing */
  async request(pool: string, setting: RequestSetting, query: Record<string, string>): Promise<Invoice | undefined> {
    const terms = typeof setting === 'function' ? await setting(query) : setting
    if (terms === undefined || terms === null) return undefined
    const id = newInvoiceId()
    const asked = async () =>
      this.#invoice(pool, id, checkTerms(terms, `pools.${pool}.request`, 'BAD_ARGUMENT'), (receiver, i) => receiver.at(keyPathOf(id, i)))
    return asked().catch((error) => {
      throw asWrongLink(error)
    })
  }

  /** Makes an invoice and keeps it. @param id for one that may have been made before: then that one stands */
  async make(pool: string, terms: CheckedTerms, id: string): Promise<InvoiceRecord> {
    const { invoices } = this.#deps.stores
    const before = await invoices.find(pool, id)
    if (before) return before
    const invoice = await this.#invoice(pool, id, terms, async (receiver) => receiver.at(`0/${await invoices.nextKey()}`))
    if (invoice.expiresAt !== undefined) await invoices.noteExpiry({ pool, id, at: invoice.expiresAt })
    const watched = this.#deps.watches ? watchedOf(invoice) : undefined
    if (watched) await invoices.watch(watched) // first: nobody pays to an address that is not watched yet
    await invoices.make(watched ? { ...invoice, watchedUntil: watched.until } : invoice)
    return (await invoices.find(pool, id))!
  }

  async #invoice(
    pool: string,
    id: string,
    { outputs, expiresIn, ...more }: CheckedTerms,
    fresh: (receiver: FreshOutputs, i: number) => Fresh | Promise<Fresh>,
  ): Promise<Invoice> {
    const createdAt = this.#deps.now()
    const asked: InvoiceOutput[] = []
    for (const [i, { amount: satoshis = 0, script, address, description }] of outputs.entries()) {
      const place =
        script !== undefined
          ? { script: script.toLowerCase() }
          : address !== undefined
            ? { script: scriptOfAddress(address), address }
            : await fresh(await this.#deps.receiver(), i)
      asked.push({ satoshis, ...place, ...(description !== undefined && { description }) })
    }
    const invoice = { id, pool, outputs: asked, createdAt, ...(expiresIn !== undefined && { expiresAt: createdAt + expiresIn }), ...more }
    tokenOf(invoice, [NO_KEY]) // refuses what would not fit
    return invoice
  }

  /**
   * The invoice that a payment is about: by the last part of the URL that it was posted to, else by its `merchantData`.
   * @returns undefined if it is about none
   * @throws OverpoolError INVOICE_NOT_FOUND, BAD_PAYMENT
   */
  async askedBy(pool: string, place: string | undefined, merchantData: unknown): Promise<Invoice | undefined> {
    if (place !== undefined) return (await this.open(pool, place)).invoice
    if (!isToken(merchantData)) return undefined
    const invoice = await this.#inToken(merchantData)
    if (invoice?.pool === pool) return invoice
    throw new OverpoolError(
      'BAD_PAYMENT',
      invoice
        ? `this payment request is of another pool, "${invoice.pool}": post the payment there`
        : 'the merchantData of this payment is not what was sent with the payment request, or the request is very old: open the request again',
    )
  }

  /** An invoice by the last part of its URL, and what is known of it. @throws OverpoolError INVOICE_NOT_FOUND */
  async open(pool: string, place: string): Promise<{ invoice: Invoice; record?: InvoiceRecord }> {
    const { invoices } = this.#deps.stores
    const invoice = isToken(place) ? await this.#inToken(place) : undefined
    const id = invoice?.pool === pool ? invoice.id : place
    const record = INVOICE_ID.test(id) ? await invoices.find(pool, id) : undefined
    if (record) return { invoice: record.invoice, record }
    if (invoice?.pool === pool) {
      const [standing] = await invoices.standings(pool, [id])
      if (!standing?.claim) return { invoice }
      await invoices.make(invoice) // it was paid at the hand of somebody who did not have it
      return { invoice, record: (await invoices.find(pool, id))! }
    }
    throw new OverpoolError(
      'INVOICE_NOT_FOUND',
      'there is no invoice at this address; open the payment request again where you found it, or post to /{pool}',
    )
  }

  async #inToken(token: string): Promise<Invoice | undefined> {
    const { keys } = this.#deps
    return keys && (invoiceIn(token, await keys()) ?? invoiceIn(token, await keys(true)))
  }

  /** What a payment is to an invoice, judged by its outputs and the time alone: `settle` decides whether it counts. @throws OverpoolError PAYS_NOTHING */
  verdict(invoice: Invoice, transaction: ScannedTransaction): EntryInvoice {
    const said = verdictOf(invoice, transaction, this.#deps.now())
    if (said) return said
    throw new OverpoolError(
      'PAYS_NOTHING',
      'this transaction pays nothing of what was asked for: it has none of the outputs, so it was not recorded',
    )
  }

  /** Decides what a payment is that is held durably: at most one turns an invoice to paid. */
  settle(invoice: Invoice, entry: EntryId, said: EntryInvoice, transaction: ScannedTransaction): Promise<EntryInvoice> {
    return settle(this.#deps.stores, { pool: invoice.pool, entry, said, transaction, invoice, at: this.#deps.now() })
  }

  /**
   * Cancels an invoice that is kept. `tell` gets the post that says so before it is decided, as payments do: so whoever dies, an invoice is not cancelled without its entry.
   * @throws OverpoolError INVOICE_PAID
   */
  async cancel({ invoice, claim, others }: InvoiceRecord, by: ToldBy, tell: (post: IngressMessage) => Promise<void>): Promise<void> {
    const { pool, id } = invoice
    const paidBy = ({ txid }: InvoiceClaim) =>
      new OverpoolError('INVOICE_PAID', `the invoice ${id} is paid, by ${txid}, and cannot be cancelled any more`)
    if (claim && !(await isVoid(this.#deps.stores, pool, id, claim))) throw paidBy(claim)
    const at = this.#deps.now()
    await tell(changeOf({ invoice, others }, 'cancelled', at, by))
    const stands = await cancel(this.#deps.stores, pool, id, at)
    if (stands) throw paidBy(stands)
  }

  /** An invoice with what has become of it, as its page, programs and pollers see it. */
  async view(invoice: Invoice, record: InvoiceRecord | undefined, { base, page }: Shown): Promise<InvoiceView> {
    const { id, pool, outputs, memo, createdAt, expiresAt, watchedUntil = 0 } = invoice
    const token = this.#deps.keys && tokenOf(invoice, await this.#deps.keys())
    const url = `${base}/${pool}/${record ? id : token}`
    const due = dueOf(invoice)
    const stands = record?.claim
    const first = stands && (await this.#became(pool, stands))
    const standIn = stands && isRefused(first?.status) ? await standInOf(this.#deps.stores, pool, id, stands) : undefined
    const claim = isRefused(first?.status) && !standIn ? undefined : stands
    const others = record?.others.filter(({ entry }) => entry !== stands?.entry) ?? []
    const shown = claim ? standIn : others.at(-1)
    const payment = (shown ? await this.#became(pool, shown) : first)?.payment
    const state = this.#stateOf(invoice, record && { ...record, claim })
    return {
      id,
      pool,
      url,
      state,
      ...(payment && payment.seq === undefined && { underWay: true }),
      ...(this.#deps.watches && watchedUntil > this.#deps.now() && { watched: true }),
      ...(state === 'underpaid' && this.#isOver(invoice) && { expired: true }),
      ...(memo !== undefined && { memo }),
      to: page?.name ?? pool,
      due,
      received: (claim?.received ?? 0) + receivedOf(others),
      outputs,
      createdAt,
      ...(expiresAt !== undefined && { expiresAt }),
      merchantData: token ?? '',
      uris: urisOf(url, outputs),
      ...(payment && { payment }),
      ...(page && { page }),
    }
  }

  /** A payment as it is shown, and its newest status. */
  async #became(
    pool: string,
    { entry, txid, at }: { entry: EntryId; txid: string; at: number },
  ): Promise<{ payment: NonNullable<InvoiceView['payment']>; status: KeptStatus | undefined }> {
    const { receipts, statuses } = this.#deps.stores
    const [[receipt], [status]] = await Promise.all([receipts.find(pool, [{ key: txid, id: entry }]), statuses.newest(pool, [txid])])
    return { payment: { txid, at, ...(receipt && { seq: receipt.seq, status: status?.status ?? 'local' }) }, status }
  }

  #stateOf(invoice: Invoice, record: (Omit<InvoiceRecord, 'claim'> & { claim: InvoiceClaim | undefined }) | undefined): InvoiceState {
    if (record?.claim) return record.claim.state
    if (record?.cancelledAt !== undefined) return 'cancelled'
    const states = record?.others.map(({ state }) => state) ?? []
    if (states.includes('late')) return 'late'
    if (states.includes('underpaid')) return 'underpaid'
    return this.#isOver(invoice) ? 'expired' : 'open'
  }

  #isOver({ expiresAt }: Pick<Invoice, 'expiresAt'>): boolean {
    return expiresAt !== undefined && this.#deps.now() > expiresAt
  }

  /** The id of the invoice with this name: the same one again. Nobody else can guess it. */
  named(pool: string, name: string): Promise<string> {
    return this.#deps.stores.invoices.named(pool, name, newInvoiceId())
  }

  /** The id of the invoice that was made with this name, if there is one. */
  idOf(pool: string, name: string): Promise<string | undefined> {
    return this.#deps.stores.invoices.idOf(pool, name)
  }

  find(pool: string, id: string): Promise<InvoiceRecord | undefined> {
    return this.#deps.stores.invoices.find(pool, id)
  }

  list(pool: string, after?: string): Promise<InvoiceRecord[]> {
    return this.#deps.stores.invoices.list(pool, after)
  }
}

/** Every token of an invoice has the same length. */
const NO_KEY = new Uint8Array(32)

/** A function that asks for something wrong has mostly been given a wrong query: whoever opens such a link is told so. */
function asWrongLink(error: unknown): unknown {
  if (!(error instanceof OverpoolError) || error.code !== 'BAD_ARGUMENT') return error
  const sentence = `this address asks for nothing that can be paid: open it as it was linked (${error.message})`
  return new OverpoolError('BAD_PAYMENT', sentence, { cause: error })
}

type Fresh = Pick<InvoiceOutput, 'script' | 'address' | 'keyPath'>
