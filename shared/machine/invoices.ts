import { OverpoolError } from '../errors.ts'
import { INVOICE_ID, newInvoiceId } from '../invoice/invoice.ts'
import { type CheckedTerms, checkTerms, type Terms } from '../invoice/terms.ts'
import type { InvoiceView } from '../invoice/view.ts'
import { idOfHandlerPost, idOfName } from '../ledger/ids.ts'
import type { IngressMessage } from '../ledger/messages.ts'
import type { InvoiceRecord } from '../store/invoices.ts'
import type { Poster } from './accept.ts'
import type { Invoicing } from './invoicing.ts'
import { optionsOf } from './options.ts'
import type { ToldBy } from './settle.ts'

export interface InvoiceOptions extends Terms {
  path: string
  /** names the invoice: a second call with this name makes no second one */
  id?: string
}

/** An invoice, and what has become of it. Times are in ms since 1970. */
export interface InvoiceStatus extends Omit<InvoiceView, 'merchantData' | 'page' | 'pool'> {
  /** the pool */
  path: string
  /** for a wallet that reads no web pages: a `pay:` URI */
  uri: string
  data?: unknown
}

/** Invoices as programs and handlers make them and ask after them. */
export interface InvoiceCalls {
  /** Makes an invoice, and keeps it. Inside a handler it is made once, however often the handler runs. */
  (options: InvoiceOptions): Promise<InvoiceStatus>
  /** By its id, or by the name that it was made with. @throws OverpoolError INVOICE_NOT_FOUND */
  get(options: { path: string; id: string }): Promise<InvoiceStatus>
  /** Those that are kept, and requests that were paid, in the order of their ids: at most 100 after the id `after`. */
  list(options: { path: string; after?: string }): Promise<InvoiceStatus[]>
  /** What is paid from now on is recorded, and the payer told to ask for it back. @throws OverpoolError INVOICE_NOT_FOUND, INVOICE_PAID */
  cancel(options: { path: string; id: string }): Promise<InvoiceStatus>
}

export interface InvoicesDeps {
  /** the path of a pool that wallets post into, or an error */
  own: (path: unknown) => Promise<string>
  invoicing: Invoicing
  /** how many posts a new one of this poster is away from the one that began the loop. @throws OverpoolError POOL_HALTED, LOOP_TOO_DEEP */
  hops: (pool: string, poster: Poster) => Promise<number>
  /** takes a post into the pool's queue */
  tell: (post: IngressMessage) => Promise<void>
  /** where wallets reach the machine; undefined if no door is open, and nobody has said it */
  base: () => string | undefined
}

/** An invoice that is to be made: the program may change its objects from now on. */
export interface CheckedInvoice {
  path: unknown
  terms: CheckedTerms
}

export function checkInvoice(options: InvoiceOptions): CheckedInvoice {
  const { path, id: _, ...terms } = optionsOf(options, 'invoice')
  return { path, terms: checkTerms(terms, 'an invoice', 'BAD_ARGUMENT') }
}

/** The invoices of a machine's own pools. */
export class InvoiceDesk {
  readonly #deps: InvoicesDeps

  constructor(deps: InvoicesDeps) {
    this.#deps = deps
  }

  async makeAs(poster: Poster, { path, terms }: CheckedInvoice): Promise<InvoiceStatus> {
    const pool = await this.#deps.own(path)
    this.#base() // before a key is given out for it
    const name = nameOf(pool, poster)
    const id = name === undefined ? newInvoiceId() : await this.#deps.invoicing.named(pool, name)
    return this.#shown(await this.#deps.invoicing.make(pool, terms, id))
  }

  async get(options: { path: string; id: string }): Promise<InvoiceStatus> {
    const { path, id } = optionsOf(options, 'invoice.get')
    const record = await this.#record(path, id)
    return this.#shown(record)
  }

  async list(options: { path: string; after?: string }): Promise<InvoiceStatus[]> {
    const { path, after } = optionsOf(options, 'invoice.list')
    const records = await this.#deps.invoicing.list(await this.#deps.own(path), after)
    return Promise.all(records.map((record) => this.#shown(record)))
  }

  async cancelAs(poster: Poster, options: { path: string; id: string }): Promise<InvoiceStatus> {
    const { path, id } = optionsOf(options, 'invoice.cancel')
    const record = await this.#record(path, id)
    const by: ToldBy = {
      source: poster.source,
      hops: await this.#deps.hops(record.invoice.pool, poster),
      ...(poster.source === 'handler' && { cause: poster.cause }),
    }
    await this.#deps.invoicing.cancel(record, by, this.#deps.tell)
    return this.#shown(await this.#record(path, id))
  }

  async #record(path: unknown, id: unknown): Promise<InvoiceRecord> {
    const pool = await this.#deps.own(path)
    const { invoicing } = this.#deps
    const find = async (of: string | undefined) => (of === undefined ? undefined : invoicing.find(pool, of))
    const isText = typeof id === 'string' && id !== ''
    const byId = isText && INVOICE_ID.test(id) ? await find(id) : undefined
    const record = byId ?? (isText ? await find(await invoicing.idOf(pool, idOfName(pool, id))) : undefined)
    if (record) return record
    throw new OverpoolError('INVOICE_NOT_FOUND', `"${pool}" has no invoice ${JSON.stringify(id)}`)
  }

  #base(): string {
    const base = this.#deps.base()
    if (base !== undefined) return base
    throw new OverpoolError(
      'BAD_CONFIG',
      'an invoice has a URL, and no door is open: create the pool with a port, or say in `url` where wallets reach the machine',
    )
  }

  async #shown(record: InvoiceRecord): Promise<InvoiceStatus> {
    const base = this.#base()
    const { data } = record.invoice
    const { merchantData: _, page: _page, pool: path, ...view } = await this.#deps.invoicing.view(record.invoice, record, { base })
    return { ...view, path, uri: view.uris.pay, ...(data !== undefined && { data }) }
  }
}

/** A handler that runs again, and a program that names its invoice, get the same one again. */
function nameOf(pool: string, poster: Poster): string | undefined {
  if (poster.source !== 'http' && poster.name !== undefined) return idOfName(pool, poster.name)
  return poster.source === 'handler' ? idOfHandlerPost(poster.handler, poster.cause, poster.ordinal) : undefined
}

/** The calls, by one that makes an invoice, one that cancels it, and one that asks the desk. */
export function invoiceCalls(
  make: (options: InvoiceOptions) => Promise<InvoiceStatus>,
  cancel: InvoiceCalls['cancel'],
  ask: <T>(work: (desk: InvoiceDesk) => Promise<T>) => Promise<T>,
): InvoiceCalls {
  return Object.assign(make, {
    get: (options: { path: string; id: string }) => ask((desk) => desk.get(options)),
    list: (options: { path: string; after?: string }) => ask((desk) => desk.list(options)),
    cancel,
  })
}
