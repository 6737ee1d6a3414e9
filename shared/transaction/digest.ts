import { hash } from 'node:crypto'

/**
 * A double SHA-256: 32 characters, each of them a byte. Node makes such a string three times as fast as a Buffer, it compares by ===, and it takes less memory.
 */
export type Digest = string & { readonly __brand: 'Digest' }

const bytes = Buffer.alloc(32)

export function digestOf(message: Uint8Array): Digest {
  bytes.write(hash('sha256', message, 'binary'), 'latin1')
  return hash('sha256', bytes, 'binary') as Digest
}

/** The 32 bytes at `at` as a digest. */
export function asDigest(hashed: Uint8Array, at = 0): Digest {
  const buffer = Buffer.isBuffer(hashed) ? hashed : Buffer.from(hashed.buffer, hashed.byteOffset, hashed.length)
  return buffer.toString('latin1', at, at + 32) as Digest
}

/** A digest as people write it: 64 lower-case hex digits, the bytes reversed. */
export function displayed(digest: Digest): string {
  bytes.write(digest, 'latin1')
  return bytes.reverse().toString('hex')
}
