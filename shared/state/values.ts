import { type DecodeOptions, decode, type EncodeOptions, encode, Token, Type } from 'cborg'
import { OverpoolError, reasonOf } from '../errors.ts'

/** A value is at most so long, as CBOR, bytes. */
export const MAX_VALUE = 64 * 1024
/** A key is at most so long, as UTF-8, bytes. DynamoDB takes 1,024. */
export const MAX_KEY = 512

// A bigint stays a bigint: it is always written as a bignum (RFC 8949, section 3.4.3).
const BIGNUM = 2
const NEGATIVE_BIGNUM = 3

const ENCODE: EncodeOptions = {
  typeEncoders: {
    bigint: (value: bigint) => [
      new Token(Type.tag, value < 0n ? NEGATIVE_BIGNUM : BIGNUM),
      new Token(Type.bytes, bytesOf(value < 0n ? -1n - value : value)),
    ],
    Map: () => {
      throw new TypeError('a Map')
    },
  },
}
const DECODE: DecodeOptions = {
  tags: {
    [BIGNUM]: (inner) => integerOf(inner() as Uint8Array),
    [NEGATIVE_BIGNUM]: (inner) => -1n - integerOf(inner() as Uint8Array),
  },
}

/** @throws OverpoolError BAD_ARGUMENT: CBOR cannot hold the value, or it is longer than `MAX_VALUE` */
export function encodeValue(key: string, value: unknown): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = encode(value, ENCODE)
  } catch (cause) {
    throw new OverpoolError(
      'BAD_ARGUMENT',
      `the value of ${JSON.stringify(key)} cannot be kept (${reasonOf(cause)}): a state keeps numbers, bigints, texts, booleans, null, bytes, lists and plain objects`,
      { cause },
    )
  }
  if (bytes.length > MAX_VALUE)
    throw new OverpoolError(
      'BAD_ARGUMENT',
      `the value of ${JSON.stringify(key)} has ${bytes.length} bytes, and a state keeps up to ${MAX_VALUE}: store its parts under keys of their own`,
    )
  return bytes
}

export function decodeValue(bytes: Uint8Array): unknown {
  return decode(bytes, DECODE)
}

/** @throws OverpoolError BAD_ARGUMENT: no text, empty, too long, or with half a surrogate pair */
export function checkKey(key: unknown): string {
  if (typeof key === 'string' && key !== '' && Buffer.byteLength(key) <= MAX_KEY && key.isWellFormed()) return key
  throw new OverpoolError('BAD_ARGUMENT', `a key of a state must be a text of 1 to ${MAX_KEY} bytes of UTF-8`)
}

/** The order of keys: of their UTF-8 bytes. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function bytesOf(value: bigint): Uint8Array {
  const hex = value.toString(16)
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')
}

function integerOf(bytes: Uint8Array): bigint {
  return bytes.length ? BigInt(`0x${Buffer.from(bytes).toString('hex')}`) : 0n
}
