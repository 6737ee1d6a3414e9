import { decodeEntry } from '../../shared/ledger/entry-codec.ts'
import type { Entry } from '../../shared/ledger/kinds.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'

const decoded = new WeakMap<Uint8Array, Entry>()

/** The entry of a post. More than one gate looks at it: it is decoded once. By its bytes, since a gate may replace them. */
export function entryIn({ entry: bytes }: IngressMessage): Entry {
  const known = decoded.get(bytes)
  if (known) return known
  const entry = decodeEntry(bytes)
  decoded.set(bytes, entry)
  return entry
}
