import type { OverpoolError } from '../errors.ts'
import { asDigest, type Digest } from './digest.ts'

/** All the satoshis there will ever be. Below 2^53, so that an unsigned 64-bit number may be compared with it as a double. */
export const MAX_SATOSHIS = 21e14
/** The previous txid and vout, the length of an empty script, the sequence. */
export const MIN_INPUT_BYTES = 41
/** The satoshis, the length of an empty script. */
export const MIN_OUTPUT_BYTES = 9

/** Makes the error for what is wrong at a byte. */
export type Bad = (what: string, at: number) => OverpoolError

/** Thrown, instead of an error, where the bytes end before what is read, and more may follow. */
export class MoreBytes {
  /** At least so many bytes are needed in all. */
  readonly needed: number

  constructor(needed: number) {
    this.needed = needed
  }
}

/** Reads forward, and refuses to pass the end. */
export class Reader {
  at: number
  readonly #bytes: Uint8Array
  readonly #bad: Bad
  readonly #end: number

  /** @param end Infinity if more bytes may follow: then a read that lacks some throws MoreBytes */
  constructor(bytes: Uint8Array, bad: Bad, at = 0, end = bytes.length) {
    this.at = at
    this.#bytes = bytes
    this.#bad = bad
    this.#end = end
  }

  get left(): number {
    return this.#end - this.at
  }

  /** Moves past `length` bytes and returns where they begin. */
  skip(length: number, what: string): number {
    const at = this.at
    if (length > this.left) throw this.#bad(`${what} of ${length} bytes, but only ${this.left} are left`, at)
    this.at = at + length
    if (this.at > this.#bytes.length) throw new MoreBytes(this.at)
    return at
  }

  /** 32 bytes as a digest. */
  digest(what: string): Digest {
    return asDigest(this.#bytes, this.skip(32, what))
  }

  take(length: number, what: string): Uint8Array {
    const at = this.skip(length, what)
    return this.#bytes.subarray(at, this.at)
  }

  uint8(what: string): number {
    return this.#bytes[this.skip(1, what)]!
  }

  uint32(what: string): number {
    return this.#uint32At(this.skip(4, what))
  }

  /** Exact up to 2^53; a greater number is rounded, yet stays greater. */
  uint64(what: string): number {
    const at = this.skip(8, what)
    return this.#uint32At(at) + this.#uint32At(at + 4) * 0x1_0000_0000
  }

  /** A count of items of at least `minBytes` each. A count that cannot fit is refused before any loop or allocation. */
  count(what: string, minBytes: number): number {
    const at = this.at
    const count = this.varint(what)
    if (count * minBytes > this.left) throw this.#bad(`${count} ${what} cannot fit in the ${this.left} bytes left`, at)
    return count
  }

  /** Moves past all inputs, and returns how many there are. */
  skipInputs(): number {
    const count = this.count('inputs', MIN_INPUT_BYTES)
    for (let i = 0; i < count; i++) {
      this.skip(36, 'previous output')
      this.skipScript()
      this.skip(4, 'sequence')
    }
    return count
  }

  /** The same for outputs. */
  skipOutputs(): number {
    const count = this.count('outputs', MIN_OUTPUT_BYTES)
    for (let i = 0; i < count; i++) this.skipOutput()
    return count
  }

  skipOutput(): void {
    const at = this.at
    if (this.uint64('satoshis') > MAX_SATOSHIS) throw this.#bad('an output of more than 21,000,000 bitcoins', at)
    this.skipScript()
  }

  /** Moves past a script and returns where it begins. */
  skipScript(): number {
    return this.skip(this.varint('script length'), 'script')
  }

  script(): Uint8Array {
    return this.take(this.varint('script length'), 'script')
  }

  /** Every number has one canonical form, the shortest; with others the same transaction would have many txids. */
  varint(what: string): number {
    const at = this.skip(1, what)
    const first = this.#bytes[at]!
    if (first < 0xfd) return first
    const [value, least] =
      first === 0xfd ? [this.#uint16(what), 0xfd] : first === 0xfe ? [this.uint32(what), 0x1_0000] : [this.uint64(what), 0x1_0000_0000]
    if (value < least) throw this.#bad(`${what} ${value} is not in its shortest form`, at)
    return value
  }

  #uint16(what: string): number {
    const at = this.skip(2, what)
    return this.#bytes[at]! | (this.#bytes[at + 1]! << 8)
  }

  /** Without a DataView: to make one takes as long as to scan a small transaction. */
  #uint32At(at: number): number {
    const bytes = this.#bytes
    return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  }
}
