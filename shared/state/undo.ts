import type { StateChange } from '../store/state.ts'
import { decodeValue, encodeValue } from './values.ts'

export interface Undone {
  /** the keys that change, with their values; undefined: none */
  values: Map<string, Uint8Array | undefined>
  /** keys that the undone entries had changed, and a later entry too, so that its value stays */
  kept: string[]
}

/**
 * What a state is without the changes of entries from these blocks. A number that other entries changed later loses only what the undone entries added to it. Any other value
 * that another entry wrote later stays.
 * @param journal the newest change first, in pages
 * @param fork height of the last block that stays
 */
export async function undoneBy(journal: AsyncIterable<StateChange[]>, blocks: string[], fork: number): Promise<Undone> {
  const undone = new Set(blocks)
  const isVoid = ({ blockHash, undoes }: StateChange) => undoes !== undefined || (blockHash !== undefined && undone.has(blockHash))
  const since = await changesSince(journal, fork, undone, isVoid)
  const result: Undone = { values: new Map(), kept: [] }
  for (const [key, changes] of Map.groupBy(since, (change) => change.key)) {
    const first = changes.findIndex(isVoid)
    if (first < 0) continue
    let value = changes[first]!.before
    let isKept = false
    for (const change of changes.slice(first).filter((change) => !isVoid(change))) {
      const sum = added(value, change)
      value = sum ?? change.after
      isKept ||= sum === undefined
    }
    result.values.set(key, value)
    if (isKept) result.kept.push(key)
  }
  return result
}

/**
 * The changes after the last one of a block that stays, the oldest first. What an earlier reorganisation took back is void as well, with the changes that did so: its blocks join
 * `undone`.
 */
async function changesSince(
  journal: AsyncIterable<StateChange[]>,
  fork: number,
  undone: Set<string>,
  isVoid: (change: StateChange) => boolean,
): Promise<StateChange[]> {
  const since: StateChange[] = []
  for await (const page of journal) {
    for (const change of page) {
      for (const hash of change.undoes ?? []) undone.add(hash)
      if (change.height !== undefined && change.height <= fork && !isVoid(change)) return since.reverse()
      since.push(change)
    }
  }
  return since.reverse()
}

/** A number with what a change has added to it; undefined if the values are no numbers. A number that was not there is 0. */
function added(value: Uint8Array | undefined, { key, before, after }: StateChange): Uint8Array | undefined {
  const [was, now, at] = [before, after, value].map((bytes) => bytes && decodeValue(bytes))
  const all = [was, now, at].filter((one) => one !== undefined)
  if (now === undefined || all.length === 0) return undefined
  if (all.every((one) => typeof one === 'number')) return encodeValue(key, ((at as number) ?? 0) + (now as number) - ((was as number) ?? 0))
  if (all.every((one) => typeof one === 'bigint'))
    return encodeValue(key, ((at as bigint) ?? 0n) + (now as bigint) - ((was as bigint) ?? 0n))
  return undefined
}
