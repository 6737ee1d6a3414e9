import { OverpoolError } from '../errors.ts'
import type { PaymentFields } from '../ledger/kinds.ts'
import { toStorable } from '../ledger/values.ts'
import { type ScannedTransaction, transactionFromHex } from '../transaction/index.ts'

/** Longest transaction, hex characters (BIP270: a Payment over 10,000,000 bytes is refused by the host). */
export const MAX_TRANSACTION_HEX = 10_000_000
/** BIP270, Payment: `merchantData`, characters; of its JSON where an older wallet sends an object. */
export const MAX_MERCHANT_DATA = 10_000
/** BIP270, Payment: `refundTo`, a paymail, characters. */
export const MAX_REFUND_TO = 100
/** Our own limit, BIP270 names none: `memo`, characters. */
export const MAX_MEMO = 10_000
/** A whole Payment, bytes: the longest transaction, and room for the other fields with every character escaped. */
export const MAX_PAYMENT_BYTES = MAX_TRANSACTION_HEX + 6 * (MAX_MERCHANT_DATA + MAX_REFUND_TO + MAX_MEMO) + 1_000
/** Lambda takes 6 MB, and a body that is not text arrives as base64, a third longer: so 4.5 MB of what the wallet sent. */
export const MAX_PAYMENT_BYTES_ON_LAMBDA = 4_500_000

/** The most marks (brackets and commas, or the `&` and `+` of a form) that a Payment can have: that many characters are in its strings. An honest one has six. */
const MAX_STRUCTURE = MAX_MERCHANT_DATA + MAX_REFUND_TO + MAX_MEMO + 100
/** Below this many bytes a parser cannot be made to do harm. */
const SMALL = 64 * 1024

/** A Payment that has been checked: its transaction's bytes were scanned, its other fields are within their limits. */
export interface CheckedPayment {
  scanned: ScannedTransaction
  fields: PaymentFields
}

type Dialect = 'json' | 'form'

/** Which notation a Content-Type names; any case and any parameters, none means JSON (BIP270 and what wallets send). */
export function dialectOf(contentType: string | undefined): Dialect {
  const type = contentType?.split(';', 1)[0]?.trim().toLowerCase()
  switch (type) {
    case undefined:
    case '':
    case 'application/json':
    case 'application/bitcoinsv-payment':
    case 'application/payment':
      return 'json'
    case 'application/x-www-form-urlencoded': // accepted by the original
      return 'form'
    default:
      throw new OverpoolError('UNSUPPORTED_MEDIA_TYPE', 'a Payment is sent as application/json or application/bitcoinsv-payment')
  }
}

/** A form cannot begin with it: there it is escaped. */
const OPENING_BRACE = 0x7b

/** Reads a Payment message, or throws MALFORMED_PAYMENT, BAD_PAYMENT or BAD_TRANSACTION. */
export function readPayment(body: Uint8Array, dialect: Dialect): CheckedPayment {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const isJson = dialect === 'json' || text[0] === OPENING_BRACE // `curl -d '{…}'` sends the type of a form
  return checkPayment(isJson ? parseJson(text) : parseForm(text))
}

// JSON.parse of ten million brackets takes gigabytes, and URLSearchParams a minute for a million fields: count first, which costs nothing for an
// honest message.

function parseJson(text: Buffer): unknown {
  if (text.length > SMALL && marks(text, '[{,') > MAX_STRUCTURE) throw malformed('the message is nested too deeply or has too many fields')
  try {
    return JSON.parse(text.toString('utf8'))
  } catch (cause) {
    throw malformed('the message is not JSON', cause)
  }
}

function parseForm(text: Buffer): unknown {
  if (text.length > SMALL && marks(text, '&+') > MAX_STRUCTURE) throw malformed('the message has too many fields')
  return Object.fromEntries(new URLSearchParams(text.toString('utf8')))
}

function marks(text: Buffer, which: string): number {
  let count = 0
  for (const mark of Buffer.from(which)) {
    for (let at = text.indexOf(mark); at >= 0 && count <= MAX_STRUCTURE; at = text.indexOf(mark, at + 1)) count++
  }
  return count
}

/** Checks a Payment that is already an object, such as one that a program posts. */
export function checkPayment(value: unknown): CheckedPayment {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed('a Payment is a JSON object with a "transaction"')
  const { transaction, transactions, merchantData, refundTo, memo } = value as Record<string, unknown>
  const understood = new Set(['transaction', 'transactions', 'merchantData', 'refundTo', 'memo'])
  for (const field in value) {
    if (field.startsWith('req-') && !understood.has(field))
      throw bad(`the field "${field.slice(0, 60)}" must be understood, and is not known here`) // BIP270, extensibility
  }
  const fields = checkFields({ merchantData, refundTo, memo })
  // The dialect of 2019 sent an array: we take one with a single transaction.
  const one = present(transaction) ? transaction : Array.isArray(transactions) && transactions.length === 1 ? transactions[0] : undefined
  if (one === undefined) throw bad('a Payment has a "transaction", in hex')
  if (typeof one !== 'string') throw bad('"transaction" is a string of hex characters')
  if (one.length > MAX_TRANSACTION_HEX)
    throw new OverpoolError('PAYMENT_TOO_LARGE', `"transaction" may have ${MAX_TRANSACTION_HEX} hex characters`)
  return { scanned: transactionFromHex(one), fields }
}

/** The fields of a Payment beside its transaction, or BAD_PAYMENT if one is too long. */
export function checkFields({ merchantData, refundTo, memo }: Record<string, unknown>): PaymentFields {
  const fields: PaymentFields = {}
  if (present(merchantData)) fields.merchantData = within(merchantData, 'merchantData', MAX_MERCHANT_DATA)
  if (present(refundTo)) fields.refundTo = within(refundTo, 'refundTo', MAX_REFUND_TO)
  if (present(memo)) {
    if (typeof memo !== 'string') throw bad('"memo" is a string')
    fields.memo = within(memo, 'memo', MAX_MEMO) as string
  }
  return fields
}

function present(value: unknown): boolean {
  return value !== undefined && value !== null // null counts as absent
}

function within(value: unknown, field: string, limit: number): unknown {
  const length = (typeof value === 'string' ? value : JSON.stringify(toStorable(value))).length // an older wallet's object: no deeper than can be kept
  if (length > limit) throw bad(`"${field}" may have ${limit} characters, not ${length}`)
  return value
}

function malformed(message: string, cause?: unknown): OverpoolError {
  return new OverpoolError('MALFORMED_PAYMENT', message, { cause })
}

function bad(message: string): OverpoolError {
  return new OverpoolError('BAD_PAYMENT', message)
}
