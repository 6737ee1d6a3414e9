import type { CheckedPayment } from '../../shared/bip270/payment.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { dueOf, type Invoice } from '../../shared/invoice/invoice.ts'
import { paymentRequestOf } from '../../shared/invoice/request.ts'
import type { InvoiceView } from '../../shared/invoice/view.ts'
import type { EntryInvoice } from '../../shared/ledger/kinds.ts'
import { type AcceptDeps, accept, type PoolDoor } from '../../shared/machine/accept.ts'
import type { Invoicing } from '../../shared/machine/invoicing.ts'
import { type DoorAnswer, type DoorRequest, EVENT_HEADERS, JSON_HEADERS } from './http.ts'
import { placeOf } from './place.ts'
import type { Quotas } from './quotas.ts'

/** A door of pools that ask for something. */
interface InvoiceDoor extends AcceptDeps {
  invoicing: Invoicing
  /** where wallets reach it, if the config says so */
  url?: string | undefined
  quotas: Quotas
  wait?: ((ms: number, signal: AbortSignal) => Promise<unknown>) | undefined
}

interface InvoicePlace {
  /** the last part of the invoice's URL; undefined at the URL of the pool, which asks by its settings */
  invoice?: string
  part?: 'state' | 'events'
}

const TEXT_HEADERS = { ...JSON_HEADERS, 'content-type': 'text/uri-list', vary: 'Accept', 'cache-control': 'no-store' }
/** An events connection looks at the invoice every LOOK_MS ms, ends after MAX_LOOKS looks, and sends every SIGN_OF_LIFE looks even without news. */
const [LOOK_MS, MAX_LOOKS, SIGN_OF_LIFE] = [500, 1_200, 40]
const REQUEST_HEADERS = { ...JSON_HEADERS, vary: 'Accept', 'cache-control': 'no-store' }

/**
 * Answers a GET of a pool that asks for something, or of an invoice, as the client wants it (BIP273): a page, a URI, or a PaymentRequest.
 * @returns undefined if the pool asks for nothing
 */
export async function showInvoice(
  request: DoorRequest,
  { invoice: place, part }: InvoicePlace,
  pool: PoolDoor,
  { invoicing, url, quotas, wait }: InvoiceDoor,
): Promise<DoorAnswer | undefined> {
  const { header, address = '' } = request
  quotas.spend({ path: `a look at ${pool.path}` }, address, 1, 0) // who looks has as many payments left
  const { url: base, host } = placeOf(header, url)
  if (!host && url === undefined)
    throw new OverpoolError('MALFORMED_PAYMENT', 'the request does not say its host, so there is no address to pay to')
  const query = Object.fromEntries(new URLSearchParams(request.query ?? ''))
  const opened =
    place === undefined
      ? { invoice: await invoicing.request(pool.path, pool.request!, query), record: undefined }
      : await invoicing.open(pool.path, place)
  if (!opened.invoice) return undefined
  const shown = { base, ...(pool.page && { page: pool.page }) }
  const view = await invoicing.view(opened.invoice, opened.record, shown)
  if (part === 'state') return { status: 200, headers: REQUEST_HEADERS, body: JSON.stringify(view) }
  if (part === 'events') {
    if (!wait || request.method !== 'GET')
      throw new OverpoolError('INVOICE_NOT_FOUND', 'this door sends no events: GET <url>/state instead')
    const look = async () => {
      const { invoice, record } = await invoicing.open(pool.path, place!)
      return invoicing.view(invoice, record, shown)
    }
    return { status: 200, headers: EVENT_HEADERS, events: (send, gone) => tell(view, look, wait, send, gone) }
  }
  return shownAs(view, header('accept') ?? '', { languages: header('accept-language'), events: wait !== undefined })
}

/** Sends the view at once and after each change, for ten minutes. The browser then connects again. */
async function tell(
  first: InvoiceView,
  look: () => Promise<InvoiceView>,
  wait: NonNullable<InvoiceDoor['wait']>,
  send: (data: string) => void,
  gone: AbortSignal,
): Promise<void> {
  let said: string | undefined
  let view = first
  for (let n = 0; n < MAX_LOOKS && !gone.aborted; n++) {
    const now = JSON.stringify(view)
    if (now !== said || n % SIGN_OF_LIFE === 0) send(now)
    said = now
    await wait(LOOK_MS, gone)
    view = await look()
  }
}

/** BIP273: who names `application/bitcoinsv-paymentrequest` gets the request, whatever else is named. ElectrumSV takes it as application/json alone. */
async function shownAs(
  view: InvoiceView,
  accept: string,
  options: { languages: string | undefined; events: boolean },
): Promise<DoorAnswer> {
  const isWallet = accept.includes('application/bitcoinsv-paymentrequest')
  if (!isWallet && accept.includes('text/uri-list')) return { status: 200, headers: TEXT_HEADERS, body: `${view.uris.bip272}\r\n` }
  if (!isWallet && accept.includes('text/html')) {
    const { invoicePage, invoicePageHeaders } = await import('./invoice-page/page.ts')
    return { status: 200, headers: invoicePageHeaders(view), body: invoicePage(view, options) }
  }
  return { status: 200, headers: REQUEST_HEADERS, body: JSON.stringify(paymentRequestOf(view, isWallet ? 'bitcoin' : 'bitcoin-sv')) }
}

/**
 * Takes a payment of an invoice: into the queue first, then it is decided whether it turns the invoice to paid. What pays something that was asked is recorded, whatever it is.
 * @returns what the payer is told
 * @throws OverpoolError PAYS_NOTHING
 */
export async function takeForInvoice(pool: PoolDoor, payment: CheckedPayment, invoice: Invoice, deps: InvoiceDoor): Promise<string> {
  const { invoicing } = deps
  const said = invoicing.verdict(invoice, payment.scanned)
  const { id } = await accept(pool, payment, { source: 'http' }, deps, said)
  const settled = await invoicing.settle(invoice, id, said, payment.scanned)
  return memoOf(settled, invoice, pool.page?.name ?? pool.path)
}

function memoOf({ state, received, copyOf }: EntryInvoice, invoice: Invoice, to: string): string {
  switch (state) {
    case 'underpaid':
      return `Recorded, but it does not pay all that was asked for: ${received} of ${dueOf(invoice)} satoshis. Please ask ${to} what to do.`
    case 'late':
      return `Recorded, but it came after ${new Date(invoice.expiresAt!).toISOString()}, when the invoice had expired. Please ask ${to} whether it counts, or for your money.`
    case 'cancelled':
      return `Recorded, but this invoice was cancelled. Please ask ${to} for your money.`
    case 'second':
      return copyOf === undefined
        ? `Recorded, but this invoice was paid before. Please ask ${to} for your money.`
        : 'This invoice is paid already, by the same money.'
    default:
      return 'Paid. Thank you.'
  }
}
