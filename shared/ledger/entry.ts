import { hash } from 'node:crypto'
import { decode, encode } from 'cborg'
import { OverpoolError } from '../errors.ts'
import { encodePlainEntry } from './plain-entry.ts'

/** 64 hex characters: what makes two posts "the same post". */
export type EntryId = string & { readonly __brand: 'EntryId' }

/** Where a post came from. */
export type Source = 'http' | 'api' | 'handler'

/** The entry whose handler posted this one: the public key of its pool (64 hex) and its sequence number. */
export interface Cause {
  key: string
  seq: number
}

/** The Payment fields of BIP270 besides `transaction`, those that were present. */
export interface PaymentFields {
  merchantData?: unknown
  refundTo?: unknown
  memo?: string
}

/** One payment in a pool. Its sequence number is its place: the block's `first` plus its index. */
export interface Entry {
  id: EntryId
  /** when the door took it, ms since 1970 */
  at: number
  tx: Uint8Array
  payment: PaymentFields
  source: Source
  cause?: Cause
  /** posts between this entry and the one that began the loop; 0 for an entry without a cause */
  hops: number
  /** keys that a later version wrote: kept, ignored */
  unknown?: Record<string, unknown>
}

const SOURCES: ReadonlySet<unknown> = new Set<Source>(['http', 'api', 'handler'])

/** The last ms since 1970 that a Date can hold. */
const MAX_TIME = 8_640_000_000_000_000

/** A payment may nest its values so deep: a reader with less stack than the writer could not decode the block. */
const MAX_DEPTH = 64

/**
 * An entry as deterministic CBOR, the bytes that a block holds (DESIGN, Formats).
 * @throws OverpoolError BAD_PAYMENT: a field that cannot be kept
 */
export function encodeEntry(entry: Entry): Uint8Array {
  return encodePlainEntry(entry, encodeFields) ?? encodeAnyEntry(entry)
}

/** The same by way of the general encoder, for entries of any shape. */
export function encodeAnyEntry(entry: Entry): Uint8Array {
  const map: Record<string, unknown> = {
    ...entry.unknown,
    id: hexBytes(entry.id),
    at: entry.at,
    tx: entry.tx,
    payment: toStorable(entry.payment),
    source: entry.source,
  }
  if (entry.cause) map.cause = [hexBytes(entry.cause.key), entry.cause.seq]
  if (entry.hops) map.hops = entry.hops
  return encode(map)
}

function encodeFields(fields: PaymentFields): Uint8Array {
  return Object.keys(fields).length ? encode(toStorable(fields)) : EMPTY_MAP
}

/** The entry in these bytes, or BAD_BLOCK. */
export function decodeEntry(bytes: Uint8Array): Entry {
  return entryOf(decodeStrict(bytes))
}

/** Checks that a decoded CBOR value has the shape of an entry, or throws BAD_BLOCK. */
export function entryOf(value: unknown): Entry {
  const map = asMap(value, 'an entry')
  const { id, at, tx, payment, source, cause, hops, ...unknown } = map
  if (!(id instanceof Uint8Array) || id.length !== 32) throw badBlock('an entry without an id of 32 bytes')
  if (!isUint(at) || at > MAX_TIME) throw badBlock('an entry without a time')
  if (!(tx instanceof Uint8Array)) throw badBlock('an entry without a transaction')
  if (!SOURCES.has(source)) throw badBlock('an entry of an unknown source')
  if (hops !== undefined && !isUint(hops)) throw badBlock('an entry whose hops are no number')
  const fields: PaymentFields & { transaction?: unknown } = asMap(payment, 'a payment')
  if (fields.memo !== undefined && typeof fields.memo !== 'string') throw badBlock('a payment whose memo is no string')
  if (fields.transaction !== undefined) throw badBlock('a payment with a second transaction')
  const entry: Entry = { id: hex(id) as EntryId, at, tx, payment: fields, source: source as Source, hops: (hops as number) ?? 0 }
  if (cause !== undefined) {
    if (!Array.isArray(cause) || cause.length !== 2 || !(cause[0] instanceof Uint8Array) || cause[0].length !== 32 || !isUint(cause[1]))
      throw badBlock('an entry with a malformed cause')
    entry.cause = { key: hex(cause[0]), seq: cause[1] }
  }
  if (Object.keys(unknown).length) entry.unknown = unknown
  return entry
}

/** Decodes CBOR that others may have written: definite lengths and no repeated keys only, and every failure is BAD_BLOCK. */
export function decodeStrict(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, { allowIndefinite: false, rejectDuplicateMapKeys: true, strict: true })
  } catch (cause) {
    throw badBlock('bytes that are not CBOR', cause) // a deep nest overflows the stack: a RangeError, caught here too
  }
}

/**
 * A copy of a value as it comes back from CBOR, or BAD_PAYMENT. Text that is no Unicode (half of a surrogate pair) or begins with a byte order mark comes back as other
 * text; were it written as it is, two keys could come back as one, and nobody could decode a block with such a payment in it.
 */
export function toStorable<T>(value: T): T {
  return storableAt(value, 0) as T
}

function storableAt(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return storableText(value)
  if (typeof value === 'function' || typeof value === 'symbol' || typeof value === 'bigint') throw notStorable(`a ${typeof value}`)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  if (depth > MAX_DEPTH) throw notStorable(`values nested deeper than ${MAX_DEPTH}`)
  if (Array.isArray(value)) return value.map((item) => storableAt(item, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [storableText(key), storableAt(item, depth + 1)]))
}

function storableText(text: string): string {
  return text.toWellFormed().replace(/^\ufeff+/, '')
}

function notStorable(what: string): OverpoolError {
  return new OverpoolError('BAD_PAYMENT', `the payment holds ${what}, which a ledger cannot keep`)
}

export function badBlock(what: string, cause?: unknown): OverpoolError {
  return new OverpoolError('BAD_BLOCK', `the block holds ${what}`, { cause })
}

export function isUint(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

export function asMap(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array)
    throw badBlock(`${what} that is no map`)
  return value as Record<string, unknown>
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

export function hexBytes(text: string): Uint8Array {
  return Buffer.from(text, 'hex')
}

// ---- entry ids (Promise 3). Each kind begins with its own word, so that no two kinds can meet.

/** The id of a wallet's post: the same pool and payment give the same id, so a retry is no second entry. */
export function idOfPayment(pool: string, transaction: Uint8Array, fields: PaymentFields): EntryId {
  const begin = Buffer.from(`http\0${pool}\0${transaction.length}\0`)
  const rest = Object.keys(fields).length ? encode(toStorable(fields)) : EMPTY
  return hash('sha256', Buffer.concat([begin, transaction, rest])) as EntryId
}

/** The id of a post into a pool with `unique: 'transaction'`: whatever else the payment says, one transaction is one entry. */
export function idOfTransaction(pool: string, txid: string): EntryId {
  return hash('sha256', `transaction\0${pool}\0${txid}`) as EntryId
}

/** The id of a post inside a handler: run again on the same entry, it makes the same posts. */
export function idOfHandlerPost(handler: string, cause: Cause, ordinal: number): EntryId {
  return hash('sha256', `handler\0${handler}\0${cause.key}\0${cause.seq}\0${ordinal}`) as EntryId
}

/** The id of a post that its user named. */
export function idOfName(pool: string, name: string): EntryId {
  return hash('sha256', `name\0${pool}\0${name}`) as EntryId
}

const EMPTY = new Uint8Array(0)
const EMPTY_MAP = Uint8Array.of(0xa0)
