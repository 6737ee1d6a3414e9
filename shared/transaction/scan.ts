import { hash } from 'node:crypto'
import { OverpoolError } from '../errors.ts'
import { formatByStart, isBase64 } from './formats.ts'

/** The id of a transaction as people write it: 64 lower-case hex digits, the hash's bytes reversed. Only a scan makes one. */
export type Txid = string & { readonly __brand: 'Txid' }

/** An input of a scanned transaction. `script` is a view of the transaction's bytes, empty when it is not signed yet. */
export interface TransactionInput {
  readonly txid: Txid
  readonly vout: number
  readonly script: Uint8Array
  readonly sequence: number
}

/** An output of a scanned transaction. `script` is a view of the transaction's bytes. */
export interface TransactionOutput {
  readonly satoshis: bigint
  readonly script: Uint8Array
}

const SEND_RAW = 'send the raw transaction in hex (toHex() in @bsv/sdk)'

/** All the satoshis there will ever be. Below 2^53, so that an unsigned 64-bit number may be compared with it as a double. */
const MAX_SATOSHIS = 21e14
/** The previous txid and vout, the length of an empty script, the sequence. */
const MIN_INPUT_BYTES = 41
/** The satoshis, the length of an empty script. */
const MIN_OUTPUT_BYTES = 9

/**
 * Checks that the bytes are one whole transaction and nothing else, in one pass and without a copy. Signatures, scripts and whether the
 * outputs it spends exist are not looked at: unsigned transactions and templates without inputs or outputs pass.
 * The result shows these same bytes: nobody may write to them afterwards.
 * @throws OverpoolError BAD_TRANSACTION: what is wrong and at which byte
 */
export function scanTransaction(bytes: Uint8Array): ScannedTransaction {
  return new ScannedTransaction(bytes)
}

/** Digits are decoded this many at a time, and looked at one by one only in a part where one is bad: that takes five times as long. */
const HEX_PART = 65_536

/**
 * `scanTransaction` for the hex that wallets send, in either case of letters.
 * @throws OverpoolError BAD_TRANSACTION
 */
export function transactionFromHex(hex: unknown): ScannedTransaction {
  if (typeof hex !== 'string') throw new OverpoolError('BAD_TRANSACTION', 'the transaction is not a string of hex digits')
  const bytes = Buffer.allocUnsafe(hex.length >> 1)
  for (let at = 0; at < hex.length; at += HEX_PART) {
    const part = hex.slice(at, at + HEX_PART)
    // `write` stops at the first bad digit, and takes 'İ' for '0' because their low bytes are equal: only ASCII has as many bytes as characters.
    if (bytes.write(part, at / 2, 'hex') * 2 === part.length && Buffer.byteLength(part) === part.length) continue
    const badDigit = part.search(/[^0-9a-fA-F]/)
    if (badDigit < 0) throw new OverpoolError('BAD_TRANSACTION', `the transaction is cut inside a byte: ${hex.length} hex digits`)
    const why = isBase64(hex) ? `it is in base64; ${SEND_RAW}` : `${JSON.stringify(part[badDigit])} at position ${at + badDigit}`
    throw new OverpoolError('BAD_TRANSACTION', `the transaction is not hex: ${why}`)
  }
  return scanOnly(bytes)
}

/** The transaction, or an error that names the format that the bytes are in, if it is another one. */
function scanOnly(bytes: Uint8Array): ScannedTransaction {
  try {
    return scanTransaction(bytes)
  } catch (cause) {
    const format = formatOf(bytes)
    throw format === undefined
      ? cause
      : new OverpoolError('BAD_TRANSACTION', `the transaction is in ${format}, not a raw one; ${SEND_RAW}`, { cause })
  }
}

/** The name of the format of transactions that these bytes are in, when they are no raw transaction. */
export function formatOf(bytes: Uint8Array): string | undefined {
  return formatByStart(bytes) ?? (isSegwit(bytes) ? 'the segwit format of BTC' : undefined)
}

/** Whether inputs, outputs and something more follow on the marker `00 01`, which a raw transaction reads as no input and one output. */
function isSegwit(bytes: Uint8Array): boolean {
  if (bytes[4] !== 0 || bytes[5] !== 1) return false
  try {
    const reader = new Reader(bytes, 6)
    const hasInputs = reader.skipInputs() > 0
    reader.skipOutputs()
    return hasInputs && reader.left > 4
  } catch {
    return false
  }
}

/** Well-formed transaction bytes. `txid` is computed when first read, then kept. */
class ScannedTransaction {
  readonly bytes: Uint8Array
  readonly version: number
  readonly inputCount: number
  readonly outputCount: number
  readonly lockTime: number
  readonly #inputsAt: number
  readonly #outputsAt: number
  #txid: Txid | undefined

