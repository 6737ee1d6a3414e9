import { checkFields } from '../../shared/bip270/payment.ts'
import { type ReadTransaction, readTransaction } from '../../shared/chain/any-format.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { type AcceptDeps, accept, hopsOf, type PoolDoor } from '../../shared/machine/accept.ts'
import { derivationOf, idOf, invoiceOf, isFor, newInvoice } from '../../shared/paywall/invoice.ts'
import { objectIn, objectOf } from '../../shared/paywall/json.ts'
import { type Payee, scriptOf } from '../../shared/paywall/payee.ts'
import { paidTo } from '../../shared/paywall/payment.ts'
import type { PaidFor, Paywall } from '../../shared/paywall/paywall.ts'
import { MAX_SATOSHIS } from '../../shared/transaction/reader.ts'
import { type DoorRequest, unescaped } from './http.ts'
import { placeOf } from './place.ts'
import type { Quotas } from './quotas.ts'

export interface PaymailDeps extends AcceptDeps {
  /** where wallets reach this machine, if the config says so */
  url?: string | undefined
  paywall: (pool: string) => Paywall
  quotas: Quotas
  /** all pools that take payments here */
  pools: () => PoolDoor[]
}

/** The names of the capabilities (BRC-28 and the registry of bsvalias), each with its path here. */
const CAPABILITIES = {
  pki: 'id',
  '2a40af698840': 'destination', // P2P payment destination
  '5f1323cddf31': 'receive', // P2P receive transaction
  '5c55a7fdb7bb': 'beef', // P2P receive BEEF
} as const
/** Requests need not say who the sender is. */
const SENDER_VALIDATION = '6745385c3fc0'
const WELL_KNOWN = '/.well-known/bsvalias'
const BASE = '/_/paymail/'
/** How long a destination is good for, ms: a wallet may keep a signed transaction for a while. */
const GOOD_MS = 30 * 24 * 3_600_000

/** Paymail, by which wallets pay into a pool that names a handle. Nothing is kept for a destination until it is paid: its reference says what it is. */
export async function answerPaymail(
  request: DoorRequest,
  deps: PaymailDeps,
): Promise<{ status: number; headers: Record<string, string>; body: string }> {
  return {
    status: 200,
    headers: { 'content-type': 'application/json', 'access-control-allow-origin': '*', 'cache-control': 'no-store' },
    body: JSON.stringify(await answerOf(request, deps)),
  }
}

async function answerOf({ method, path, header, address = '', body }: DoorRequest, deps: PaymailDeps): Promise<object> {
  const { pools, quotas } = deps
  const named = pools().filter(({ paymail }) => paymail !== undefined)
  if (!named.length) throw new OverpoolError('POOL_NOT_FOUND', 'no pool of this machine has a paymail')
  if (path === WELL_KNOWN) return capabilities(placeOf(header, deps.url).url)
  const [what = '', handle = ''] = path.slice(BASE.length).split('/')
  const paymail = unescaped(handle).toLowerCase()
  const pool = named.find((one) => one.paymail === paymail)
  if (!pool) throw new OverpoolError('POOL_NOT_FOUND', 'nobody here has this paymail')
  const paywall = deps.paywall(pool.path)
  if (what === 'id') {
    quotas.spend(pool, address, 1, 0)
    return { bsvalias: '1.0', handle: paymail, pubkey: await paywall.identity() }
  }
  if (!['destination', 'receive', 'beef'].includes(what))
    throw new OverpoolError('POOL_NOT_FOUND', `paymail has no capability "${what.slice(0, 40)}" here`)
  if (method !== 'POST') throw new OverpoolError('METHOD_NOT_ALLOWED', 'this capability of paymail takes a POST')
  quotas.spend(pool, address, 1, 0)
  const sent = await body()
  quotas.spend(pool, address, 0, sent.length)
  const message = objectOf(Buffer.from(sent.buffer, sent.byteOffset, sent.byteLength).toString())
  if (!message) throw new OverpoolError('MALFORMED_PAYMENT', 'the message is not a JSON object, or has too many fields')
  hopsOf(pool, { source: 'http' }) // a halted pool takes no payments, so it asks for none
  if (what === 'destination') return paywall.asPayee((payee) => destination(pool, message.satoshis, payee, deps.now()))
  const read = transactionIn(message, what === 'beef' ? 'beef' : 'hex')
  if (read.along) quotas.spend(pool, address, read.along.length, 0) // each is kept, as a payment is
  return receive(pool, read, message, paywall, deps)
}

