import { OverpoolError } from '../errors.ts'

/** What lets somebody subscribe to a pool: its public key, and the encryption key if it is an encrypted one. Both are 64 hex characters. */
export interface Capability {
  key: string
  secret?: string
}

const KEY = /^[0-9a-f]{64}$/

/** Whether it is the public key of a machine, 64 hex, by which others know it (`overpool id`). */
export function isMachine(key: unknown): key is string {
  return typeof key === 'string' && KEY.test(key)
}

/** The one string that `sub` takes: the key, and behind a dot the encryption key. */
export function formatCapability({ key, secret }: Capability): string {
  return secret === undefined ? key : `${key}.${secret}`
}

/** Reads what `pub` gave, or throws BAD_ARGUMENT. */
export function parseCapability(text: unknown): Capability {
  const [key = '', secret, ...more] = typeof text === 'string' ? text.toLowerCase().split('.') : []
  if (more.length || !KEY.test(key) || (secret !== undefined && !KEY.test(secret))) {
    throw new OverpoolError(
      'BAD_ARGUMENT',
      'subscribe to what `pub` printed: a public key of 64 hex characters, or for an encrypted pool two such keys with a dot between them',
    )
  }
  return { key, ...(secret !== undefined && { secret }) }
}