  constructor(bytes: Uint8Array) {
    if (bytes.length === 0) throw bad('it is empty', 0)
    const reader = new Reader(bytes)
    this.bytes = bytes
    this.version = reader.uint32('version')

    // Bitcoin SV has no segwit: a first count of 0 means that there are no inputs.
    this.#inputsAt = reader.at
    this.inputCount = reader.skipInputs()
    this.#outputsAt = reader.at
    this.outputCount = reader.skipOutputs()

    this.lockTime = reader.uint32('lock time')
    if (reader.left > 0) throw bad(`it ends here and ${reader.left} more bytes follow`, reader.at)
  }

  get txid(): Txid {
    this.#txid ??= txidOf(this.bytes)
    return this.#txid
  }

  /** The inputs one after another, without keeping them: a list of views takes many times their bytes. */
  *readInputs(): Generator<TransactionInput, void, void> {
    const reader = new Reader(this.bytes, this.#inputsAt)
    reader.count('inputs', MIN_INPUT_BYTES)
    for (let i = 0; i < this.inputCount; i++) {
      yield {
        txid: displayed(reader.take(32, 'txid')),
        vout: reader.uint32('vout'),
        script: reader.script(),
        sequence: reader.uint32('sequence'),
      }
    }
  }

  /** The outputs one after another. */
  *readOutputs(): Generator<TransactionOutput, void, void> {
    const reader = new Reader(this.bytes, this.#outputsAt)
    reader.count('outputs', MIN_OUTPUT_BYTES)
    for (let i = 0; i < this.outputCount; i++) yield { satoshis: BigInt(reader.uint64('satoshis')), script: reader.script() }
  }
}

// Only the type is exported, so that no one is made without a scan.
export type { ScannedTransaction }

/** Reads forward, and refuses to pass the end. */
class Reader {
  at: number
  readonly #bytes: Uint8Array
  readonly #view: DataView

  constructor(bytes: Uint8Array, at = 0) {
    this.at = at
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get left(): number {
    return this.#bytes.length - this.at
  }

  /** Moves past `length` bytes and returns where they begin. */
  skip(length: number, what: string): number {
    const at = this.at
    if (length > this.left) throw bad(`${what} of ${length} bytes, but only ${this.left} are left`, at)
    this.at = at + length
    return at
  }

  take(length: number, what: string): Uint8Array {
    const at = this.skip(length, what)
    return this.#bytes.subarray(at, this.at)
  }

  uint32(what: string): number {
    return this.#view.getUint32(this.skip(4, what), true)
  }

  /** Exact up to 2^53; a greater number is rounded, yet stays greater. */
  uint64(what: string): number {
    const at = this.skip(8, what)
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 0x1_0000_0000
  }

  /** A count of items of at least `minBytes` each. A count that cannot fit is refused before any loop or allocation. */
  count(what: string, minBytes: number): number {
    const at = this.at
    const count = this.#varint(what)
    if (count * minBytes > this.left) throw bad(`${count} ${what} cannot fit in the ${this.left} bytes left`, at)
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
    for (let i = 0; i < count; i++) {
      const at = this.at
      if (this.uint64('satoshis') > MAX_SATOSHIS) throw bad('an output of more than 21,000,000 bitcoins', at)
      this.skipScript()
    }
    return count
  }

  skipScript(): void {
    this.skip(this.#varint('script length'), 'script')
  }

  script(): Uint8Array {
    return this.take(this.#varint('script length'), 'script')
  }

  /** Every number has one canonical form, the shortest; with others the same transaction would have many txids. */
  #varint(what: string): number {
    const at = this.skip(1, what)
    const first = this.#bytes[at]!
    if (first < 0xfd) return first
    const [value, least] =
      first === 0xfd
        ? [this.#view.getUint16(this.skip(2, what), true), 0xfd]
        : first === 0xfe
          ? [this.uint32(what), 0x1_0000]
          : [this.uint64(what), 0x1_0000_0000]
    if (value < least) throw bad(`${what} ${value} is not in its shortest form`, at)
    return value
  }
}

/** 32 bytes of a hash as a txid. */
function displayed(bytes: Uint8Array): Txid {
  return Buffer.from(bytes).reverse().toString('hex') as Txid
}

const digest = Buffer.alloc(32)

/** Double SHA-256. By way of strings because `hash` gives a string three times faster than a Buffer. */
function txidOf(bytes: Uint8Array): Txid {
  digest.write(hash('sha256', bytes, 'binary'), 'binary')
  digest.write(hash('sha256', digest, 'binary'), 'binary')
  return digest.reverse().toString('hex') as Txid
}

function bad(what: string, at: number): OverpoolError {
  return new OverpoolError('BAD_TRANSACTION', `bad transaction at byte ${at}: ${what}`)
}
