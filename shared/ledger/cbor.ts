import { badBlock } from './values.ts'

// The first byte of a CBOR value: three bits say its type, five how long its argument is (RFC 8949, section 3).
const BYTES = 2
const TEXT = 3
const ARRAY = 4
const MAP = 5
const TAG = 6
const SIMPLE = 7

/** Skips CBOR values without decoding them. Bytes that do not fit are BAD_BLOCK. It accepts the same CBOR as `decodeStrict`. */
export class CborReader {
  at = 0
  readonly #bytes: Uint8Array
  /** of the value whose head was read last */
  #type = 0
  #argument = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Moves into a map. @returns how many keys it has */
  mapHead(): number {
    this.#head()
    if (this.#type !== MAP) throw badBlock('something that is no map')
    return this.#argument
  }

  /** Moves into an array. @returns how many values it has */
  arrayHead(): number {
    this.#head()
    if (this.#type !== ARRAY) throw badBlock('no entries')
    return this.#argument
  }

  /** Moves past these bytes if they come next. */
  passes(bytes: Uint8Array): boolean {
    for (let i = 0; i < bytes.length; i++) if (this.#bytes[this.at + i] !== bytes[i]) return false
    this.at += bytes.length
    return true
  }

  /** Moves past this many values, nested ones included. */
  skip(values: number): void {
    for (let left = values; left > 0; left--) {
      this.#head()
      switch (this.#type) {
        case BYTES:
        case TEXT:
          if (this.#argument > this.#bytes.length - this.at) throw badBlock('bytes that are cut off')
          this.at += this.#argument
          break
        case ARRAY:
          left += this.#argument
          break
        case MAP:
          left += 2 * this.#argument
          break
        case TAG:
          throw badBlock('a tagged value')
      }
    }
  }

  /** Refuses bytes that follow. */
  end(): void {
    if (this.at !== this.#bytes.length) throw badBlock('more bytes than one value')
  }

  #head(): void {
    const first = this.#byte()
    this.#type = first >> 5
    const size = first & 31
    if (size < 24) this.#argument = size
    else if (size === 24) this.#argument = this.#byte()
    else if (size === 25) this.#argument = this.#byte() * 0x100 + this.#byte()
    else if (size === 26) this.#argument = this.#uint32()
    else if (size === 27) this.#argument = this.#uint32() * 0x1_0000_0000 + this.#uint32()
    else throw badBlock('a value of indefinite length')
    if (this.#type === SIMPLE && size === 24) throw badBlock('a simple value that has no meaning')
    // A value takes at least one byte, so a count that cannot fit is refused before any loop.
    if ((this.#type === ARRAY || this.#type === MAP) && this.#argument > this.#bytes.length - this.at)
      throw badBlock('fewer values than it says')
  }

  #byte(): number {
    const byte = this.#bytes[this.at]
    if (byte === undefined) throw badBlock('bytes that are cut off')
    this.at++
    return byte
  }

  #uint32(): number {
    return this.#byte() * 0x100_0000 + this.#byte() * 0x1_0000 + this.#byte() * 0x100 + this.#byte()
  }
}
