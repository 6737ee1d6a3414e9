import { encode } from 'cborg'
import { OverpoolError } from '../errors.ts'
import type { Block } from './block.ts'
import type { EntryId } from './kinds.ts'
import { asMap, decodeStrict, hex, hexBytes, isUint } from './values.ts'

/** A message of the ingress queue: an entry, encoded once at the door, and what the writer needs to know without decoding it. */
export interface IngressMessage {
  pool: string
  id: EntryId
  /** the kind of the entry, perhaps an unknown one; 'tx' for a transaction from the chain, which says more than its bytes; undefined for every other transaction */
  kind?: string
  /** of a transaction */
  txid?: string
  /** the id is not made from the transaction (a handler's post, a named one), so it gets a receipt of its own */
  named: boolean
  entry: Uint8Array
  /** only in the writer's own process: it is written only if the pool's writer has adopted so many blocks of others (`PoolWriter.foreign`) */
  foreign?: number
}

/** A transaction's message is a list of five, as before there were other kinds: a door and a writer of different versions understand each other. */
export function encodeIngress({ pool, id, kind, txid, named, entry }: IngressMessage): Uint8Array {
  const list = [pool, hexBytes(id), txid === undefined ? null : hexBytes(txid), named, entry]
  return encode(kind === undefined ? list : [...list, kind])
}

export function decodeIngress(bytes: Uint8Array): IngressMessage {
  const [pool, id, txid, named, entry, kind] = asList(bytes, 'ingress')
  if (typeof pool !== 'string' || !is32(id) || typeof named !== 'boolean' || !(entry instanceof Uint8Array)) throw badMessage('ingress')
  const message = { pool, id: hex(id) as EntryId, named, entry }
  if (kind === undefined && is32(txid)) return { ...message, txid: hex(txid) }
  if (kind === 'tx' && is32(txid)) return { ...message, kind, txid: hex(txid) }
  if (typeof kind === 'string' && txid === null) return { ...message, kind }
  throw badMessage('ingress')
}

/** A bell, the message of a handler's queue: "pool P has block n", with the block inside when it is small. */
export interface Bell {
  pool: string
  n: number
  block?: Block
}

export function encodeBell({ pool, n, block }: Bell): Uint8Array {
  return encode({ pool, n, ...(block && { first: block.first, count: block.count, bytes: block.bytes }) })
}

export function decodeBell(bytes: Uint8Array): Bell {
  const { pool, n, first, count, bytes: inside } = wrap('bell', () => asMap(decodeStrict(bytes), 'a bell'))
  if (typeof pool !== 'string' || !isUint(n)) throw badMessage('bell')
  if (!(inside instanceof Uint8Array) || !isUint(first) || !isUint(count)) return { pool, n }
  return { pool, n, block: { n, first, count, bytes: inside } }
}

function asList(bytes: Uint8Array, kind: string): unknown[] {
  const value = wrap(kind, () => decodeStrict(bytes))
  if (!Array.isArray(value)) throw badMessage(kind)
  return value
}

function wrap<T>(kind: string, decode: () => T): T {
  try {
    return decode()
  } catch (cause) {
    throw badMessage(kind, cause)
  }
}

function is32(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === 32
}

function badMessage(kind: string, cause?: unknown): OverpoolError {
  return new OverpoolError('BAD_MESSAGE', `a message in the ${kind} queue that this program did not write`, { cause })
}
