import { OverpoolError } from '../errors.ts'
import { varint } from './data.ts'
import { EXTENDED, EXTENDED_FORMAT } from './formats.ts'
import { MIN_INPUT_BYTES, MIN_OUTPUT_BYTES, Reader } from './reader.ts'
import { type ScannedTransaction, SEND_RAW, scanTransaction, type TransactionOutput } from './scan.ts'

/** An output that an input spends. */
export type SpentOutput = TransactionOutput

const VERSION_BYTES = 4
const OUTPOINT_BYTES = 36
const SEQUENCE_BYTES = 4

/**
 * A raw transaction in the extended format (BRC-30): behind each input stand the satoshis and the script of the output that it spends, so that a service can check the
 * transaction without looking that output up.
 * @param spent the outputs that its inputs spend, in the order of the inputs
 * @throws OverpoolError BAD_TRANSACTION; BAD_ARGUMENT if there is not one output for each input
 */
export function extendedFormat(tx: Uint8Array, spent: SpentOutput[]): Uint8Array {
  const scanned = scanTransaction(tx)
  if (spent.length !== scanned.inputCount)
    throw new OverpoolError(
      'BAD_ARGUMENT',
      `the transaction has ${scanned.inputCount} inputs, and ${spent.length} spent outputs were given`,
    )
  const parts: Uint8Array[] = [tx.subarray(0, VERSION_BYTES), EXTENDED]
  let at = VERSION_BYTES
  let n = 0
  for (const { script } of scanned.readInputs()) {
    const end = script.byteOffset - tx.byteOffset + script.length + SEQUENCE_BYTES
    const output = spent[n++]!
    const satoshis = Buffer.alloc(8)
    satoshis.writeBigUInt64LE(output.satoshis)
    // The first part also holds the count of inputs.
    parts.push(tx.subarray(at, end), satoshis, varint(output.script.length), output.script)
    at = end
  }
  return Buffer.concat([...parts, tx.subarray(at)])
}

/**
 * Reads a transaction in the extended format: the raw transaction, which is a copy, and the outputs that it spends, one after another.
 * @throws OverpoolError BAD_TRANSACTION
 */
export function scanExtended(bytes: Uint8Array): { scanned: ScannedTransaction; spent: Uint8Array } {
  const reader = new Reader(bytes, badExtended)
  const cuts = [reader.skip(VERSION_BYTES, 'version'), reader.at]
  if (!EXTENDED.equals(reader.take(EXTENDED.length, 'mark')))
    throw badExtended('the mark 0000000000ef does not follow on the version', VERSION_BYTES)
  cuts.push(reader.at) // the next part also holds the count of inputs
  for (let left = reader.count('inputs', MIN_INPUT_BYTES + MIN_OUTPUT_BYTES); left > 0; left--) {
    reader.skip(OUTPOINT_BYTES, 'previous output')
    reader.skipScript()
    reader.skip(SEQUENCE_BYTES, 'sequence')
    cuts.push(reader.at)
    reader.skipOutput()
    cuts.push(reader.at)
  }
  reader.skipOutputs()
  reader.uint32('lock time')
  if (reader.left > 0) throw badExtended(`it ends here and ${reader.left} more bytes follow`, reader.at)
  cuts.push(reader.at)
  // The mark and the spent outputs lie between the parts of the raw transaction.
  return { scanned: scanTransaction(partsOf(bytes, cuts)), spent: partsOf(bytes, cuts.slice(3, -1)) }
}

/** A copy of the parts that begin and end at `cuts` by turns, one after another. */
function partsOf(bytes: Uint8Array, cuts: number[]): Uint8Array {
  let length = 0
  for (let i = 0; i < cuts.length; i += 2) length += cuts[i + 1]! - cuts[i]!
  const copy = Buffer.allocUnsafe(length) // from Node's pool: a new Uint8Array takes longer than the scan
  let at = 0
  for (let i = 0; i < cuts.length; i += 2) {
    copy.set(bytes.subarray(cuts[i], cuts[i + 1]), at)
    at += cuts[i + 1]! - cuts[i]!
  }
  return copy
}

/** The outputs that stand one after another in these bytes, such as those of `scanExtended`. @throws OverpoolError BAD_TRANSACTION */
export function readSpent(spent: Uint8Array): SpentOutput[] {
  const reader = new Reader(spent, badExtended)
  const outputs: SpentOutput[] = []
  while (reader.left > 0) outputs.push({ satoshis: BigInt(reader.uint64('satoshis')), script: reader.script() })
  return outputs
}

function badExtended(what: string, at: number): OverpoolError {
  return new OverpoolError(
    'BAD_TRANSACTION',
    `bad transaction in the ${EXTENDED_FORMAT} at byte ${at}: ${what}; send all of it, or ${SEND_RAW}`,
  )
}
