import type { CheckedPayment } from '../../shared/bip270/payment.ts'
import { idOfPayment } from '../../shared/ledger/ids.ts'
import { hex } from '../../shared/ledger/values.ts'
import { type AcceptDeps, accept, hopsOf, type PoolDoor } from '../../shared/machine/accept.ts'
import { MAX_MESSAGE } from '../../shared/paywall/brc166.ts'
import type { Asked, Payment } from '../../shared/paywall/payment.ts'
import { entryOf, type Paywall, type WallAnswer } from '../../shared/paywall/paywall.ts'
import { type DoorRequest, HTML_HEADERS } from './http.ts'
import { pricePage } from './page.ts'
import { placeOf } from './place.ts'
import type { Quotas } from './quotas.ts'
import { notPaid } from './refusal.ts'

export interface PricedDeps extends AcceptDeps {
  /** where wallets reach this machine, if the config says so */
  url?: string | undefined
  paywall: Paywall
  quotas: Quotas
}

export interface PricedAnswer extends WallAnswer {
  reason?: string
}

/**
 * A pool with a price: it answers 402 with what an entry costs, and takes a payment of BRC-121 in the headers, or one of BRC-166 in a header or in the body. The payment is durable before it
 * is acknowledged; sent again, it gets the same answer and makes no second entry.
 */
export async function answerPriced(request: DoorRequest, pool: PoolDoor, deps: PricedDeps): Promise<PricedAnswer> {
  const { method, header, address = '', body } = request
  const { paywall, quotas, copies } = deps
  const url = `${placeOf(header, deps.url).url}/${pool.path}`
  const asked: Asked = { price: pool.price!, resource: `/${pool.path}`, url, submitUrl: url }
  hopsOf(pool, { source: 'http' }) // a halted pool takes no payments, so it asks for none
  quotas.spend(pool, address, 1, (header('x-bsv-beef') ?? header('payment-signature') ?? '').length)
  let read = await paywall.read(header, asked)
  if (!read && method === 'POST') {
    const sent = await body()
    quotas.spend(pool, address, 0, sent.length)
    if (isX402(sent)) read = await paywall.readMessage(sent, asked)
    else if (sent.length) return otherProtocol(pool, asked, paywall)
  }
  if (!read) return challenge(request, pool, asked, paywall)
  const { payment, refusal } = read
  if (payment?.along) quotas.spend(pool, address, payment.along.length, 0) // each is kept, as a payment is
  if (payment && !refusal) {
    const entry = entryOf(payment, {})
    await accept(pool, entry, { source: 'http' }, deps)
    return acknowledged(pool, payment, entry, paywall)
  }
  if (payment && refusal) {
    const entry = entryOf(payment, {})
    const id = idOfPayment(pool.path, payment.scanned.bytes, entry.fields)
    // What was taken in time is taken: its answer may have been lost.
    if (await copies?.isKnown(pool.path, { key: payment.scanned.txid, id })) return acknowledged(pool, payment, entry, paywall)
    // A wallet of BRC-121 has broadcast it already: the money is there, and is not to be lost.
    if (payment.protocol === 'BRC-121') await accept(pool, entryOf(payment, { refused: refusal.reason }), { source: 'http' }, deps)
  }
  return { ...(await paywall.refuse(refusal!, asked)), reason: refusal!.sentence }
}

/** Whether a body may be a payment of BRC-166. The name of the version stands at the beginning, or behind two objects. */
function isX402(sent: Uint8Array): boolean {
  return Buffer.from(sent.buffer, sent.byteOffset, Math.min(sent.byteLength, MAX_MESSAGE)).includes('"x402Version"')
}

/** The terms, and a sentence for a wallet that has sent a Payment of another protocol. */
async function otherProtocol(pool: PoolDoor, asked: Asked, paywall: Paywall): Promise<PricedAnswer> {
  const { message: reason, code } = notPaid(pool)
  const { status, headers } = await paywall.challenge(asked)
  const body = JSON.stringify({ memo: reason, error: 1, code })
  return { status, reason, headers: { ...headers, 'content-type': 'application/json' }, body }
}

/** A wallet's browser pays by the headers alone. A person sees what it costs. */
async function challenge({ header }: DoorRequest, pool: PoolDoor, asked: Asked, paywall: Paywall): Promise<PricedAnswer> {
  const { status, headers } = await paywall.challenge(asked)
  const isPage = (header('accept') ?? '').includes('text/html')
  return {
    status,
    headers: { ...headers, vary: 'Accept', ...(isPage && HTML_HEADERS) },
    ...(isPage && { body: pricePage(pool.path, asked.price) }),
  }
}

function acknowledged(pool: PoolDoor, payment: Payment, { scanned, fields }: CheckedPayment, paywall: Paywall): PricedAnswer {
  return {
    status: 200,
    headers: { 'content-type': 'application/json', ...paywall.accepted(payment) },
    body: JSON.stringify({
      payment: { transaction: hex(scanned.bytes), ...fields },
      memo: `Received into ${pool.path}`,
      error: 0,
      success: true,
    }),
  }
}
