import type { KeptStatus } from '../ledger/status.ts'

/** The newest status of each transaction in a pool. The status entries of the ledger say the same; this finds them quickly. */
export interface Statuses {
  /** Notes these statuses, whose blocks are in the mirror already; one that is older than the noted status of its transaction changes nothing. A second call is harmless. */
  put(pool: string, statuses: KeptStatus[]): Promise<void>
  /** The newest statuses of these transactions, in this order. */
  newest(pool: string, txids: string[]): Promise<(KeptStatus | undefined)[]>
  /** Those whose transaction has to be asked about, in the order of their txids: at most 1,000 after this one, none at the end. */
  open(pool: string, after?: string): Promise<KeptStatus[]>
  /** Those that are mined in this block, likewise. @param blockHash 64 hex */
  minedIn(pool: string, blockHash: string, after?: string): Promise<KeptStatus[]>
  /** Forgets all of a pool, whose blocks have their effects again. */
  forget(pool: string): Promise<void>
}

/** `open` and `minedIn` return at most this many. */
export const MAX_STATUSES = 1_000

/** All of them, a page after the other. */
export async function* allStatuses(read: (after?: string) => Promise<KeptStatus[]>): AsyncGenerator<KeptStatus, void> {
  for (let page = await read(); page.length; page = await read(page.at(-1)!.txid)) yield* page
}
