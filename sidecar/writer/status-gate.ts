import type { StatusEntry } from '../../shared/ledger/kinds.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'
import type { ScannedEntry } from '../../shared/ledger/scanned.ts'
import { follows, statusIn, type TxStatus } from '../../shared/ledger/status.ts'
import type { Statuses } from '../../shared/store/statuses.ts'
import { entryIn } from './entry-in.ts'

/** The chain as this machine knows it. */
export interface KnownChain {
  /** Whether the entry's block is one of the best chain, and its proof leads there; undefined if this machine knows no chain. The answer may take a request to the source. */
  proves(entry: StatusEntry, txid: string): Promise<boolean> | undefined
  /** Whether the chain has taken a block back. @param blockHash 64 hex */
  isUndone(blockHash: string): boolean
}

/** A status entry that waits to be written, and what the store knew of its transaction. */
interface Claim {
  entry: StatusEntry
  known: TxStatus | undefined
  /** false: it says `mined`, and its proof does not lead to a block of the best chain */
  holds: boolean
}

/**
 * The one gate for statuses (Promise 8): services, callbacks and the chain all post what they have heard, and the writer, which alone knows the order of entries, writes only
 * what changes the newest status. So no status comes twice, and none goes back without a reason.
 */
export class StatusGate {
  readonly #pool: string
  readonly #statuses: Pick<Statuses, 'newest'>
  readonly #chain: KnownChain | undefined
  /** the newest status of each transaction in blocks whose effects may not be done: the store may not have it yet */
  readonly #recent = new Map<string, { n: number; status: TxStatus }>()
  readonly #claims = new WeakMap<IngressMessage, Claim>()

  constructor(pool: string, statuses: Pick<Statuses, 'newest'>, chain: KnownChain | undefined) {
    this.#pool = pool
    this.#statuses = statuses
    this.#chain = chain
  }

  /** A block of the pool follows. */
  add(n: number, entries: ScannedEntry[]): void {
    for (const { status } of entries) if (status) this.#recent.set(status.txid, { n, status })
  }

  /** The effects of the blocks before number `n` are done. */
  forget(n: number): void {
    for (const [txid, recent] of this.#recent) if (recent.n < n) this.#recent.delete(txid)
  }

  /** Looks up what is known of the transactions that these posts are about, and checks proofs. Before `admitted`, which cannot wait. */
  async look(posts: IngressMessage[]): Promise<void> {
    const claims = posts.flatMap((post) => {
      const entry = post.kind === 'status' ? entryIn(post) : undefined
      return entry?.kind === 'status' ? [{ post, entry }] : []
    })
    if (!claims.length) return
    const known = await this.#statuses.newest(
      this.#pool,
      claims.map(({ entry }) => entry.of.txid),
    )
    for (const [i, { post, entry }] of claims.entries()) {
      const proves = entry.status === 'mined' ? await this.#chain?.proves(entry, entry.of.txid) : undefined
      this.#claims.set(post, { entry, known: known[i], holds: proves ?? true })
    }
  }

  /** The posts of a block that may be written: all but the statuses that change nothing. They come in the order of the block. */
  admitted<T>(waiting: T[], postOf: (one: T) => IngressMessage): { admitted: T[]; refused: T[] } {
    if (!waiting.some((one) => this.#claims.has(postOf(one)))) return { admitted: waiting, refused: [] }
    const inBlock = new Map<string, TxStatus>()
    const refused: T[] = []
    const admitted = waiting.filter((one) => {
      const claim = this.#claims.get(postOf(one))
      if (!claim) return true
      const { entry, known, holds } = claim
      const { txid } = entry.of
      const now = inBlock.get(txid) ?? this.#recent.get(txid)?.status ?? known
      const isUndone = entry.status === 'mined' && entry.blockHash !== undefined && this.#chain?.isUndone(entry.blockHash)
      // What is proven is taken back only when the chain itself has taken the block back. A service may be late.
      const isBack = entry.undone === undefined || !now?.proven || (this.#chain?.isUndone(entry.undone) ?? true)
      if (holds && !isUndone && isBack && follows(now, entry)) {
        const said = statusIn(entry)
        if (said) inBlock.set(txid, said)
        return true
      }
      refused.push(one)
      return false
    })
    return { admitted, refused }
  }

  /** A post of this process as the effects need it: with what it says about a transaction's status. */
  scanned(post: IngressMessage): ScannedEntry {
    if (post.kind === undefined) return post
    const entry = entryIn(post)
    const status = statusIn(entry)
    const txid = entry.kind === 'status' ? entry.of.txid : post.txid
    return status && txid !== undefined ? { ...post, status: { txid, ...status } } : post
  }
}
