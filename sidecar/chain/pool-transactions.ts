import { entriesOf } from '../../shared/ledger/block.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { Digest } from '../../shared/transaction/digest.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { prefixOf, TxidSet } from './txid-set.ts'

/** A transaction of a pool, and when it was accepted, ms since 1970. */
export interface Posted {
  txid: string
  at: number
}

/** The txids of one pool, in memory: whether a transaction of the chain belongs to the pool is answered without a request. */
export class PoolTransactions {
  readonly #path: string
  readonly #blocks: Pick<Stores['blocks'], 'read'>
  readonly #known = new TxidSet()
  /** the requests to broadcast those that are no entries, by the first 48 bits of the txid: a request has the bytes */
  readonly #requests = new Map<number, number>()
  #fresh: Posted[] = []
  /** the next block to read */
  #next = 0

  constructor(path: string, blocks: Pick<Stores['blocks'], 'read'>) {
    this.#path = path
    this.#blocks = blocks
  }

  /** Whether the pool may have an entry of this transaction, or a request to broadcast it. */
  mayHave(txid: string): boolean {
    return this.#known.has(txid)
  }

  /** The same of a digest, which is faster. */
  mayHaveDigest(digest: Digest): boolean {
    return this.#known.hasDigest(digest)
  }

  /** The entry that asks to broadcast it and has its bytes, if there is one. */
  requestOf(txid: string): number | undefined {
    return this.#requests.get(prefixOf(txid))
  }

  /** An entry of this transaction has been appended. */
  add(txid: string): void {
    this.#known.add(txid)
  }

  /** Reads what is new in the pool. @returns those that were not known. They come again, with newer ones, until they are noted: reading may fail half-way */
  async catchUp(): Promise<readonly Posted[]> {
    for (let page = await this.#blocks.read(this.#path, this.#next); page.length; page = await this.#blocks.read(this.#path, this.#next)) {
      for (const block of page) {
        for (const [i, entry] of entriesOf(block).entries()) {
          const committed = entry.kind === 'commit' ? entry.of.flatMap((one) => ('tx' in one ? [scanTransaction(one.tx).txid] : [])) : []
          for (const txid of committed) this.#requests.set(prefixOf(txid), block.first + i)
          for (const txid of entry.kind === 'tx' ? [scanTransaction(entry.tx).txid] : committed) {
            if (!this.#known.has(txid)) this.#fresh.push({ txid, at: entry.at })
            this.#known.add(txid)
          }
        }
        this.#next = block.n + 1
      }
    }
    return this.#fresh
  }

  /** What was new has been dealt with. */
  noted(): void {
    this.#fresh = []
  }
}
