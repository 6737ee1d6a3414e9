import crypto from 'hypercore-crypto'

/** What a pool is looked for by in the network: it does not tell the key. Both 64 hex. */
export function discoveryKeyOf(key: string): string {
  return crypto.discoveryKey(Buffer.from(key, 'hex')).toString('hex')
}
