import type { EntryId } from '../ledger/kinds.ts'
import type { Ingress } from '../queue/port.ts'
import type { ReceiptKey, Receipts } from '../store/receipts.ts'

/**
 * Finds earlier copies of a post, for pools with a filter. A filter may take each order once, so it is asked once for each post: a copy gets the answer of the first
 * (Promise 3). On AWS a copy that comes before the first one has its receipt is not found.
 */
export class Copies {
  readonly #receipts: Pick<Receipts, 'find' | 'ofTransaction'>
  readonly #ingress: Ingress
  /** posts under way */
  readonly #underway = new Map<EntryId, Promise<void>>()

  constructor(receipts: Pick<Receipts, 'find' | 'ofTransaction'>, ingress: Ingress) {
    this.#receipts = receipts
    this.#ingress = ingress
  }

  /**
   * Runs `take`, and says whether the post is in the ledger or on its way there. A copy that comes meanwhile waits, and ends as the first one does.
   * @param txid where the pool takes each transaction once: then any entry of it counts
   */
  async takeOnce(pool: string, post: ReceiptKey, txid: string | undefined, take: (isCopy: boolean) => Promise<void>): Promise<void> {
    const first = this.#underway.get(post.id)
    if (first) return first
    const taking = this.#isKnown(pool, post, txid).then(take)
    this.#underway.set(post.id, taking)
    try {
      await taking
    } finally {
      this.#underway.delete(post.id)
    }
  }

  async #isKnown(pool: string, post: ReceiptKey, txid: string | undefined): Promise<boolean> {
    if (this.#ingress.holds?.(pool, post.id)) return true
    const [receipt] = await this.#receipts.find(pool, [post])
    if (receipt !== undefined || txid === undefined) return receipt !== undefined
    return (await this.#receipts.ofTransaction(pool, txid)).length > 0
  }
}
