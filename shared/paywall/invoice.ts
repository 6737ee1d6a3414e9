import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { ANYONE, type Derivation, type KeyAsked, type Payee } from './payee.ts'

/** An invoice that the payer carries: nothing is kept here until it is paid. */
export interface CarriedInvoice {
  /** makes its key different from that of any other */
  nonce: Uint8Array
  /** ms since 1970 */
  expiresAt: number
  satoshis: number
  /** the beginning of the hash of what it is for */
  resource: Uint8Array
}

/** Bytes of each part of an invoice's id; the last is a code that only the payee can make. */
const [NONCE, TIME, AMOUNT, RESOURCE, CODE] = [12, 6, 7, 16, 16] as const
const SAID = NONCE + TIME + AMOUNT + RESOURCE
const AT_AMOUNT = NONCE + TIME
const SUFFIX = Buffer.from('invoice').toString('base64')
const PROTOCOL: KeyAsked['protocolID'] = [2, 'overpool invoice']

/** @param resource what it is for */
export function newInvoice(satoshis: number, resource: string, expiresAt: number): CarriedInvoice {
  return { nonce: randomBytes(NONCE), expiresAt, satoshis, resource: digestOf(resource) }
}

export function isFor(invoice: CarriedInvoice, resource: string): boolean {
  return digestOf(resource).equals(invoice.resource)
}

/** The key of an invoice: its nonce is enough to find it again. */
export function derivationOf({ nonce }: CarriedInvoice): Derivation {
  return { sender: ANYONE, prefix: Buffer.from(nonce).toString('base64'), suffix: SUFFIX }
}

/** The invoice as text, which nobody but the payee can make or change. */
export async function idOf({ nonce, expiresAt, satoshis, resource }: CarriedInvoice, payee: Payee): Promise<string> {
  const said = Buffer.alloc(SAID)
  said.set(nonce)
  said.writeUIntBE(expiresAt, NONCE, TIME)
  said.writeUIntBE(Math.floor(satoshis / 2 ** 32), AT_AMOUNT, AMOUNT - 4)
  said.writeUInt32BE(satoshis % 2 ** 32, AT_AMOUNT + AMOUNT - 4)
  said.set(resource, AT_AMOUNT + AMOUNT)
  return Buffer.concat([said, await codeOf(said, payee)]).toString('base64url')
}

/** The invoice with this id; undefined if the payee has not made it. */
export async function invoiceOf(id: string, payee: Payee): Promise<CarriedInvoice | undefined> {
  if (id.length > 2 * (SAID + CODE) || !/^[\w-]+$/.test(id)) return undefined
  const bytes = Buffer.from(id, 'base64url')
  if (bytes.length !== SAID + CODE) return undefined
  const said = bytes.subarray(0, SAID)
  if (!timingSafeEqual(bytes.subarray(SAID), await codeOf(said, payee))) return undefined
  return {
    nonce: said.subarray(0, NONCE),
    expiresAt: said.readUIntBE(NONCE, TIME),
    satoshis: said.readUIntBE(AT_AMOUNT, AMOUNT - 4) * 2 ** 32 + said.readUInt32BE(AT_AMOUNT + AMOUNT - 4),
    resource: said.subarray(AT_AMOUNT + AMOUNT),
  }
}

async function codeOf(said: Buffer, payee: Payee): Promise<Buffer> {
  const { hmac } = await payee.createHmac({ data: [...said], protocolID: PROTOCOL, keyID: '1', counterparty: 'self' })
  return Buffer.from(hmac).subarray(0, CODE)
}

function digestOf(resource: string): Buffer {
  return hash('sha256', resource, 'buffer').subarray(0, RESOURCE)
}
