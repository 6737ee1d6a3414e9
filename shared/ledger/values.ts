import { decode } from 'cborg'
import { OverpoolError } from '../errors.ts'

/** How deep a payment may nest its values: a reader with a smaller stack than the writer must still be able to decode the block. */
const MAX_DEPTH = 64

/** Decodes CBOR that others may have written: definite lengths and no repeated keys only, and every failure is BAD_BLOCK. */
export function decodeStrict(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, { allowIndefinite: false, rejectDuplicateMapKeys: true, strict: true })
  } catch (cause) {
    throw badBlock('bytes that are not CBOR', cause) // a deep nest overflows the stack: a RangeError, caught here too
  }
}

/**
 * A copy of a value as it comes back from CBOR, or BAD_PAYMENT. Text with half a surrogate pair, or with a byte order mark at its start, comes back as other text. Without
 * this copy, two keys could come back as one, and the block could not be decoded.
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

/** For `JSON.stringify`: bytes are written as hex. */
export function asHex(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const raw = this[key] // a Buffer has a toJSON of its own
  return raw instanceof Uint8Array ? hex(raw) : value
}
