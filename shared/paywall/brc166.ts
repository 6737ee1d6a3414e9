import { type ReadTransaction, readTransaction } from '../chain/any-format.ts'
import { OverpoolError } from '../errors.ts'
import { address } from '../transaction/parsed.ts'
import { derivationOf, idOf, invoiceOf, isFor, newInvoice } from './invoice.ts'
import { objectIn, objectOf } from './json.ts'
import { type Payee, scriptOf } from './payee.ts'
import { type Asked, paidTo, type Read, type Reason, refused } from './payment.ts'

/** How long an invoice is good for, s. */
export const INVOICE_S = 900
/** Longest message, characters of base64: a transaction of half a megabyte. A header holds less. */
export const MAX_MESSAGE = 1_400_000

export type Network = 'main' | 'test' | 'regtest'

/** What BRC-166 (x402 v2, scheme `exact`) says to somebody who has not paid: the value of the header PAYMENT-REQUIRED. Each has an address of its own. */
export async function required166(asked: Asked, payee: Payee, now: number, network: Network): Promise<string> {
  const invoice = newInvoice(asked.price, asked.resource, now + INVOICE_S * 1_000)
  const id = await idOf(invoice, payee)
  const script = await scriptOf(payee, derivationOf(invoice))
  return base64({
    x402Version: 2,
    error: 'payment required',
    resource: { url: asked.url },
    accepts: [
      {
        scheme: 'exact',
        network: nameOf(network),
        amount: String(asked.price),
        asset: 'BSV',
        payTo: address(network === 'main' ? 0x00 : 0x6f, Buffer.from(script.slice(6, 46), 'hex')),
        maxTimeoutSeconds: INVOICE_S,
        extra: {
          chain: 'bsv',
          unit: 'satoshi',
          invoiceId: id,
          lockingScriptHex: script,
          expiresAt: new Date(invoice.expiresAt).toISOString(),
          perCallSats: asked.price,
          payloadFormat: { kind: 'p2pkh-rawtx' },
          ...(asked.submitUrl !== undefined && { submitUrl: asked.submitUrl }),
        },
      },
    ],
  })
}

/** An offer that a client can pay: a script, and what is sent back with the transaction. */
export interface Offer166 {
  protocol: 'BRC-166'
  satoshis: number
  /** hex */
  script: string
  accepted: object
}

/** The first offer in a header PAYMENT-REQUIRED of the form `p2pkh-rawtx` on this network; undefined if there is none. */
export function offer166(required: string, network: Network): Offer166 | undefined {
  const { accepts } = jsonOf(required) ?? {}
  for (const accepted of Array.isArray(accepts) ? (accepts as unknown[]) : []) {
    const offer = Object(accepted) as Record<string, unknown>
    const { payloadFormat, lockingScriptHex: script, derivationPrefix, senderIdentityKey } = objectIn(offer, 'extra')
    const isKind = Object(payloadFormat).kind === 'p2pkh-rawtx' || (payloadFormat === undefined && !derivationPrefix && !senderIdentityKey)
    if (!isKind || offer.scheme !== 'exact' || offer.network !== nameOf(network) || offer.asset !== 'BSV') continue
    if (typeof script !== 'string' || !/^76a914[\da-f]{40}88ac$/i.test(script)) continue
    const satoshis = typeof offer.amount === 'string' && /^\d{1,16}$/.test(offer.amount) ? Number(offer.amount) : 0
    if (satoshis > 0 && Number.isSafeInteger(satoshis))
      return { protocol: 'BRC-166', satoshis, script: script.toLowerCase(), accepted: offer }
  }
  return undefined
}

/** What is said of a payment: the value of the header PAYMENT-RESPONSE. */
export function response166(network: Network, said: { txid: string; isSeen?: boolean } | { reason: Reason }): string {
  const name = nameOf(network)
  if ('reason' in said) return base64({ success: false, network: name, errorReason: said.reason })
  return base64({ success: true, transaction: said.txid, network: name, extensions: { status: said.isSeen ? 'mempool' : 'recorded' } })
}

/** Whether a header PAYMENT-RESPONSE says that a payment does not count. */
export function refuses166(response: string | null): boolean {
  return response !== null && jsonOf(response)?.success === false
}

/** The payment of BRC-166 in a message: the JSON of PAYMENT-SIGNATURE. @param message in base64, as the header has it */
export async function read166(message: string, asked: Asked, payee: Payee, now: number): Promise<Read> {
  const payload = jsonOf(message)
  if (!payload) return malformed('PAYMENT-SIGNATURE is a JSON object in base64')
  const accepted = objectIn(payload, 'accepted')
  const extra = objectIn(accepted, 'extra')
  const sent = objectIn(payload, 'payload')
  const scheme = accepted.scheme
  if (scheme !== undefined && scheme !== 'exact') return malformed('"accepted.scheme" is not "exact": no other is taken here')
  const { rawtx } = sent
  if (typeof rawtx !== 'string' || !rawtx) return malformed('"payload.rawtx" is the transaction in hex')
  const id = extra.invoiceId ?? sent.invoiceId
  const script = sent.lockingScriptHex ?? extra.lockingScriptHex
  if (id === undefined && script === undefined)
    return malformed('it has no "accepted.extra.invoiceId": send the "accepted" object as it was offered')
  const invoice = typeof id === 'string' ? await invoiceOf(id, payee) : undefined
  if (!invoice)
    return refuse('invoice_not_found', 'this invoice was not made here: send the "accepted" object as it was offered, with its invoiceId')
  if (!isFor(invoice, asked.resource))
    return refuse('resource_mismatch', 'this invoice is for another resource: ask for this one without a payment, and pay what it says')
  const derivation = derivationOf(invoice)
  const own = await scriptOf(payee, derivation)
  if (script !== undefined && (typeof script !== 'string' || script.toLowerCase() !== own))
    return refuse('invoice_not_found', '"lockingScriptHex" is not the script of this invoice')
  let read: ReadTransaction
  try {
    read = readTransaction(rawtx)
  } catch (error) {
    if (error instanceof OverpoolError && error.code === 'BAD_TRANSACTION') return malformed(error.message)
    throw error
  }
  const { scanned } = read
  if (!scanned.inputCount) return malformed('the transaction spends nothing, so it pays nothing')
  const paid = paidTo(scanned, own)
  if (paid.satoshis < invoice.satoshis)
    return refuse('insufficient_funds', `the transaction pays ${paid.satoshis} of ${invoice.satoshis} satoshis to the invoice's script`)
  const payment = { protocol: 'BRC-166' as const, ...read, derivation, script: own, ...paid }
  if (now > invoice.expiresAt)
    return { payment, ...refuse('invoice_expired', `this invoice was good until ${new Date(invoice.expiresAt).toISOString()}`) }
  return { payment }
}

function refuse(reason: Reason, sentence: string): Read {
  return { refusal: refused('BRC-166', reason, sentence) }
}

function malformed(sentence: string): Read {
  return refuse('malformed_payment', sentence)
}

function nameOf(network: Network): string {
  return network === 'main' ? 'bsv:mainnet' : network === 'test' ? 'bsv:testnet' : 'bsv:regtest'
}

export function base64(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64')
}

/** The object in a JSON text in base64. Node passes over what is no base64, so a text that is none gives no JSON either. */
function jsonOf(message: string): Record<string, unknown> | undefined {
  return message.length > MAX_MESSAGE ? undefined : objectOf(Buffer.from(message, 'base64').toString())
}
