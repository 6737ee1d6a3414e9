import { type ReadTransaction, readTransaction } from '../chain/any-format.ts'
import { OverpoolError } from '../errors.ts'
import type { ScannedTransaction } from '../transaction/index.ts'
import { isPublicKey, type Payee, scriptOf } from './payee.ts'
import { type Asked, BASE64, type Header, paidTo, type Read, refused } from './payment.ts'

/** How far the time of a payment may be from ours, ms (BRC-121). */
const MAX_APART_MS = 30_000
/** Characters of a nonce: a key of BRC-42 has a name of 800 characters at most, and the time is a part of it. */
const MAX_NONCE = 700

/** The headers of a payment. */
export const PAYMENT_HEADERS_121 = ['x-bsv-beef', 'x-bsv-sender', 'x-bsv-nonce', 'x-bsv-time', 'x-bsv-vout'] as const

/** The derivation suffix of a payment at a time: base64 of the milliseconds as they are written. */
export function suffixOf(time: string): string {
  return Buffer.from(time).toString('base64')
}

/** The payment of BRC-121 in a request; undefined if it has none of its headers. */
export async function read121(header: Header, { price }: Asked, payee: Payee, now: number): Promise<Read | undefined> {
  const given = PAYMENT_HEADERS_121.map((name) => header(name)?.trim() || undefined)
  if (given.every((value) => value === undefined)) return undefined
  const missing = PAYMENT_HEADERS_121.filter((_, i) => given[i] === undefined)
  if (missing.length) return { refusal: malformed(`the payment has no header ${missing.join(', ')}`) }
  const [beef, sender, nonce, time, vout] = given as [string, string, string, string, string]
  if (!/^\d{13}$/.test(time)) return { refusal: malformed('x-bsv-time is the time in milliseconds, 13 digits') }
  if (!/^\d{1,9}$/.test(vout)) return { refusal: malformed('x-bsv-vout is the number of the output that pays') }
  if (nonce.length > MAX_NONCE || !BASE64.test(nonce)) return { refusal: malformed('x-bsv-nonce is the derivation prefix in base64') }
  if (!isPublicKey(sender)) return { refusal: malformed('x-bsv-sender is a compressed public key in hex, 66 characters') }
  if (!BASE64.test(beef)) return { refusal: malformed('x-bsv-beef is a BEEF in base64') }
  let read: ReadTransaction
  try {
    read = readTransaction(Buffer.from(beef, 'base64'))
  } catch (error) {
    if (error instanceof OverpoolError && error.code === 'BAD_TRANSACTION') return { refusal: malformed(`x-bsv-beef: ${error.message}`) }
    throw error
  }
  const { scanned } = read
  if (!scanned.inputCount) return { refusal: malformed('the transaction spends nothing, so it pays nothing') }
  const derivation = { sender: sender.toLowerCase(), prefix: nonce, suffix: suffixOf(time) }
  const script = await scriptOf(payee, derivation)
  const paid = paidTo(scanned, script)
  if (paid.vout < 0)
    return {
      refusal: refused('BRC-121', 'insufficient_funds', `the transaction pays 0 of ${price} satoshis: no output goes to the derived key`),
    }
  if (Number(vout) !== paid.vout && !paysAt(scanned, script, Number(vout)))
    return { refusal: malformed(`output ${vout} does not go to the derived key; output ${paid.vout} does`) }
  const payment = { protocol: 'BRC-121' as const, ...read, derivation, script, ...paid }
  if (paid.satoshis < price)
    return {
      payment,
      refusal: refused('BRC-121', 'insufficient_funds', `the transaction pays ${paid.satoshis} of ${price} satoshis`),
    }
  if (Math.abs(Number(time) - now) > MAX_APART_MS)
    return {
      payment,
      refusal: refused('BRC-121', 'payment_expired', `x-bsv-time is more than ${MAX_APART_MS / 1_000} s from the time here, ${now}`),
    }
  return { payment }
}

function paysAt(scanned: ScannedTransaction, script: string, vout: number): boolean {
  let n = 0
  for (const output of scanned.readOutputs()) if (n++ === vout) return Buffer.from(script, 'hex').equals(output.script)
  return false
}

/** BRC-121 knows one status for everything that is wrong with a payment. */
function malformed(sentence: string) {
  return refused('BRC-121', 'malformed_payment', sentence)
}
