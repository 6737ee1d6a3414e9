import { hash } from 'node:crypto'
import { OverpoolError } from '../errors.ts'

export function nameOf(bytes: Uint8Array): string {
  return hash('sha256', bytes)
}

/** A name comes out of messages and items: only 64 hex characters become part of a path. */
export function checkName(sha256: string): void {
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new OverpoolError('BAD_ARGUMENT', 'the name of a blob is its sha256, 64 hex characters')
}

export function checked(sha256: string, bytes: Uint8Array): Uint8Array {
  if (nameOf(bytes) !== sha256) throw new OverpoolError('BAD_BLOCK', `the bytes kept as ${sha256} are damaged: they have another hash`)
  return bytes
}

export function noBlob(sha256: string, cause: unknown): OverpoolError {
  return new OverpoolError('ENTRY_NOT_FOUND', `no blob ${sha256}`, { cause })
}
