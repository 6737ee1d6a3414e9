import { createHmac, createSecretKey, hash, timingSafeEqual } from 'node:crypto'
import { encode } from 'cborg'
import { OverpoolError } from '../errors.ts'
import { decodeStrict, toStorable } from '../ledger/values.ts'
import { addressOf } from '../transaction/index.ts'
import { type Invoice, keyPathOf } from './invoice.ts'
import type { InvoiceOutput } from './view.ts'

/** Keys of the HMAC, 32 bytes each. The first one signs; all of them are known, so that a key can be replaced while requests with the old one are under way. */
export type TokenKeys = readonly [Uint8Array, ...Uint8Array[]]

/** BIP270: characters of `merchantData`. */
const MAX_TOKEN = 10_000
/** Characters of the name of a key, and of the MAC (128 bits). */
const [NAME, MAC] = [6, 22]
const TOKEN = new RegExp(`^([\\w-]{${NAME}})\\.([\\w-]+)\\.([\\w-]{${MAC}})$`)

/**
 * An invoice as text that only this machine can have written: `merchantData` of a payment request (BIP270), and the last part of the URL of one that is not kept.
 * @throws OverpoolError BAD_ARGUMENT: it is too long
 */
export function tokenOf(invoice: Invoice, [key]: TokenKeys): string {
  const { id, pool, outputs, memo, createdAt, expiresAt, data } = invoice
  // The URL of a request is a code that people scan: what follows from the rest is left out.
  const list = outputs.map(({ satoshis, script, address, description, keyPath }, i) => {
    const locking = Buffer.from(script, 'hex')
    const more = [
      address !== undefined && address === addressOf(locking) ? true : (address ?? null),
      keyPath !== undefined && keyPath === keyPathOf(id, i) ? true : (keyPath ?? null),
      description ?? null,
    ]
    return [satoshis, locking, ...more.slice(0, more.findLastIndex((one) => one !== null) + 1)]
  })
  const fields = [Buffer.from(id, 'base64url'), pool, list, memo ?? null, createdAt, expiresAt ?? null, data === undefined ? [] : [data]]
  const body = Buffer.from(encode(toStorable(fields))).toString('base64url')
  const token = `${nameOf(key)}.${body}.${macOf(key, body)}`
  if (token.length <= MAX_TOKEN) return token
  throw new OverpoolError(
    'BAD_ARGUMENT',
    `what is asked for takes ${token.length} characters of merchantData, and BIP270 allows ${MAX_TOKEN}: ask for less, or keep \`data\` elsewhere`,
  )
}

/** Whether a text has the form of a token. Nothing else that a wallet sends is looked at. */
export function isToken(text: unknown): text is string {
  return typeof text === 'string' && text.length <= MAX_TOKEN && TOKEN.test(text)
}

/** The invoice in a token; undefined if none of our keys has signed it. */
export function invoiceIn(token: string, keys: TokenKeys): Invoice | undefined {
  const [, name, body = '', mac = ''] = TOKEN.exec(token) ?? []
  const key = keys.find((one) => nameOf(one) === name)
  if (!key || !timingSafeEqual(Buffer.from(mac), Buffer.from(macOf(key, body)))) return undefined
  const [id, pool, list, memo, createdAt, expiresAt, data] = decodeStrict(Buffer.from(body, 'base64url')) as Fields
  const named = Buffer.from(id).toString('base64url')
  const outputs = list.map(([satoshis, script, address = null, keyPath = null, description = null], i): InvoiceOutput => {
    const shown = address === true ? addressOf(script) : address
    return {
      satoshis,
      script: Buffer.from(script).toString('hex'),
      ...(shown && { address: shown }),
      ...(description !== null && { description }),
      ...(keyPath !== null && { keyPath: keyPath === true ? keyPathOf(named, i) : keyPath }),
    }
  })
  return {
    id: named,
    pool,
    outputs,
    createdAt,
    ...(memo !== null && { memo }),
    ...(expiresAt !== null && { expiresAt }),
    ...(data.length > 0 && { data: data[0] }),
  }
}

type Text = string | null
type Fields = [Uint8Array, string, [number, Uint8Array, (Text | true)?, (Text | true)?, Text?][], Text, number, number | null, unknown[]]

/** Says which key it is, and nothing of the key. */
function nameOf(key: Uint8Array): string {
  return hash('sha256', Buffer.concat([Buffer.from('overpool invoice key\0'), key]), 'base64url').slice(0, NAME)
}

function macOf(key: Uint8Array, body: string): string {
  // With the key as bytes it takes several times as long.
  return createHmac('sha256', createSecretKey(key)).update(body).digest('base64url').slice(0, MAC)
}

/** Keys as they are stored: 64 hex characters each, the newest first, with white space or commas between them. @throws OverpoolError BAD_CONFIG */
export function tokenKeysIn(text: string, where: string): TokenKeys {
  const keys = text.split(/[\s,]+/).filter((key) => key)
  if (!keys.length || !keys.every((key) => /^[\da-f]{64}$/i.test(key)))
    throw new OverpoolError(
      'BAD_CONFIG',
      `${where} holds no keys: put in 64 hex characters for each, the newest first (openssl rand -hex 32)`,
    )
  return keys.map((key) => Buffer.from(key, 'hex')) as unknown as TokenKeys
}
