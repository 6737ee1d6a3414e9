import { entryAt } from '../ledger/block.ts'
import { LOCAL, type TxStatus } from '../ledger/status.ts'
import type { Stores } from '../store/port.ts'

/** What a pool knows of a transaction. */
export interface Known extends TxStatus {
  /** of a mined one: a BUMP that leads to a block of the best chain */
  proof?: Uint8Array
}

/** The stores that say so. Where no blocks can be read, no proof is found. */
export type KnownStores = Pick<Stores, 'receipts' | 'statuses'> & Partial<Pick<Stores, 'blocks'>>

/** The newest status of a transaction in a pool; undefined if the pool has neither an entry nor a status of it, which both appear a moment after it was posted. */
export async function knownOf({ receipts, statuses, blocks }: KnownStores, pool: string, txid: string): Promise<Known | undefined> {
  const [kept] = await statuses.newest(pool, [txid])
  if (!kept) return (await receipts.ofTransaction(pool, txid)).length ? LOCAL : undefined
  const block = kept.proven && (await blocks?.find(pool, kept.seq))
  const entry = block && entryAt(block, kept.seq - block.first)
  const proof = entry && (entry.kind === 'status' || entry.kind === 'tx') ? entry.proof : undefined
  return { ...kept, ...(proof && { proof }) }
}