function capabilities(url: string): object {
  const paths = Object.entries(CAPABILITIES).map(([name, path]) => [name, `${url}${BASE}${path}/{alias}@{domain.tld}`])
  return { bsvalias: '1.0', capabilities: { ...Object.fromEntries(paths), [SENDER_VALIDATION]: false } }
}

async function destination(pool: PoolDoor, satoshis: unknown, payee: Payee, now: number): Promise<object> {
  if (!Number.isSafeInteger(satoshis) || (satoshis as number) < 1 || (satoshis as number) > MAX_SATOSHIS)
    throw new OverpoolError('BAD_PAYMENT', '"satoshis" is a whole number, at least 1')
  if ((satoshis as number) < (pool.price ?? 0))
    throw new OverpoolError('BAD_PAYMENT', `a payment to this paymail is ${pool.price} satoshis at least`)
  const invoice = newInvoice(satoshis as number, resourceOf(pool), now + GOOD_MS)
  return {
    outputs: [{ script: await scriptOf(payee, derivationOf(invoice)), satoshis }],
    reference: await idOf(invoice, payee),
  }
}

/** A transaction that pays a destination. One that pays too little, or comes late, is recorded with a note of it: the money may be there. */
async function receive(
  pool: PoolDoor,
  { scanned, along }: ReadTransaction,
  message: Record<string, unknown>,
  paywall: Paywall,
  deps: PaymailDeps,
): Promise<object> {
  const { reference } = message
  const { invoice, script } = await paywall.asPayee(async (payee) => {
    const invoice = typeof reference === 'string' ? await invoiceOf(reference, payee) : undefined
    return { invoice, script: invoice && (await scriptOf(payee, derivationOf(invoice))) }
  })
  if (!invoice || !script || !isFor(invoice, resourceOf(pool)))
    throw new OverpoolError('BAD_PAYMENT', '"reference" is not one that this paymail gave out: ask for a payment destination first')
  if (!scanned.inputCount) throw new OverpoolError('BAD_PAYMENT', 'the transaction spends nothing, so it pays nothing')
  const paid = paidTo(scanned, script)
  if (paid.vout < 0)
    throw new OverpoolError('BAD_PAYMENT', 'the transaction pays nothing to the output that goes with this reference: nothing was recorded')
  const isLate = deps.now() > invoice.expiresAt
  const refused = paid.satoshis < invoice.satoshis ? 'insufficient_funds' : isLate ? 'invoice_expired' : undefined
  const paidFor: PaidFor = { paid: 'paymail', ...paid, ...derivationOf(invoice) }
  const { note, sender } = objectIn(message, 'metadata')
  const merchantData = { ...paidFor, ...(refused && { refused }) }
  const fields = checkFields({ merchantData, memo: note || undefined, refundTo: sender || undefined })
  // Sent again with another note, or too late, it is the same money.
  await accept(pool, { scanned, along, fields }, { source: 'http', same: { merchantData: paidFor } }, deps)
  const said = isLate ? 'it came late' : `it pays ${paid.satoshis} of ${invoice.satoshis} satoshis`
  return { txid: scanned.txid, note: refused ? `Recorded in ${pool.path}, but ${said}` : `Received into ${pool.path}` }
}

function resourceOf({ path }: PoolDoor): string {
  return `paymail ${path}`
}

function transactionIn(message: Record<string, unknown>, field: 'hex' | 'beef'): ReadTransaction {
  const sent = message[field]
  if (typeof sent === 'string' && sent) return readTransaction(sent)
  throw new OverpoolError('BAD_PAYMENT', `"${field}" is the transaction, in hex`)
}
