import type { EntryId } from '../ledger/kinds.ts'
import type { Ingress } from '../queue/port.ts'
import type { ReceiptKey, Receipts } from '../store/receipts.ts'

/** How many posts are remembered that passed the filter and could not be sent. */
const MAX_PASSED = 10_000

/**
 * Finds earlier copies of a post, for pools with a filter. A filter may take each order once, so it is asked once for each post: a copy gets the answer of the first
 * (Promise 3). On AWS a copy that comes before the first one has its receipt is not found.
 */
export class Copies {
  readonly #receipts: Pick<Receipts, 'find' | 'ofTransaction'>
  readonly #ingress: Ingress
  /** posts under way */
  readonly #underway = new Map<EntryId, { payment: string; taking: Promise<void> }>()
  /** payments that passed the filter and could not be sent: their copies pass */
  readonly #passed = new Set<string>()

  constructor(receipts: Pick<Receipts, 'find' | 'ofTransaction'>, ingress: Ingress) {
    this.#receipts = receipts
    this.#ingress = ingress
  }

  /**
   * Asks the filter, unless the post is in the ledger or on its way there, and sends the post. A copy that comes meanwhile waits, and ends as the first one does.
   * @param payment the id of the payment itself: posts with one id may differ in what the id does not cover, such as the memo
   * @param txid where the pool takes each transaction once: then any entry of it counts
   */
  async takeOnce(
    pool: string,
    post: ReceiptKey,
    payment: string,
    txid: string | undefined,
    { filter, send }: { filter: () => Promise<void>; send: () => Promise<void> },
  ): Promise<void> {
    const { id } = post
    for (let first = this.#underway.get(id); first; first = this.#underway.get(id)) {
      if (first.payment === payment) return first.taking
      await first.taking.catch(() => {}) // another payment: what the filter says of it says nothing of ours
    }
    const take = async () => {
      if (!this.#passed.has(payment) && !(await this.isKnown(pool, post, txid))) await filter()
      this.#remember(payment)
      await send()
      this.#passed.delete(payment)
    }
    const taking = take()
    this.#underway.set(id, { payment, taking })
    try {
      await taking
    } finally {
      this.#underway.delete(id)
    }
  }

  #remember(payment: string): void {
    this.#passed.add(payment)
    if (this.#passed.size > MAX_PASSED) this.#passed.delete(this.#passed.values().next().value!)
  }

  /** Whether a post is in the ledger, or on its way there. */
  async isKnown(pool: string, post: ReceiptKey, txid?: string): Promise<boolean> {
    if (this.#ingress.holds?.(pool, post.id)) return true
    const [receipt] = await this.#receipts.find(pool, [post])
    if (receipt !== undefined || txid === undefined) return receipt !== undefined
    return (await this.#receipts.ofTransaction(pool, txid)).length > 0
  }
}
