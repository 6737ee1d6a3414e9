import type { Broadcaster, Origin, Pending } from '../../shared/broadcast/broadcaster.ts'
import type { Clock } from '../../shared/clock.ts'
import type { CommitPolicy } from '../../shared/config/bitcoin.ts'
import { OverpoolError } from '../../shared/errors.ts'
import type { CommitEvent, TxEvent } from '../../shared/ledger/event.ts'
import type { Committed } from '../../shared/ledger/kinds.ts'
import type { Pools } from '../../shared/machine/machine.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'

/**
 * The functions of the built-in handler that hands transactions to the network. It is a handler like any other, with a cursor, retries and dead letters. So each request in the
 * ledger is carried out, even if the process dies meanwhile.
 * @param policy the `commit` of a pool; undefined if the program has not created the pool yet since its start: its payments wait until then
 */
export function broadcasterFunctions(
  broadcaster: Broadcaster,
  policy: (pool: string) => CommitPolicy | undefined,
  pools: Pick<Pools, 'broadcast'>,
  clock: Pick<Clock, 'elapsed'>,
): { commit: (event: CommitEvent) => unknown; tx: (event: TxEvent) => Promise<void> } {
  const requests = new Requests(broadcaster, clock)
  return {
    commit: (event) => requests.carryOut(event),
    async tx(event) {
      const commit = policy(event.path)
      if (commit === undefined)
        throw new OverpoolError('UNAVAILABLE', `"${event.path}" had a \`commit\`, and is not created yet since the start`, {
          retryable: true,
        })
      if (commit === 'never' || event.source === 'chain' || event.source === 'mempool') return
      if (commit === 'always' || (await commit(event))) await pools.broadcast(event)
    },
  }
}

/** So many transactions of requests that follow one another are handed over together: services take that many at once. */
const TOGETHER = 500
/** So long they may take, going by the last ones, ms: less than a call of a handler has. */
const TOGETHER_MS = 10_000
/** Requests that come faster than this are looked at together, ms. A lone one costs no further reads. */
const SOON_MS = 1_000

/** The last request of a pool that was carried out. */
interface Last {
  /** when (`Clock.elapsed`) */
  at: number
  failed: boolean
  /** how long a transaction took, ms */
  msEach: number
  /** the requests after it that were carried out with it, and whose turn has not come */
  ahead: Set<number>
}

/** Carries out requests, in the order of their pool. Of many that come soon after one another, those that follow are carried out together with the first. */
class Requests {
  readonly #broadcaster: Broadcaster
  readonly #clock: Pick<Clock, 'elapsed'>
  readonly #last = new Map<string, Last>()

  constructor(broadcaster: Broadcaster, clock: Pick<Clock, 'elapsed'>) {
    this.#broadcaster = broadcaster
    this.#clock = clock
  }

  /**
   * Hands over the transactions of a request.
   * @throws OverpoolError UNAVAILABLE: every service is away, and it is tried again until one is there; ENTRY_NOT_FOUND
   */
  async carryOut({ path, key, seq, hops, of }: CommitEvent): Promise<void> {
    const last = this.#last.get(path)
    if (last?.ahead.delete(seq)) {
      last.at = this.#clock.elapsed()
      return
    }
    const transactions = await this.#transactionsOf(path, of, { cause: { key, seq }, hops: hops + 1 })
    // One that has failed is tried alone, so that it does not fail for what another one does.
    const isSoon = last !== undefined && !last.failed && this.#clock.elapsed() - last.at < SOON_MS
    const most = isSoon ? Math.min(TOGETHER, TOGETHER_MS / last.msEach) : 0
    const ahead = await this.#addFollowing(path, key, seq, transactions, most)
    const begun = this.#clock.elapsed()
    const over = (failed: boolean) => {
      const at = this.#clock.elapsed()
      this.#last.set(path, { at, failed, msEach: (at - begun) / transactions.length, ahead: failed ? new Set() : ahead })
    }
    over(true) // as long as it is not done
    await this.#broadcaster.handOver(path, transactions)
    over(false)
  }

  /** Adds the transactions of the requests after this one, in order, up to so many in all. @returns the places of the requests */
  async #addFollowing(path: string, key: string, seq: number, transactions: Pending[], most: number): Promise<Set<number>> {
    const ahead = new Set<number>()
    if (transactions.length >= most) return ahead
    const txids = new Set(transactions.map(({ scanned }) => scanned.txid))
    for await (const { seq: at, entry } of this.#broadcaster.after(path, seq)) {
      if (entry.kind !== 'commit') continue
      if (txids.size + entry.of.length > most) break
      const origin = { cause: { key, seq: at }, hops: entry.hops + 1 }
      const more = await this.#transactionsOf(path, entry.of, origin).catch(() => undefined)
      // What cannot be carried out fails when its turn comes. One transaction is not handed over twice at once.
      if (!more || more.some(({ scanned }) => txids.has(scanned.txid))) break
      for (const { scanned } of more) txids.add(scanned.txid)
      transactions.push(...more)
      ahead.add(at)
    }
    return ahead
  }

  async #transactionsOf(path: string, of: readonly Committed[], origin: Origin): Promise<Pending[]> {
    const broadcaster = this.#broadcaster
    const transactions: Pending[] = []
    for (const one of of) {
      const found =
        'tx' in one
          ? { scanned: scanTransaction(one.tx), along: true as const }
          : one.seq === undefined
            ? await broadcaster.transaction(path, one.txid)
            : await broadcaster.entry(path, one.seq)
      if (!found)
        throw new OverpoolError(
          'ENTRY_NOT_FOUND',
          `"${path}" has no entry of the transaction ${'txid' in one ? one.txid : ''} that is to be broadcast`,
        )
      transactions.push({ ...found, origin })
    }
    return transactions
  }
}
