import { isUtf8 } from 'node:buffer'
import { type ReadTransaction, readTransaction } from '../chain/any-format.ts'
import { OverpoolError } from '../errors.ts'
import type { PaymentFields } from '../ledger/kinds.ts'
import { toStorable } from '../ledger/values.ts'
import { turn } from '../turn.ts'
import { checkExact, parseExactly } from './exact.ts'

/** Longest transaction, hex characters. BIP270 lets a host refuse a Payment over 10,000,000 bytes; here the transaction alone may have as many. */
export const MAX_TRANSACTION_HEX = 10_000_000
/** The same in bytes, with the ancestors that come along. */
export const MAX_TRANSACTION_BYTES = MAX_TRANSACTION_HEX / 2
/** BIP270, Payment: `merchantData`, characters; of its JSON where an older wallet sends an object. */
export const MAX_MERCHANT_DATA = 10_000
/** BIP270, Payment: `refundTo`, a paymail, characters. */
export const MAX_REFUND_TO = 100
/** Our own limit for `refundTo` in the form of 2019, a list of outputs: characters of its JSON. */
export const MAX_REFUND_OUTPUTS = 10_000
/** Our own limit, BIP270 names none: `memo`, characters. */
export const MAX_MEMO = 10_000
/** Longest Payment, bytes: the longest transaction, and six bytes for each character of the other fields (a JSON escape such as \u00e9). */
export const MAX_PAYMENT_BYTES = MAX_TRANSACTION_HEX + 6 * (MAX_MERCHANT_DATA + MAX_REFUND_OUTPUTS + MAX_MEMO) + 1_000
/** Lambda takes 6 MB, and a body that is not text arrives as base64, a third longer: so 4.5 MB of what the wallet sent. */
export const MAX_PAYMENT_BYTES_ON_LAMBDA = 4_500_000

/** The most marks (brackets and commas, or the `&` and `+` of a form) that a Payment can have: that many characters are in its strings. An honest one has six. */
const MAX_STRUCTURE = MAX_MERCHANT_DATA + MAX_REFUND_OUTPUTS + MAX_MEMO + 100
/** Below this many bytes a parser cannot be made to do harm. */
const SMALL = 64 * 1024

/** A Payment that has been checked: its transaction's bytes were scanned, its other fields are within their limits. */
export interface CheckedPayment extends ReadTransaction {
  fields: PaymentFields
  /** the fields that the wallet sent as null. They count as absent, and only the PaymentACK repeats them, as the original did: a wallet may compare */
  nulls?: Record<string, null>
}

type Dialect = 'json' | 'form'

/**
 * Which notation a Content-Type names; any case and any parameters, none means JSON (BIP270 and what wallets send). A compressed message is UNSUPPORTED_MEDIA_TYPE: no wallet
 * sends one, and a few bytes could grow to megabytes.
 */
export function dialectOf(contentType: string | undefined, contentEncoding?: string): Dialect {
  checkNotCompressed(contentEncoding)
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
      throw new OverpoolError(
        'UNSUPPORTED_MEDIA_TYPE',
        'a Payment is sent as application/json or application/bitcoinsv-payment; send it with one of these types',
      )
  }
}

/** @throws OverpoolError UNSUPPORTED_MEDIA_TYPE */
export function checkNotCompressed(contentEncoding = 'identity'): void {
  if (contentEncoding.trim().toLowerCase() !== 'identity')
    throw new OverpoolError(
      'UNSUPPORTED_MEDIA_TYPE',
      'the message has a Content-Encoding; send the Payment uncompressed, without this header',
    )
}

/** A form cannot begin with it: there it is escaped. */
const OPENING_BRACE = 0x7b

const NOT_UTF8 = 'the message is not valid UTF-8'
const BYTE_ORDER_MARK = Buffer.from('\ufeff')

/** Reads a Payment message, or throws MALFORMED_PAYMENT, BAD_PAYMENT or BAD_TRANSACTION. Others have their turn between the steps of a large one. */
export async function readPayment(body: Uint8Array, dialect: Dialect): Promise<CheckedPayment> {
  const text = readText(body)
  const isJson = dialect === 'json' || text[0] === OPENING_BRACE // `curl -d '{…}'` sends the type of a form
  const value = await (isJson ? parseJson(text) : parseForm(text))
  if (body.length > SMALL) await turn()
  return checkPayment(value)
}

/** The text of a message, without its byte order mark. @throws OverpoolError MALFORMED_PAYMENT: it is not in UTF-8 */
export function readText(body: Uint8Array): Buffer {
  const whole = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (isUtf16(whole)) throw malformed('the message is in UTF-16; send it in UTF-8')
  if (!isUtf8(whole)) throw malformed(NOT_UTF8)
  return BYTE_ORDER_MARK.equals(whole.subarray(0, BYTE_ORDER_MARK.length)) ? whole.subarray(BYTE_ORDER_MARK.length) : whole // RFC 8259, section 8.1
}

