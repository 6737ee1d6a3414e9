import type { Clock } from '../shared/clock.ts'
import { enqueue } from '../shared/machine/accept.ts'
import { changeOf, isOpen } from '../shared/machine/settle.ts'
import type { Ingress } from '../shared/queue/port.ts'
import type { Expiry } from '../shared/store/invoices.ts'
import type { Stores } from '../shared/store/port.ts'
import type { Report } from './report.ts'

const STEP = 'expiry of invoices'
/** An invoice that is paid is looked at again: the network may refuse the payment. How often, and for how long after its time, ms. */
const [AGAIN_MS, AGAIN_FOR_MS] = [3_600_000, 24 * 3_600_000]
/** A payment that came just in time is decided before its invoice is said to have expired, ms. */
const GRACE_MS = 5_000

export interface ExpiryOptions {
  stores: Pick<Stores, 'invoices' | 'statuses'>
  ingress: Ingress
  clock: Clock
  report: Report
  owns: (pool: string) => boolean
  /** how often it looks, ms */
  lookMs: number
}

/** Tells of invoices that have expired unpaid, with an entry for each. The writer of the pool has the last word on whether it is unpaid. */
export class InvoiceExpiry {
  readonly #options: ExpiryOptions
  readonly #stopped = new AbortController()
  readonly #ended: Promise<void>

  static start(options: ExpiryOptions): InvoiceExpiry {
    return new InvoiceExpiry(options)
  }

  private constructor(options: ExpiryOptions) {
    this.#options = options
    this.#ended = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#ended
  }

  async #run(): Promise<void> {
    const { clock, lookMs, report } = this.#options
    const { signal } = this.#stopped
    while (true) {
      await clock.sleep(lookMs, signal)
      if (signal.aborted) return
      await this.#look().catch((error) => report({ kind: 'retrying', pool: '', step: STEP, error }))
    }
  }

  async #look(): Promise<void> {
    const { stores, clock, owns, report } = this.#options
    const before = clock.now() - GRACE_MS
    let page = await stores.invoices.expired(before)
    for (; page.length && !this.#stopped.signal.aborted; page = await stores.invoices.expired(before, page.at(-1)))
      for (const expiry of page)
        if (owns(expiry.pool)) await this.#tell(expiry).catch((error) => report({ kind: 'retrying', pool: expiry.pool, step: STEP, error }))
  }

  /** The post is in the queue before the expiry is forgotten; a second one has the same id. */
  async #tell(expiry: Expiry): Promise<void> {
    const { stores, ingress, clock } = this.#options
    const { pool, id, at } = expiry
    const record = await stores.invoices.find(pool, id)
    const { expiresAt } = record?.invoice ?? {}
    // It may have been noted for one of two calls that made an invoice with one name: the other one stands.
    if (record && expiresAt !== undefined && expiresAt <= at) {
      const now = clock.now()
      if (await isOpen(stores, pool, id)) await enqueue(changeOf(record, 'expired', now), ingress)
      else if (record.claim && now < expiresAt + AGAIN_FOR_MS) await stores.invoices.noteExpiry({ pool, id, at: now + AGAIN_MS })
    }
    await stores.invoices.forgetExpiry(expiry)
  }
}
