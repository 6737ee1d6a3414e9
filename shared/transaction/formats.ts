/** `00000000 00ef` after the version (BRC-30). */
const EXTENDED = Buffer.from('0000000000ef', 'hex')
/** The first four bytes of formats that hold more than one raw transaction (BRC-62, BRC-96, BRC-95). */
const STARTS: Record<string, string> = { '0100beef': 'BEEF (BRC-62)', '0200beef': 'BEEF V2 (BRC-96)', '01010101': 'AtomicBEEF (BRC-95)' }

/** The name of the format of transactions that begins so, for bytes that are no raw transaction: a raw one may begin so, too. */
export function formatByStart(bytes: Uint8Array): string | undefined {
  const { buffer, byteOffset } = bytes
  const start = Buffer.from(buffer, byteOffset, Math.min(bytes.length, 10))
  const known = STARTS[start.toString('hex', 0, 4)]
  if (known !== undefined) return known
  return start.indexOf(EXTENDED) === 4 ? 'the extended format (BRC-30)' : undefined
}

/** Whether text that is not hex is a transaction in base64, in any format. */
export function isBase64(text: string): boolean {
  const start = Buffer.from(text.slice(0, 16), 'base64')
  if (start.length < 12 || !/^[\w+/-]{16}/.test(text)) return false
  const version = start.readUInt32LE()
  return version === 1 || version === 2 || formatByStart(start) !== undefined
}
