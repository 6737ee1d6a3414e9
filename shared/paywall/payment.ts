import type { ReadTransaction } from '../chain/any-format.ts'
import { OverpoolError } from '../errors.ts'
import type { ScannedTransaction } from '../transaction/index.ts'
import { MAX_SATOSHIS } from '../transaction/reader.ts'
import type { Derivation } from './payee.ts'

export type Protocol = 'BRC-121' | 'BRC-166'

/** Names a header of a request; its value, if it has one. @param name in small letters */
export type Header = (name: string) => string | undefined

/** What is asked for a request. */
export interface Asked {
  /** satoshis */
  price: number
  /** what is bought: the method, the path and the query. An invoice for one thing does not pay another */
  resource: string
  /** where it is, for people */
  url: string
  /** where a payment of BRC-166 may be posted in a body */
  submitUrl?: string
}

/** A payment that came with a request: it pays a key of the payee. */
export interface Payment extends ReadTransaction {
  protocol: Protocol
  /** what it pays to the payee, satoshis, and to which key */
  satoshis: number
  derivation: Derivation
  /** hex */
  script: string
  /** the first output with this script */
  vout: number
}

/** Why a payment does not count, in the words of x402 (BRC-166, section 7), and of our own where it has none. */
export type Reason =
  | 'malformed_payment'
  | 'invoice_not_found'
  | 'invoice_expired'
  | 'resource_mismatch'
  | 'insufficient_funds'
  | 'payment_expired' // BRC-121: its time is too far from ours
  | 'body_too_large' // of the request that was paid for
  | 'payment_used' // it has bought something else
  | 'broadcast_rejected'
  | 'broadcast_unavailable'

export interface Refusal {
  protocol: Protocol
  reason: Reason
  /** 402; 400 for what cannot be read, 500 for a fault of ours that may pass */
  status: number
  /** for people */
  sentence: string
  /** whether the same payment may be taken later */
  retryable: boolean
}

/**
 * What is to be said of the payment in a request: it pays for it; or it does not, and why. Where there is a payment as well as a refusal, the payee has the money, or had it before:
 * it came late, or is too little.
 */
export interface Read {
  payment?: Payment
  refusal?: Refusal
}

export function refused(protocol: Protocol, reason: Reason, sentence: string): Refusal {
  const status = reason === 'malformed_payment' && protocol === 'BRC-166' ? 400 : reason === 'broadcast_unavailable' ? 500 : 402
  return { protocol, reason, status, sentence, retryable: status === 500 }
}

/** What a transaction pays to a script: satoshis, and the first output that does. A sum of satoshis of one transaction is exact: the scanner bounds each, and the count of bytes their number. */
export function paidTo(scanned: ScannedTransaction, script: string): { satoshis: number; vout: number } {
  const wanted = Buffer.from(script, 'hex')
  let [satoshis, vout, n] = [0n, -1, 0]
  for (const output of scanned.readOutputs()) {
    if (wanted.equals(output.script)) {
      satoshis += output.satoshis
      if (vout < 0) vout = n
    }
    n++
  }
  return { satoshis: Number(satoshis), vout }
}

export const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** @throws OverpoolError BAD_ARGUMENT */
export function checkPrice(price: unknown): number {
  if (Number.isSafeInteger(price) && (price as number) > 0 && (price as number) <= MAX_SATOSHIS) return price as number
  throw new OverpoolError('BAD_ARGUMENT', 'a price is a whole number of satoshis, at least 1')
}
