import type { ChainFilter, FilterConfig } from '../../shared/chain/filter.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Network } from '../../shared/config/bitcoin.ts'

/** A block, by its height and hash. A hash or a txid is 64 lower-case hex digits as people write them: the bytes reversed. */
export interface Place {
  height: number
  hash: string
}

export interface HeaderAt {
  height: number
  /** 80 bytes */
  header: Uint8Array
}

/**
 * Why it may be time to look: `block`: the best chain may have changed; `tx`: a transaction that the source has just heard of, as bytes that nobody has scanned; neither:
 * there may be unconfirmed transactions that came with no `tx`.
 */
export interface News {
  block?: true
  tx?: Uint8Array
}

/** A transaction of a block, with its proof. */
export interface Proven {
  tx: Uint8Array
  /** its place in the block */
  index: number
  /** BUMP: it leads to the root in the header of that block */
  proof: Uint8Array
}

/**
 * Where blocks and transactions come from. Nothing that it says is believed: headers, proofs and transactions are checked by who asks.
 * Its methods throw OverpoolError UNAVAILABLE (retryable) when the source is away. No name and no error holds a password or a key.
 */
export interface ChainSource {
  /** For people: 'node 127.0.0.1:8332'. */
  readonly name: string
  /** The last block of its best chain. */
  tip(): Promise<Place>
  /** Headers of its best chain from this height on, at most `limit`, and fewer where the chain ends or the source gives fewer at a time; each follows on the one before it. */
  headers(from: number, limit: number): Promise<HeaderAt[]>
  /** The header of a block on its best chain; undefined if it is not on it. */
  headerOf(hash: string): Promise<HeaderAt | undefined>
  /** A raw block in chunks, of which it holds a few at a time. It throws, also after some chunks, when the block is no longer to be had. */
  block?(place: Place): AsyncIterable<Uint8Array>
  /**
   * Of a source that cannot give whole blocks: the transactions of a block that are wanted, in their order.
   * @param wanted what the filter was made of, with all that it was told to look for since
   * @throws OverpoolError BAD_CONFIG: this source cannot find what is wanted
   */
  matching?(place: Place, filter: ChainFilter, wanted: FilterConfig): AsyncIterable<Proven>
  /** The txids of the unconfirmed transactions that it knows. */
  mempool?(): Promise<string[]>
  /** A raw transaction, scanned, with this txid; undefined if the source does not know it. */
  transaction?(txid: string): Promise<Uint8Array | undefined>
  /** Calls back whenever it may be time to look, until the signal is aborted, and at the beginning. It is a hint: some changes come with none, some hints with no change. */
  watch(hint: (news: News) => void, signal: AbortSignal): void
  /** Ends what is under way. */
  close(): Promise<void>
}

/** How often a source is asked for news unless it says otherwise, ms. A block on regtest comes when somebody makes it. */
export function pollsOn(network: Network): number {
  return network === 'regtest' ? 1_000 : 10_000
}

/** `watch` by asking for the tip again and again. */
export async function pollTip(
  source: ChainSource,
  { pollMs, clock }: { pollMs: number; clock: Clock },
  hint: (news: News) => void,
  over: AbortSignal,
): Promise<void> {
  for (let last: string | undefined; !over.aborted; await clock.sleep(pollMs, over)) {
    const { hash } = await source.tip().catch(() => ({ hash: 'away' })) // who follows the hint gets the error
    if (over.aborted) return
    if (hash !== last) hint({ block: true })
    last = hash
  }
}
