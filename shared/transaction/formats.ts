/** `00000000 00ef` after the version (BRC-30). */
export const EXTENDED = Buffer.from('0000000000ef', 'hex')
export const EXTENDED_FORMAT = 'the extended format (BRC-30)'
/** The first four bytes of formats that hold a transaction with its ancestors. */
const BEEF: Record<string, string> = { '0100beef': 'BEEF (BRC-62)', '0200beef': 'BEEF V2 (BRC-96)', '01010101': 'AtomicBEEF (BRC-95)' }
/** `psbt` and `ff`. */
const PSBT = Buffer.from('70736274ff', 'hex')

/** The name of the format of transactions that begins so, for bytes that are no raw transaction: a raw one may begin so, too. */
export function formatByStart(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 10))
  if (start.indexOf(PSBT) === 0) return 'the PSBT format of BTC, which is signed in parts'
  return beefByStart(bytes) ?? (isExtendedByStart(bytes) ? EXTENDED_FORMAT : undefined)
}

/** A raw transaction that begins so has neither inputs nor outputs, and ends there. */
export function isExtendedByStart(bytes: Uint8Array): boolean {
  return EXTENDED.every((byte, i) => bytes[4 + i] === byte)
}

/** The same for the formats that hold a transaction with its ancestors. */
export function beefByStart(bytes: Uint8Array): string | undefined {
  if (bytes[3] !== 0xef && bytes[3] !== 1) return undefined
  const { buffer, byteOffset, length } = bytes
  return BEEF[Buffer.from(buffer, byteOffset, Math.min(length, 4)).toString('hex')]
}

/** Whether text that is not hex is a transaction in base64, in any format. */
export function isBase64(text: string): boolean {
  const start = Buffer.from(text.slice(0, 16), 'base64')
  if (start.length < 12 || !/^[\w+/-]{16}/.test(text)) return false
  const version = start.readUInt32LE()
  return version === 1 || version === 2 || formatByStart(start) !== undefined
}
