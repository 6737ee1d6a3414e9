import { OverpoolError } from '../errors.ts'
import { type Digest, digestOf, displayed } from './digest.ts'
import { formatByStart, isBase64 } from './formats.ts'
import { MIN_INPUT_BYTES, MIN_OUTPUT_BYTES, Reader } from './reader.ts'

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

export const SEND_RAW = 'send the raw transaction in hex (toHex() in @bsv/sdk)'

/**
 * Checks that the bytes are one whole transaction and nothing else, in one pass and without a copy. Signatures, scripts and whether the
 * outputs it spends exist are not looked at: unsigned transactions and templates without inputs or outputs pass.
 * The result shows these same bytes: nobody may write to them afterwards.
 * @throws OverpoolError BAD_TRANSACTION: what is wrong and at which byte
 */
export function scanTransaction(bytes: Uint8Array): ScannedTransaction {
  if (bytes.length === 0) throw bad('it is empty', 0)
  const reader = new Reader(bytes, bad)
  const scanned = new ScannedTransaction(bytes, reader)
  if (reader.left > 0) throw bad(`it ends here and ${reader.left} more bytes follow`, reader.at)
  return scanned
}

/** Thrown where nobody reads what is wrong: to make an error takes ten times as long as a scan. */
const NONE = bad('', 0)

/** `scanTransaction` of bytes that may be something else: undefined if they are no transaction. */
export function transactionIn(bytes: Uint8Array): ScannedTransaction | undefined {
  const reader = new Reader(bytes, () => NONE)
  try {
    const scanned = new ScannedTransaction(bytes, reader)
    return reader.left === 0 ? scanned : undefined
  } catch {
    return undefined
  }
}

/** The transaction that begins where the reader of these bytes is; the reader moves past it, and makes the errors. */
export function scanNext(bytes: Uint8Array, reader: Reader): ScannedTransaction {
  return new ScannedTransaction(bytes, reader)
}

/** Digits are decoded this many at a time, and looked at one by one only in a part where one is bad: that takes five times as long. */
const HEX_PART = 65_536

/**
 * `scanTransaction` for the hex that wallets send, in either case of letters.
 * @throws OverpoolError BAD_TRANSACTION
 */
export function transactionFromHex(hex: unknown): ScannedTransaction {
  if (typeof hex !== 'string') throw new OverpoolError('BAD_TRANSACTION', 'the transaction is not a string of hex digits')
  return scanOnly(bytesOfHex(hex))
}

/** @throws OverpoolError BAD_TRANSACTION: the first character that is no hex digit */
export function bytesOfHex(hex: string): Uint8Array {
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
  return bytes
}

/** The transaction, or an error that names the format that the bytes are in, if it is another one. */
function scanOnly(bytes: Uint8Array): ScannedTransaction {
  try {
    return scanTransaction(bytes)
  } catch (cause) {
    throw namingFormat(bytes, cause)
  }
}

/** Why these bytes are no raw transaction: the format that they are in, if it is known, otherwise what the scan found. */
export function namingFormat(bytes: Uint8Array, cause: unknown): unknown {
  const format = formatOf(bytes)
  return format === undefined
    ? cause
    : new OverpoolError('BAD_TRANSACTION', `the transaction is in ${format}, not a raw one; ${SEND_RAW}`, { cause })
}

/** The name of the format of transactions that these bytes are in, when they are no raw transaction. */
export function formatOf(bytes: Uint8Array): string | undefined {
  return formatByStart(bytes) ?? (isSegwit(bytes) ? 'the segwit format of BTC' : undefined)
}

/** Whether inputs, outputs and something more follow on the marker `00 01`, which a raw transaction reads as no input and one output. */
function isSegwit(bytes: Uint8Array): boolean {
  if (bytes[4] !== 0 || bytes[5] !== 1) return false
  try {
    const reader = new Reader(bytes, bad, 6)
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
  #digest: Digest | undefined
  #txid: Txid | undefined

  constructor(bytes: Uint8Array, reader: Reader) {
    const start = reader.at
    this.version = reader.uint32('version')

    // Bitcoin SV has no segwit: a first count of 0 means that there are no inputs.
    this.#inputsAt = reader.at - start
    this.inputCount = reader.skipInputs()
    this.#outputsAt = reader.at - start
    this.outputCount = reader.skipOutputs()

    this.lockTime = reader.uint32('lock time')
    this.bytes = reader.at - start === bytes.length ? bytes : bytes.subarray(start, reader.at)
  }

  get txid(): Txid {
    this.#txid ??= displayed(this.digest) as Txid
    return this.#txid
  }

  /** The same hash as a Merkle tree holds it. */
  get digest(): Digest {
    this.#digest ??= digestOf(this.bytes)
    return this.#digest
  }

  /** The inputs one after another, without keeping them: a list of views takes many times their bytes. */
  *readInputs(): Generator<TransactionInput, void, void> {
    const reader = new Reader(this.bytes, bad, this.#inputsAt)
    reader.count('inputs', MIN_INPUT_BYTES)
    for (let i = 0; i < this.inputCount; i++) {
      yield {
        txid: Buffer.from(reader.take(32, 'txid')).reverse().toString('hex') as Txid,
        vout: reader.uint32('vout'),
        script: reader.script(),
        sequence: reader.uint32('sequence'),
      }
    }
  }

  /** The outputs one after another. */
  *readOutputs(): Generator<TransactionOutput, void, void> {
    const reader = new Reader(this.bytes, bad, this.#outputsAt)
    reader.count('outputs', MIN_OUTPUT_BYTES)
    for (let i = 0; i < this.outputCount; i++) yield { satoshis: BigInt(reader.uint64('satoshis')), script: reader.script() }
  }

  /**
   * Whether the answer is true for some input: its previous output is 36 bytes at `outpoint` of `bytes`, its script lies from `from` to `to`. It makes nothing, so it is
   * several times as fast as `readInputs`.
   */
  someInput(is: (outpoint: number, from: number, to: number) => boolean): boolean {
    const reader = new Reader(this.bytes, bad, this.#inputsAt)
    reader.count('inputs', MIN_INPUT_BYTES)
    for (let i = 0; i < this.inputCount; i++) {
      const outpoint = reader.skip(36, 'previous output')
      const from = reader.skipScript()
      const to = reader.at
      reader.skip(4, 'sequence')
      if (is(outpoint, from, to)) return true
    }
    return false
  }

  /** The same for outputs. */
  someOutput(is: (from: number, to: number) => boolean): boolean {
    const reader = new Reader(this.bytes, bad, this.#outputsAt)
    reader.count('outputs', MIN_OUTPUT_BYTES)
    for (let i = 0; i < this.outputCount; i++) {
      reader.skip(8, 'satoshis')
      const from = reader.skipScript()
      if (is(from, reader.at)) return true
    }
    return false
  }
}

// Only the type is exported, so that no one is made without a scan.
export type { ScannedTransaction }

function bad(what: string, at: number): OverpoolError {
  return new OverpoolError('BAD_TRANSACTION', `bad transaction at byte ${at}: ${what}`)
}
