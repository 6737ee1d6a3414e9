import type { Stores } from '../../shared/store/port.ts'
import type { Posted } from './pool-transactions.ts'
import type { TxidSet } from './txid-set.ts'

/** So many blocks are remembered, and so many of their transactions, at most. */
const BLOCKS = 12
const TRANSACTIONS = 1_000_000
/** A payment is in the ledger at most this long after it was accepted, in most cases. After a restart, it may be in any block that was read since it was accepted, ms. */
const ACCEPTED_BEFORE_MS = 10 * 60_000

export interface RecentBlock {
  hash: string
  /** all its transactions; undefined if an earlier process has read it */
  txids?: TxidSet
  /** when it was read, ms since 1970 */
  at: number
}

/** The newest blocks that were read, with their transactions: a payment may be posted after the block that has it was read, and then that block is read again. */
export class RecentBlocks {
  readonly #statuses: Pick<Stores['statuses'], 'newest'>
  /** the oldest first */
  #blocks: RecentBlock[] = []
  /** pools with transactions that were posted after the block, by its hash */
  readonly #late = new Map<string, Set<string>>()

  constructor(statuses: Pick<Stores['statuses'], 'newest'>) {
    this.#statuses = statuses
  }

  /** Begins with blocks that were read by an earlier process, or before a pool began. @param blocks the oldest first */
  begin(blocks: RecentBlock[]): void {
    this.#blocks = blocks.slice(-BLOCKS)
  }

  add(block: RecentBlock): void {
    this.#blocks = [...this.#blocks.filter(({ hash }) => hash !== block.hash), block].slice(-BLOCKS)
    const sum = () => this.#blocks.reduce((all, { txids }) => all + (txids?.size ?? 0), 0)
    while (this.#blocks.length > 1 && sum() > TRANSACTIONS) this.#blocks.shift()
  }

  /** The blocks that may have this transaction, the oldest first. */
  with(txid: string): RecentBlock[] {
    return this.#blocks.filter(({ txids }) => txids?.has(txid))
  }

  /** Notes the blocks that may have what has just been posted to a pool. */
  async note(path: string, posted: readonly Posted[]): Promise<void> {
    const note = ({ hash }: RecentBlock) => this.#late.set(hash, (this.#late.get(hash) ?? new Set()).add(path))
    for (const { txid } of posted) {
      const block = this.with(txid).at(-1)
      if (block) note(block)
    }
    // Nobody remembers what is in the blocks that an earlier process has read.
    const [oldest, ...others] = this.#blocks.filter(({ txids }) => !txids)
    const since = posted.filter(({ at }) => oldest && at >= oldest.at - ACCEPTED_BEFORE_MS)
    if (!oldest || !since.length) return
    const statuses = await this.#statuses.newest(
      path,
      since.map(({ txid }) => txid),
    )
    let last = 0 // there may be more than a call takes arguments
    for (const [i, { at }] of since.entries()) if (statuses[i]?.status !== 'mined') last = Math.max(last, at + ACCEPTED_BEFORE_MS)
    for (const block of [oldest, ...others]) if (block.at <= last) note(block)
  }

  /** The blocks that are to be read again, each with the pools for which. A block is forgotten here when the next one is asked for. */
  *late(): Generator<{ block: RecentBlock; paths: Set<string> }> {
    for (const [hash, paths] of this.#late) {
      const block = this.#blocks.find((one) => one.hash === hash)
      if (block) yield { block, paths }
      this.#late.delete(hash)
    }
  }
}
