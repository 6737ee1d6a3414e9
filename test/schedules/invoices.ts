import type { Invoice, InvoiceClaim, WatchedInvoice } from '../../shared/invoice/invoice.ts'
import type { Expiry, Invoices, OtherPayment, Standing } from '../../shared/store/invoices.ts'
import type { Sync } from './scheduler.ts'

interface Kept extends Standing {
  invoice?: Invoice
  others: Map<string, OtherPayment>
}

/** The store of invoices in memory. */
export class MemoryInvoices implements Sync<Invoices> {
  readonly #kept = new Map<string, Kept>()
  readonly #ids = new Map<string, string>()
  readonly #expiries = new Map<string, Expiry>()
  readonly #watched: WatchedInvoice[] = []
  #nextKey = 0

  /** Takes a snapshot, which the returned function restores. */
  snapshot(): () => void {
    const kept = [...this.#kept].map(([key, one]): [string, Kept] => [key, { ...one, others: new Map(one.others) }])
    const nextKey = this.#nextKey
    const ids = [...this.#ids]
    return () => {
      this.#nextKey = nextKey
      this.#ids.clear()
      for (const [of, id] of ids) this.#ids.set(of, id)
      this.#kept.clear()
      for (const [key, one] of kept) this.#kept.set(key, one)
    }
  }

  nextKey(): number {
    return this.#nextKey++
  }

  make(invoice: Invoice): void {
    this.#at(invoice.pool, invoice.id).invoice ??= invoice
  }

  claim(...[pool, id, claim, invoice, refused]: Parameters<Invoices['claim']>): Standing {
    const kept = this.#at(pool, id)
    if (invoice) kept.invoice ??= invoice
    if (isFree(kept, refused)) kept.claim = claim
    return this.#standing(pool, id)
  }

  use(...[pool, money, id, freed]: Parameters<Invoices['use']>): string {
    const of = `${pool} money ${money}`
    if (freed !== undefined && this.#ids.get(of) === freed) this.#ids.set(of, id)
    return this.#first(of, id)
  }

  named(...[pool, name, id]: Parameters<Invoices['named']>): string {
    return this.#first(`${pool} name ${name}`, id)
  }

  idOf(pool: string, name: string): string | undefined {
    return this.#ids.get(`${pool} name ${name}`)
  }

  #first(of: string, id: string): string {
    const first = this.#ids.get(of) ?? id
    this.#ids.set(of, first)
    return first
  }

  note(...[pool, id, payment]: Parameters<Invoices['note']>): OtherPayment {
    const { others } = this.#at(pool, id)
    const noted = others.get(payment.entry) ?? payment
    others.set(payment.entry, noted)
    return noted
  }

  cancel(...[pool, id, at, refused]: Parameters<Invoices['cancel']>): Standing {
    const kept = this.#at(pool, id)
    if (isFree(kept, refused)) kept.cancelledAt = at
    return this.#standing(pool, id)
  }

  standings(pool: string, ids: string[]): Standing[] {
    return ids.map((id) => this.#standing(pool, id))
  }

  find(pool: string, id: string) {
    const { invoice, others } = this.#at(pool, id)
    return invoice && { invoice, ...this.#standing(pool, id), others: [...others.values()] }
  }

  noteExpiry(expiry: Expiry): void {
    this.#expiries.set(expiry.id, expiry)
  }

  expired(before: number): Expiry[] {
    return [...this.#expiries.values()].filter(({ at }) => at < before)
  }

  forgetExpiry({ id }: Expiry): void {
    this.#expiries.delete(id)
  }

  list(): never[] {
    return []
  }

  watch(watched: WatchedInvoice): void {
    this.#watched.push(watched)
  }

  watched() {
    return { watched: this.#watched, place: undefined }
  }

  unwatch(): void {}

  #at(pool: string, id: string): Kept {
    const key = `${pool} ${id}`
    const kept = this.#kept.get(key) ?? { others: new Map<string, OtherPayment>() }
    this.#kept.set(key, kept)
    return kept
  }

  #standing(pool: string, id: string): Standing {
    const { claim, cancelledAt } = this.#at(pool, id)
    return { ...(claim && { claim }), ...(cancelledAt !== undefined && { cancelledAt }) }
  }
}

/** Whether an invoice may be decided. @param refused a claim that does not count */
function isFree({ claim, cancelledAt }: Standing, refused: InvoiceClaim | undefined): boolean {
  return cancelledAt === undefined && (!claim || claim.entry === refused?.entry)
}
