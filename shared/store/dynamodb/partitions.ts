import type { Stores } from '../port.ts'

/**
 * What the partition keys of each kind of item begin with, in the one table (docs/design.md, Formats): all of them, or, without a `#`, the whole key.
 * Rights are given by these (cdk/ledger.ts), so no two kinds begin alike.
 */
export const PARTITION = {
  block: 'pool#',
  receipt: 'receipt#',
  control: 'control',
  cursor: 'cursor#',
  dead: 'dead#',
  lease: 'lease#',
} as const

export type StoreName = keyof Stores

/** The kinds of items that each store keeps. */
const KINDS: Record<StoreName, (keyof typeof PARTITION)[]> = {
  blocks: ['block'],
  receipts: ['receipt'],
  control: ['control'],
  progress: ['cursor', 'dead'],
  leases: ['lease'],
}

export const STORES = Object.keys(KINDS) as StoreName[]

/** The partition keys of a store, as patterns in which `*` is any text: what IAM calls leading keys. */
export function partitionsOf(store: StoreName): string[] {
  return KINDS[store].map((kind) => PARTITION[kind].replace(/#$/, '#*'))
}
