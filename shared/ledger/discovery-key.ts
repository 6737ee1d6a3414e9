/**
 * The topic under which peers find a pool; it does not reveal the key. Both are 64 hex. It equals `discoveryKey` of hypercore-crypto, which needs native code:
 * a handler's function on Lambda is JavaScript alone, and may subscribe to pools.
 */
export function discoveryKeyOf(key: string): string {
  return blake2b(Buffer.from(key, 'hex'), Buffer.from('hypercore')).toString('hex')
}

// BLAKE2b with a key (RFC 7693): a hash of 32 bytes, and a message of one block, since nothing else is needed. Node's own BLAKE2b takes no key.

const HASH_BYTES = 32
const BLOCK_BYTES = 128
const IV = [
  0x6a09e667f3bcc908n,
  0xbb67ae8584caa73bn,
  0x3c6ef372fe94f82bn,
  0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n,
  0x9b05688c2b3e6c1fn,
  0x1f83d9abfb41bd6bn,
  0x5be0cd19137e2179n,
] as const
/** The order in which each round takes the words of the block: a hex digit is the number of a word. */
const ORDERS = [
  '0123456789abcdef',
  'ea489fd61c02b753',
  'b8c052fdae367194',
  '7931dcbe265a40f8',
  '905724afe1bc683d',
  '2c6a0b834d75fe19',
  'c51fed4a0763928b',
  'db7ec13950f4862a',
  '6fe9b308c2d714a5',
  'a2847615fb9e3cd0',
]
const ROUNDS = [...ORDERS, ...ORDERS.slice(0, 2)].map(digitsOf)
/** The columns of the state, then its diagonals. */
const QUARTERS = ['048c', '159d', '26ae', '37bf', '05af', '16bc', '278d', '349e'].map(digitsOf)

function digitsOf(hex: string): number[] {
  return Array.from(hex, (digit) => Number.parseInt(digit, 16))
}

function blake2b(key: Uint8Array, message: Uint8Array): Buffer {
  const hash = BigUint64Array.from(IV)
  hash[0]! ^= 0x01010000n ^ BigInt((key.length << 8) ^ HASH_BYTES)
  compress(hash, key, BLOCK_BYTES, false)
  compress(hash, message, BLOCK_BYTES + message.length, true)
  const bytes = Buffer.alloc(hash.byteLength)
  hash.forEach((word, i) => {
    bytes.writeBigUInt64LE(word, 8 * i)
  })
  return bytes.subarray(0, HASH_BYTES)
}

/** @param count bytes so far, those of this block among them */
function compress(hash: BigUint64Array, block: Uint8Array, count: number, isLast: boolean): void {
  const padded = Buffer.alloc(BLOCK_BYTES)
  padded.set(block)
  const state = BigUint64Array.of(...hash, ...IV) // its words wrap around at 2 ** 64
  state[12]! ^= BigInt(count)
  if (isLast) state[14] = ~state[14]!
  for (const order of ROUNDS) {
    for (const [i, [a, b, c, d]] of QUARTERS.entries()) {
      for (const [half, [first, second]] of [
        [0, [32n, 24n]],
        [1, [16n, 63n]],
      ] as const) {
        state[a!]! += state[b!]! + padded.readBigUInt64LE(8 * order[2 * i + half]!)
        state[d!] = turned(state[d!]! ^ state[a!]!, first)
        state[c!]! += state[d!]!
        state[b!] = turned(state[b!]! ^ state[c!]!, second)
      }
    }
  }
  for (const i of hash.keys()) hash[i]! ^= state[i]! ^ state[i + 8]!
}

/** Rotated to the right; the array that takes it cuts off what is above 64 bits. */
function turned(word: bigint, bits: bigint): bigint {
  return (word >> bits) | (word << (64n - bits))
}
