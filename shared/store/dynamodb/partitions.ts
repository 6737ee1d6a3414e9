import type { Stores } from '../port.ts'

/**
 * The prefixes of partition keys, by kind of item (docs/design.md, Formats); one without a `#` is the whole key.
 * Rights are granted by these prefixes (cdk/ledger.ts), so no prefix begins with another.
 */
export const PARTITION = {
  block: 'pool#',
  receipt: 'receipt#',
  status: 'status#',
  control: 'control',
  cursor: 'cursor#',
  dead: 'dead#',
  state: 'state#',
  journal: 'journal#',
  lease: 'lease#',
  invoice: 'invoice#',
} as const

/** The stores that keep items in the table. */
export type StoreName = Exclude<keyof Stores, 'ancestors'>

/** The kinds of items that each store keeps. */
const KINDS: Record<StoreName, (keyof typeof PARTITION)[]> = {
  blocks: ['block'],
  receipts: ['receipt'],
  statuses: ['status'],
  control: ['control'],
  progress: ['cursor', 'dead'],
  state: ['state', 'journal'],
  leases: ['lease'],
  invoices: ['invoice'],
}

export const STORES = Object.keys(KINDS) as StoreName[]

/** The partition keys of a store as patterns, `*` for any text: IAM's leading keys. */
export function partitionsOf(store: StoreName): string[] {
  return KINDS[store].map((kind) => PARTITION[kind].replace(/#$/, '#*'))
}
