import { encode } from 'cborg'
import { CborReader } from './cbor.ts'
import { decodeEntry, entryOf } from './entry-codec.ts'
import type { Entry } from './kinds.ts'
import { asMap, badBlock, decodeStrict, isUint } from './values.ts'

/** A block holds at most this many entries and bytes, except a single larger entry (docs/design.md, Formats). */
export const MAX_BLOCK_ENTRIES = 256
export const MAX_BLOCK_BYTES = 256 * 1024

/** Block n of a pool: consecutive entries from sequence number `first`; the same bytes in the mirror and in the hypercore. */
export interface Block {
  n: number
  first: number
  /** 0 for an invalid block of a peer: it keeps its place and counts as having no entries */
  count: number
  bytes: Uint8Array
}

/** The bytes of a lost block, null in CBOR: it was damaged, and could not be had anywhere. It keeps its place and the numbers of its entries. */
export const LOST = Uint8Array.of(0xf6)

export function isLost({ count, bytes }: { count: number; bytes?: Uint8Array }): boolean {
  return count > 0 && bytes !== undefined && Buffer.compare(bytes, LOST) === 0
}

// A block is `{ v: 1, first, entries: [...] }` with keys in CBOR's canonical order, the shorter first. The entries come last, so entries that
// the door has encoded are put behind a head as they are.
const HEAD = Uint8Array.of(0xa3, 0x61, 0x76, 0x01, 0x65, 0x66, 0x69, 0x72, 0x73, 0x74) // map(3), "v": 1, "first":
const ENTRIES = Uint8Array.of(0x67, 0x65, 0x6e, 0x74, 0x72, 0x69, 0x65, 0x73) // "entries":

/** A block of entries that are encoded already (`encodeEntry`). */
export function encodeBlock(n: number, first: number, entries: Uint8Array[]): Block {
  const bytes = Buffer.concat([HEAD, encode(first), ENTRIES, arrayHead(entries.length), ...entries])
  return { n, first, count: entries.length, bytes }
}

/** Whether bytes begin like a block. Bytes that are encrypted with another key do not. */
export function isBlockHead(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, HEAD.length), HEAD) === 0
}

/** The entries of a block in the mirror; none for one that was passed over (`checkPeerBlock`) or lost. */
export function entriesOf(block: Pick<Block, 'count' | 'bytes'>): Entry[] {
  return block.count && !isLost(block) ? decodeBlock(block.bytes).entries : []
}

/** The entries of a block, or BAD_BLOCK. `bytes` may come from anybody. */
export function decodeBlock(bytes: Uint8Array): { first: number; entries: Entry[] } {
  const { v, first, entries } = asMap(decodeStrict(bytes), 'something')
  if (v !== 1) throw badBlock(`version ${typeof v === 'number' ? v : 'nonsense'}; this program knows version 1`)
  if (!isUint(first)) throw badBlock('no first sequence number')
  if (!Array.isArray(entries) || entries.length === 0) throw badBlock('no entries')
  if (!isUint(first + entries.length)) throw badBlock('sequence numbers that no number can hold')
  return { first, entries: entries.map(entryOf) }
}

/** The entry at place `i` of a block in the mirror; undefined if it has no such place. See `entryReader`. */
export function entryAt(block: Pick<Block, 'count' | 'bytes'>, i: number): Entry | undefined {
  return entryReader(block)(i)
}

/**
 * Reads single entries of a block in the mirror, by place. It skips the others without decoding them, in a twentieth of the time. So it does not notice a fault inside
 * them, but it does notice when they are cut off.
 */
export function entryReader(block: Pick<Block, 'count' | 'bytes'>): (i: number) => Entry | undefined {
  const { count, bytes } = block
  if (!count || isLost(block)) return () => undefined // passed over, so that the bytes may be anything, or lost
  const reader = new CborReader(bytes)
  let ends: number[] | undefined
  for (let fields = reader.mapHead(); fields > 0; fields--) {
    if (ends === undefined && reader.passes(ENTRIES)) {
      const length = reader.arrayHead()
      ends = [reader.at]
      for (let i = 0; i < length; i++) {
        reader.skip(1)
        ends.push(reader.at)
      }
    } else {
      reader.skip(2)
    }
  }
  reader.end()
  if (ends === undefined) throw badBlock('no entries')
  const places = ends
  return (i) => (places[i + 1] === undefined ? undefined : decodeEntry(bytes.subarray(places[i], places[i + 1])))
}

function arrayHead(length: number): Uint8Array {
  if (length < 24) return Uint8Array.of(0x80 | length)
  if (length < 256) return Uint8Array.of(0x98, length)
  return Uint8Array.of(0x99, length >> 8, length & 0xff)
}