/** A message in JSON, within bounds. @throws OverpoolError MALFORMED_PAYMENT */
export async function readJson(body: Uint8Array): Promise<unknown> {
  return parseJson(readText(body))
}

/** Its byte order mark, or one of its first characters in two bytes: a function URL has made a mark into replacement characters. No JSON and no form in UTF-8 has a zero byte. */
function isUtf16(text: Uint8Array): boolean {
  const [first, second] = text
  return (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff) || text.subarray(0, 8).includes(0)
}

// JSON.parse of ten million brackets takes gigabytes, and URLSearchParams a minute for a million fields: count first, which costs nothing for an
// honest message.

async function parseJson(text: Buffer): Promise<unknown> {
  if (text.length > SMALL && marks(text, '[{,') > MAX_STRUCTURE) return parseList(text)
  const message = text.toString('utf8')
  if (text.length > SMALL) await turn()
  const value = parsed(message, JSON.parse, 'the message is not JSON')
  // Only an older wallet's payment holds numbers; others are parsed once, which is faster.
  const { merchantData, refundTo } = Object(value) as Record<string, unknown>
  if (typeof (merchantData ?? '') === 'string' && typeof (refundTo ?? '') === 'string') return value
  if (text.length > SMALL) await turn()
  toStorable([merchantData, refundTo]) // refuses what is nested too deeply, by name
  return parsed(message, parseExactly, 'the message is nested too deeply')
}

