import type { StateRange, StateValue } from '../store/state.ts'
import type { StateItem } from './handler-state.ts'
import { compareKeys, decodeValue } from './values.ts'

/** Stored values with changes over them, in the order of the keys. @param changed undefined: the key is deleted @param stored reads a range of the store */
export async function listedOver(
  changed: ReadonlyMap<string, Uint8Array | undefined>,
  stored: (range: StateRange) => Promise<StateValue[]>,
  { prefix = '', after = '', limit }: StateRange,
): Promise<StateItem[]> {
  const most = limit + changed.size // each change deletes one stored key at most
  const found = await stored({ prefix, after, limit: most })
  const values = new Map<string, Uint8Array | undefined>(found.map(({ key, value }) => [key, value]))
  // A change after the last stored key that was read stays out if more may be stored before it.
  const end = found.length === most ? found.at(-1)!.key : undefined
  for (const [key, value] of changed)
    if (key.startsWith(prefix) && compareKeys(key, after) > 0 && (end === undefined || compareKeys(key, end) <= 0)) values.set(key, value)
  return [...values]
    .sort(([a], [b]) => compareKeys(a, b))
    .flatMap(([key, value]) => (value ? [{ key, value: decodeValue(value) }] : []))
    .slice(0, limit)
}
