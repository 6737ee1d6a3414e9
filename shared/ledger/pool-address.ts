import { OverpoolError } from '../errors.ts'

/** What `pub` prints and `sub` takes: the pool's public key and, of an encrypted pool, its encryption key. Both are 64 hex characters. */
export interface PoolAddress {
  key: string
  secret?: string
}

const KEY = /^[0-9a-f]{64}$/

/** Whether it has the form of a public key: 64 hex. A machine's is what `overpool id` prints. */
export function isPublicKey(key: unknown): key is string {
  return typeof key === 'string' && KEY.test(key)
}

/** The string that `sub` takes: the key, and after a dot the encryption key. */
export function formatPoolAddress({ key, secret }: PoolAddress): string {
  return secret === undefined ? key : `${key}.${secret}`
}

/** Reads what `pub` returned, or throws BAD_ARGUMENT. */
export function parsePoolAddress(text: unknown): PoolAddress {
  const [key = '', secret, ...more] = typeof text === 'string' ? text.toLowerCase().split('.') : []
  if (more.length || !KEY.test(key) || (secret !== undefined && !KEY.test(secret))) {
    throw new OverpoolError(
      'BAD_ARGUMENT',
      'subscribe to what `pub` printed: a public key of 64 hex characters, or for an encrypted pool two such keys with a dot between them',
    )
  }
  return { key, ...(secret !== undefined && { secret }) }
}
