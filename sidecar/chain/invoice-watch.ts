import { ChainFilter } from '../../shared/chain/filter.ts'
import { type Clock, timeLeft } from '../../shared/clock.ts'
import type { WatchedInvoice } from '../../shared/invoice/invoice.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'
import { enqueue } from '../../shared/machine/accept.ts'
import { verdictOf } from '../../shared/machine/settle.ts'
import type { Ingress } from '../../shared/queue/port.ts'
import { type InvoiceRecord, MAX_OTHERS } from '../../shared/store/invoices.ts'
import type { Stores } from '../../shared/store/port.ts'
import type { ScannedTransaction } from '../../shared/transaction/index.ts'
import type { FollowedPools } from './followed-pools.ts'
import { invoicePost } from './posts.ts'

export interface InvoiceWatchOptions {
  stores: Pick<Stores, 'invoices' | 'receipts'>
  /** the queue that payments of wallets go into */
  ingress: Pick<Ingress, 'send' | 'enqueue'>
  pools: FollowedPools
  clock: Clock
  /** whether a pool belongs to this shard; default: all do */
  owns?: ((pool: string) => boolean) | undefined
}

/** Where transactions were found, and by when they had been sent, ms since 1970. */
export interface Finding {
  source: 'mempool' | 'chain'
  at: number
}

/** A transaction that pays an invoice of a pool. */
export interface PaysInvoice {
  path: string
  scanned: ScannedTransaction
}

/** All are read again after this time, ms, and those whose time is over are forgotten. */
const ALL_MS = 24 * 60 * 60_000

/** Notices what is sent to the address of an invoice by a wallet that posts nothing, and takes it into the pool as if the wallet had posted it. */
export class InvoiceWatch {
  readonly #options: InvoiceWatchOptions
  #filter = new ChainFilter()
  /** by script, hex: two calls that make one invoice at once have made two scripts, and one of them counts */
  #watched = new Map<string, WatchedInvoice>()
  /** how far they were read */
  #place: string | undefined
  #allAt = Number.NEGATIVE_INFINITY

  constructor(options: InvoiceWatchOptions) {
    this.#options = options
  }

  /** Learns which invoices were made. Each is written before anybody sees its address: so after this, none that a transaction at hand pays is missing. */
  async refresh(): Promise<void> {
    const { stores, clock, owns } = this.#options
    const isAll = !timeLeft(clock, this.#allAt, ALL_MS)
    const { watched, place } = await stores.invoices.watched(isAll ? undefined : this.#place)
    const ours = watched.filter(({ pool }) => owns?.(pool) ?? true)
    if (isAll) {
      const over = ours.filter(({ until }) => until < clock.now())
      if (over.length) await stores.invoices.unwatch(over)
      this.#filter = new ChainFilter()
      this.#watched = new Map()
      this.#allAt = clock.elapsed()
    }
    for (const one of ours) {
      if (one.until < clock.now() || this.#watched.has(one.scripts[0]!)) continue
      for (const script of one.scripts) this.#watched.set(script, one)
      this.#filter.add({ scripts: one.scripts })
    }
    this.#place = place
  }

  /** Whether a transaction may pay an invoice: few have to be looked at. */
  mayPay(scanned: ScannedTransaction): boolean {
    return this.#filter.matches(scanned)
  }

  /**
   * Takes what these transactions pay into the pools: into the queue first, as what a wallet posts, so that it is not lost whatever dies (Promise 9). The entry is then written at
   * once, by the same id: it gets its status with all others.
   * @param open the pools that take posts now: what pays another one waits in the queue
   */
  async take(transactions: readonly ScannedTransaction[], { source, at }: Finding, open: ReadonlySet<string>): Promise<PaysInvoice[]> {
    const { stores, ingress, pools, clock } = this.#options
    const pays: PaysInvoice[] = []
    const records = new Map<string, Promise<InvoiceRecord | undefined>>()
    const posts = new Map<string, IngressMessage[]>()
    for (const scanned of transactions) {
      for (const { pool: path, id } of this.#paidBy(scanned)) {
        if (!records.has(id)) records.set(id, stores.invoices.find(path, id))
        const record = await records.get(id)
        const said = record && verdictOf(record.invoice, scanned, at)
        if (!said) continue
        if (said.state === 'underpaid' && record.others.length >= MAX_OTHERS) continue // anybody may send dust to an address
        pays.push({ path, scanned })
        const post = invoicePost(path, scanned, said, source, clock)
        const [receipt] = await stores.receipts.find(path, [{ key: scanned.txid, id: post.id }])
        if (receipt) continue // it has been posted, too, or was taken before
        await enqueue(post, ingress)
        posts.set(path, [...(posts.get(path) ?? []), post])
      }
    }
    for (const [path, its] of posts) if (open.has(path)) await pools.write(path, its)
    for (const { path, scanned } of pays) pools.transactions(path)?.add(scanned.txid)
    return pays
  }

  #paidBy(scanned: ScannedTransaction): Set<WatchedInvoice> {
    const paid = new Set<WatchedInvoice>()
    if (!this.mayPay(scanned)) return paid
    for (const { script } of scanned.readOutputs()) {
      const watched = this.#watched.get(Buffer.from(script).toString('hex'))
      if (watched) paid.add(watched)
    }
    return paid
  }
}