/** A field's name in JSON, up to the list that is its value. */
const LIST = /^"transaction"[ \t\n\r]*:[ \t\n\r]*\[/
const NAME = '"transaction"'
/** How often the name is looked for: an older wallet's `merchantData` may hold it, too. */
const MAX_NAMES = 10

/**
 * Reads a Payment whose transaction is a long list of bytes, as wallets of BRC-100 give it. JSON.parse would make an array of eight times its bytes; so the list is read here,
 * and the rest of the message without it.
 */
async function parseList(text: Buffer): Promise<unknown> {
  const list = listIn(text)
  const rest = list && Buffer.concat([text.subarray(0, list.from), Buffer.from('null'), text.subarray(list.to)])
  if (!list || marks(rest!, '[{,') > MAX_STRUCTURE) throw malformed('the message is nested too deeply or has too many fields')
  await turn()
  const value = (await parseJson(rest!)) as { transaction?: unknown }
  return value.transaction === null ? { ...value, transaction: list.bytes } : value // a second field of this name counts
}

/** The list of bytes in the field "transaction" of a Payment itself, and where it stands. */
function listIn(text: Buffer): { bytes: Uint8Array; from: number; to: number } | undefined {
  let at = text.indexOf(NAME)
  for (let left = MAX_NAMES; left > 0 && at >= 0; left--, at = text.indexOf(NAME, at + 1)) {
    const begin = LIST.exec(text.toString('latin1', at, at + 100))
    if (!begin) continue
    const from = at + begin[0].length - 1
    if (isField(text.subarray(0, from))) return { from, ...readList(text, from) }
  }
  return undefined
}

/** Whether a value that follows on this text is a field of the object with which the text begins. */
function isField(before: Buffer): boolean {
  if (marks(before, '[{,') > MAX_STRUCTURE) return false
  try {
    JSON.parse(`${before.toString()}null}`)
    return true
  } catch {
    return false
  }
}

/** @param from where the list begins. Returns its bytes, and where it ends */
function readList(text: Buffer, from: number): { bytes: Uint8Array; to: number } {
  const bytes = new Uint8Array(Math.min(text.length - from, MAX_TRANSACTION_BYTES + 1))
  let count = 0
  let byte = -1
  let isOver = false // white space has followed on the digits
  for (let at = from + 1; at < text.length; at++) {
    const character = text[at]!
    const digit = character - 0x30
    if (digit >= 0 && digit <= 9 && byte !== 0 && !isOver) {
      byte = byte < 0 ? digit : byte * 10 + digit
      if (byte > 0xff) throw notBytes(count)
    } else if ((character === COMMA || character === CLOSING_BRACKET) && byte >= 0) {
      if (count === MAX_TRANSACTION_BYTES) throw listTooLarge()
      bytes[count++] = byte
      if (character === CLOSING_BRACKET) return { bytes: bytes.subarray(0, count), to: at + 1 }
      byte = -1
      isOver = false
    } else if (WHITE_SPACE.includes(character)) isOver = byte >= 0
    else throw notBytes(count)
  }
  throw malformed('the message is not JSON')
}

const COMMA = 0x2c
const CLOSING_BRACKET = 0x5d
const WHITE_SPACE = Buffer.from(' \t\n\r')

function notBytes(place: number): OverpoolError {
  return new OverpoolError(
    'BAD_TRANSACTION',
    `"transaction" is a list, and what stands at its place ${place} is no byte: send a list of whole numbers from 0 to 255, or hex`,
  )
}

function listTooLarge(): OverpoolError {
  return new OverpoolError('PAYMENT_TOO_LARGE', `"transaction" may have ${MAX_TRANSACTION_BYTES} bytes`)
}

function parsed(message: string, parse: (message: string) => unknown, fault: string): unknown {
  try {
    return parse(message)
  } catch (cause) {
    throw malformed(fault, cause)
  }
}

function parseForm(text: Buffer): unknown {
  if (text.length > SMALL && marks(text, '&+') > MAX_STRUCTURE) throw malformed('the message has too many fields')
  const form = text.toString('utf8')
  const fields = [...new URLSearchParams(form)]
  // What is no UTF-8 becomes U+FFFD, which may also stand there itself.
  if (fields.some((field) => field.join().includes('\ufffd')) && !isEscapedUtf8(form)) throw malformed(NOT_UTF8)
  return Object.fromEntries(fields)
}

function isEscapedUtf8(form: string): boolean {
  try {
    decodeURIComponent(form.replace(/%(?![\da-f]{2})/gi, '%25')) // a percent sign that escapes nothing stands for itself
    return true
  } catch {
    return false
  }
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
  const one = present(transaction) ? transaction : onlyOne(transactions)
  if (one === undefined) throw bad(`${otherProtocol(value)}a Payment has a "transaction", in hex`)
  const isNull = [merchantData, refundTo, memo].includes(null)
  return { ...readTransaction(textOrBytes(one)), fields, ...(isNull && { nulls: nullsOf({ merchantData, refundTo, memo }) }) }
}

/** The transaction of a Payment: text, bytes, or a list of bytes. */
function textOrBytes(transaction: unknown): string | Uint8Array {
  if (typeof transaction === 'string') {
    const text = transaction.trim() // a file's last newline
    if (text.length <= MAX_TRANSACTION_HEX) return text
    throw new OverpoolError('PAYMENT_TOO_LARGE', `"transaction" may have ${MAX_TRANSACTION_HEX} hex characters`)
  }
  if (!(transaction instanceof Uint8Array) && !Array.isArray(transaction)) throw bad('"transaction" is a string of hex characters')
  if (transaction.length > MAX_TRANSACTION_BYTES) throw listTooLarge()
  if (transaction instanceof Uint8Array) return transaction
  const place = transaction.findIndex((byte) => !isByte(byte))
  if (place >= 0 || !transaction.length) throw notBytes(Math.max(place, 0))
  return Uint8Array.from(transaction as number[])
}

function nullsOf(fields: Record<string, unknown>): Record<string, null> {
  return Object.fromEntries(Object.entries(fields).filter((field): field is [string, null] => field[1] === null))
}

/** The dialect of 2019 sent a list of transactions: one with a single transaction is taken. */
function onlyOne(transactions: unknown): unknown {
  if (!Array.isArray(transactions) || !transactions.length) return undefined
  if (transactions.length > 1)
    throw bad(`a Payment has one transaction, and "transactions" has ${transactions.length}: send each in a Payment of its own`)
  if (typeof transactions[0] === 'object')
    throw bad('"transactions" holds an object, as in JSON Payment Protocol v2; send { "transaction": "<hex>" }, as BIP270 says')
  return transactions[0]
}

/** Fields by which others send a transaction, or its id. */
const OTHER_FIELDS: Record<string, string> = {
  rawTx: 'as in ARC',
  rawtx: 'as in x402',
  hex: 'as in paymail',
  mode: 'as in DPP',
  beef: 'as in BRC-100',
  tx: 'as in BRC-100',
  transactionId: 'the id alone, as in HandCash',
  txid: 'the id alone',
}

function otherProtocol(payment: object): string {
  const field = Object.keys(OTHER_FIELDS).find((name) => Object.hasOwn(payment, name))
  return field === undefined ? '' : `this message has "${field}", ${OTHER_FIELDS[field]}; `
}

function isByte(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 256
}

/** The fields of a Payment beside its transaction, or BAD_PAYMENT if one is too long. */
export function checkFields({ merchantData, refundTo, memo }: Record<string, unknown>): PaymentFields {
  const fields: PaymentFields = {}
  if (present(merchantData)) fields.merchantData = within(merchantData, 'merchantData', MAX_MERCHANT_DATA)
  if (present(refundTo)) fields.refundTo = within(refundTo, 'refundTo', Array.isArray(refundTo) ? MAX_REFUND_OUTPUTS : MAX_REFUND_TO)
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
  checkExact(value, field)
  return value
}

function malformed(message: string, cause?: unknown): OverpoolError {
  return new OverpoolError('MALFORMED_PAYMENT', message, { cause })
}

function bad(message: string): OverpoolError {
  return new OverpoolError('BAD_PAYMENT', message)
}
