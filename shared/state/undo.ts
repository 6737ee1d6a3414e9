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
 */
export async function undoneBy(journal: AsyncIterable<StateChange[]>, blocks: string[]): Promise<Undone> {
  const changes = await voided(journal, blocks)
  const result: Undone = { values: new Map(), kept: [] }
  for (const [key, ofKey] of Map.groupBy(changes, ({ change }) => change.key)) {
    const first = ofKey.findIndex(({ isVoid }) => isVoid)
    if (first < 0) continue
    let value = ofKey[first]!.change.before
    let isKept = false
    for (const { change, isVoid } of ofKey.slice(first)) {
      if (isVoid) continue
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
 * All changes, the oldest first, each with whether it is void: made because of one of these blocks, or of one that an earlier reorganisation took back, or by that reorganisation. A
 * block that was taken back and came again is void before the reorganisation only.
 */
async function voided(journal: AsyncIterable<StateChange[]>, blocks: string[]): Promise<{ change: StateChange; isVoid: boolean }[]> {
  const undone = new Set(blocks)
  const all: { change: StateChange; isVoid: boolean }[] = []
  for await (const page of journal) {
    for (const change of page) {
      for (const hash of change.undoes ?? []) undone.add(hash)
      all.push({ change, isVoid: change.undoes !== undefined || (change.blockHash !== undefined && undone.has(change.blockHash)) })
    }
  }
  return all.reverse()
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
