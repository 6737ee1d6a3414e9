import { hash } from 'node:crypto'

// Different transactions, as wallets make them: an input that spends a P2PKH output, a P2PKH output, and then either a second one or a line of
// text. The input comes from a real transaction. Its signature does not fit, but nothing checks it before a broadcast.

const VERSION = '01000000'
const SPENT = '7d815b6447e35fbea097e00e028fb7dfbad4f3f0987b4734676c84f3fcd0e804'
const INPUT =
  '010000006b483045022100c714310be1e3a9ff1c5f7cacc65c2d8e781fc3a88ceb063c6153bf950650802102200b2d0979c76e12bb480da635f192cc8dc6f905380dd4ac1ff35a4f68f462fffd032103579ca2e6d107522f012cd00b52b9a65fb46f0c57b9b8b6e377c48f526a44741affffffff'
const TO_SHOP = '80841e00000000001976a914bfb282c70c4191f45b5a6665cad1682f2c9cfdfb88ac'
const TO_SELF = '80841e00000000001976a9149857cc07bed33a5cf12b9c5e0500b675d500c81188ac'
const LOCK_TIME = '00000000'

const TEXT_BYTES = 47
const BEFORE_TEXT = `${VERSION}01${SPENT}${INPUT}02${TO_SHOP}000000000000000032006a${TEXT_BYTES.toString(16)}`

/** Transaction i, of 251 bytes, as hex. It carries a text. */
export function withText(i: number): string {
  return BEFORE_TEXT + Buffer.from(`order ${i}`.padEnd(TEXT_BYTES)).toString('hex') + LOCK_TIME
}

/** Transaction i, of 226 bytes, which is the most common shape. */
export function plain(i: number): Uint8Array {
  const bytes = Buffer.from(`${VERSION}01${SPENT}${INPUT}02${TO_SHOP}${TO_SELF}${LOCK_TIME}`, 'hex')
  bytes.writeUInt32LE(i, 5) // a part of the txid that the input spends
  return bytes
}

/** The size of a transaction of `signed`, bytes. */
export const SIGNED_BYTES = 185

/**
 * Transaction i, of 185 bytes, as hex. The parts that a wallet cannot choose (the txid that it spends, the signature, the keys) look random, as in a real
 * transaction, so that compression gains no more than in use.
 */
export function signed(i: number): string {
  const random = randomOf(i)
  const unlock = `483045022100${random.slice(64, 128)}022052${random.slice(128, 190)}412103${random.slice(192, 256)}`
  const input = `${random.slice(0, 64)}000000006b${unlock}ffffffff`
  return `${VERSION}01${input}01${'80841e0000000000'}12006a0f${random.slice(256, 286)}${LOCK_TIME}`
}

/** 144 bytes that look random, as hex. */
function randomOf(i: number): string {
  let text = ''
  for (let part = 0; part < 5; part++) text += hash('sha256', `${i} ${part}`)
  return text.slice(0, 288)
}
