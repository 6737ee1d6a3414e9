import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readHeader } from '../../shared/chain/header.ts'
import { varint } from '../../shared/transaction/data.ts'

// Blocks of real chains, and blocks that are made here: with the easiest target, one of two nonces fits.

interface Regtest {
  headers: string[]
  height: number
  hash: string
  txids: string[]
  block: string
  proofs: { index: number; txOrId: string; target: string; targetType?: string; nodes: string[] }[]
  lone: string
}

/** A regtest chain of a real node, and what this node says of its transactions. */
export const REGTEST = JSON.parse(readFileSync(new URL('../data/regtest.json', import.meta.url), 'utf8')) as Regtest
export const HEADERS = REGTEST.headers.map((header) => Buffer.from(header, 'hex'))

export function regtest(height: number): Buffer {
  return HEADERS[height]!
}

/** The header of the first block of mainnet. */
export const GENESIS = Buffer.from(
  '0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c',
  'hex',
)

const EASIEST = 0x207fffff

/** A header with a proof of work, whose version stands for `name`: so that blocks of different names differ. */
export function headerAfter(
  previous: Uint8Array,
  { root = Buffer.alloc(32), time = readHeader(previous).time + 600, name = '', bits = EASIEST } = {},
): Buffer {
  const header = Buffer.alloc(80)
  header.set(hash('sha256', name, 'buffer').subarray(0, 4))
  header.set(Buffer.from(readHeader(previous).hash, 'hex').reverse(), 4)
  header.set(root, 36)
  header.writeUInt32LE(time, 68)
  header.writeUInt32LE(bits, 72)
  for (let nonce = 0; ; nonce++) {
    header.writeUInt32LE(nonce, 76)
    try {
      readHeader(header)
      return header
    } catch {}
  }
}

/** So many headers after this one, ten minutes apart, or at a time. */
export function mined(after: Uint8Array, count: number, name = '', bits = EASIEST, time?: number): Buffer[] {
  const headers: Buffer[] = []
  for (let previous = after; headers.length < count; previous = headers.at(-1)!)
    headers.push(headerAfter(previous, { name, bits, ...(time === undefined ? {} : { time }) }))
  return headers
}

/** A coinbase. Its input may hold what its miner likes. */
export function coinbase(height: number): Buffer {
  const script = Buffer.alloc(5, 4)
  script.writeUInt32LE(height, 1)
  const output = `00f2052a01000000${'19'}76a914${'cb'.repeat(20)}88ac`
  return Buffer.from(`0100000001${'00'.repeat(32)}ffffffff05${script.toString('hex')}ffffffff01${output}00000000`, 'hex')
}

/** A block with these transactions. @param count if it is to say another number */
export function assembled(transactions: Uint8Array[], { previous = regtest(0) as Uint8Array, count = transactions.length } = {}): Buffer {
  const header = headerAfter(previous, { root: transactions.length > 0 ? Buffer.from(rootOf(transactions)) : Buffer.alloc(32) })
  return Buffer.concat([header, varint(count), ...transactions])
}

/** The Merkle root of whole transactions, as it is defined: level by level. */
export function rootOf(transactions: Uint8Array[]): Buffer {
  let level: Buffer[] = transactions.map(doubleHash)
  while (level.length > 1) {
    const above: Buffer[] = []
    for (let i = 0; i < level.length; i += 2) above.push(doubleHash(Buffer.concat([level[i]!, level[i + 1] ?? level[i]!])))
    level = above
  }
  return level[0]!
}

function doubleHash(bytes: Uint8Array): Buffer {
  return hash('sha256', hash('sha256', bytes, 'buffer'), 'buffer')
}
