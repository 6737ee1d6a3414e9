import { OverpoolError } from '../errors.ts'
import { beefByStart, isBase64, isExtendedByStart } from '../transaction/formats.ts'
import { type Ancestor, formatOf, type ScannedTransaction, scanExtended, scanTransaction } from '../transaction/index.ts'
import { bytesOfHex, namingFormat, SEND_RAW, transactionIn } from '../transaction/scan.ts'
import { scanBeef } from './beef.ts'

/** A transaction, whatever it came in. */
export interface ReadTransaction {
  scanned: ScannedTransaction
  /** what came along with it, from the extended format or BEEF */
  along?: Ancestor[]
  /** how it was sent, if not as the hex of a raw transaction: text, or bytes */
  sent?: string | Uint8Array
}

/** A transaction's id, instead of the transaction. */
const TXID_BYTES = 32

/**
 * Reads a transaction that is raw, in the extended format, or in BEEF, as hex or base64, or as bytes. Raw bytes come first: a raw transaction may begin like any other format,
 * whereas no other format is a whole raw transaction, except one that was made to be both.
 * @throws OverpoolError BAD_TRANSACTION: what is wrong, and what to send
 */
export function readTransaction(sent: string | Uint8Array): ReadTransaction {
  if (typeof sent !== 'string') return { ...readBytes(sent), sent }
  const isHex = !isBase64(sent)
  const read = readBytes(isHex ? bytesOfHex(sent) : bytesOfBase64(sent))
  return isHex && !read.along ? read : { ...read, sent }
}

function readBytes(bytes: Uint8Array): ReadTransaction {
  const raw = transactionIn(bytes)
  if (raw) return { scanned: raw }
  if (beefByStart(bytes) !== undefined) {
    const { subject, along } = scanBeef(bytes)
    return { scanned: subject, along }
  }
  if (isExtendedByStart(bytes)) {
    const { scanned, spent } = scanExtended(bytes)
    return { scanned, along: [{ txid: scanned.txid, spent }] }
  }
  try {
    return { scanned: scanTransaction(bytes) } // it is none: this says why
  } catch (cause) {
    const isLikeId = bytes.length === TXID_BYTES && bytes[1] !== 0 && bytes[2] !== 0 // a transaction has its version there
    if (isLikeId && formatOf(bytes) === undefined)
      throw new OverpoolError(
        'BAD_TRANSACTION',
        `these ${TXID_BYTES} bytes are the id of a transaction, not the transaction; ${SEND_RAW}`,
        { cause },
      )
    throw namingFormat(bytes, cause)
  }
}

/** Either alphabet (RFC 4648), with or without the padding. */
function bytesOfBase64(text: string): Uint8Array {
  const end = text.length % 4 === 0 ? (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0) : 0
  const digits = text.slice(0, text.length - end)
  if (digits.length % 4 !== 1 && !/[^\w+/-]/.test(digits)) return Buffer.from(digits, 'base64')
  throw new OverpoolError(
    'BAD_TRANSACTION',
    `the transaction is in base64, and is cut or has other characters in it; send it whole, or ${SEND_RAW}`,
  )
}
