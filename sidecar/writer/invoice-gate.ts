import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import type { InvoiceEntry } from '../../shared/ledger/kinds.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'
import { cancel, type Deciding, isOpen, settle } from '../../shared/machine/settle.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { entryIn } from './entry-in.ts'

/** Decides what posts say of invoices before they are written: at most one entry says that an invoice is paid, and none says that a paid one is cancelled or has expired. Mostly a door has decided already, and this reads the same. */
export class InvoiceGate {
  readonly #pool: string
  readonly #stores: Deciding

  constructor(pool: string, stores: Deciding) {
    this.#pool = pool
    this.#stores = stores
  }

  /**
   * Has the entries of these posts, which are new, say what is decided. It can be repeated.
   * @returns posts that are not to be written: they say that an invoice is cancelled or has expired, and it is paid; or that it has expired, and it was cancelled
   */
  async settle(posts: IngressMessage[]): Promise<ReadonlySet<IngressMessage>> {
    await this.#settlePayments(posts)
    const untrue = new Set<IngressMessage>()
    for (const post of posts) {
      const entry = post.kind === 'invoice' ? entryIn(post) : undefined
      if (entry?.kind === 'invoice' && !(await this.#isTrue(entry))) untrue.add(post)
    }
    return untrue
  }

  async #isTrue({ at, invoice: { id, state } }: InvoiceEntry): Promise<boolean> {
    if (state === 'cancelled') return !(await cancel(this.#stores, this.#pool, id, at))
    return isOpen(this.#stores, this.#pool, id)
  }

  async #settlePayments(posts: IngressMessage[]): Promise<void> {
    const payments = posts.flatMap((post) => {
      const entry = post.kind === 'tx' ? entryIn(post) : undefined
      return entry?.kind === 'tx' && entry.invoice ? [{ post, entry, judged: entry.invoice }] : []
    })
    if (!payments.length) return
    const standings = await this.#stores.invoices.standings(
      this.#pool,
      payments.map(({ judged }) => judged.id),
    )
    for (const [i, { post, entry, judged }] of payments.entries()) {
      const { id, at, tx } = entry
      const settled = await settle(this.#stores, {
        pool: this.#pool,
        entry: id,
        said: judged,
        // Not needed where the door has settled it.
        get transaction() {
          return scanTransaction(tx)
        },
        known: standings[i],
        at,
      })
      if (settled.state !== judged.state || settled.copyOf !== judged.copyOf) post.entry = encodeEntry({ ...entry, invoice: settled })
    }
  }
}
