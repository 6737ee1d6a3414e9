import type { Invoice, InvoiceClaim, WatchedInvoice } from '../../invoice/invoice.ts'
import { type Expiry, type InvoiceRecord, type Invoices, MAX_INVOICES, MAX_OTHERS, type OtherPayment, type Standing } from '../invoices.ts'
import { PARTITION } from './partitions.ts'
import { attributesOf, type Item, type Key, type Table, text, valuesOf } from './table.ts'

const isUndecided = '(attribute_not_exists(claim) OR claim = :refused) AND attribute_not_exists(cancelledAt)'

/** An invoice is in the table at most this long after the time at which it says that it was made, ms: a program's clock may be slow. So far back they are read again. */
const WRITTEN_WITHIN_MS = 3_600_000
/** Most of them sooner: only now and then the whole hour is read again. */
const [MOSTLY_WITHIN_MS, WIDE_EACH_MS] = [60_000, 60_000]

/**
 * Invoices as items of `invoice#<pool>`: `<id>` is the invoice, its claim and its cancellation, `<id>#<entry>` a payment that has not turned it to paid. The item `keys` of
 * `invoice#_` counts the keys that were given out; `<time>#<pool>#<id>` of `invoice#_#expiries` says when one expires. `invoice#<pool>#money` and `invoice#<pool>#names` say which invoice some money pays, and which one has a name.
 * The items of `invoice#_#watched` are what the chain is watched for, in the order in which the invoices were made.
 */
export class DynamoInvoices implements Invoices {
  readonly #table: Table
  #wideAt = 0

  constructor(table: Table) {
    this.#table = table
  }

  async nextKey(): Promise<number> {
    return (await this.#table.count(key('_', 'keys'), 'next')) - 1
  }

  async make(invoice: Invoice): Promise<void> {
    const { pool, id } = invoice
    await this.#table.update(key(pool, id), attributesOf({ invoice }), 'attribute_not_exists(invoice)')
  }

  async claim(pool: string, id: string, claim: InvoiceClaim, invoice: Invoice | undefined, refused?: InvoiceClaim): Promise<Standing> {
    const fields = attributesOf({ claim, ...(invoice && { invoice }) })
    const { held, before } = await this.#table.decide(key(pool, id), fields, isUndecided, uncounted(refused))
    if (!held && invoice && before?.invoice === undefined) await this.make(invoice) // the writer was quicker, and does not have it
    return held ? { claim } : standingOf(before)
  }

  use(pool: string, money: string, id: string, freed?: string): Promise<string> {
    return this.#first(`${pool}#money`, money, id, freed)
  }

  named(pool: string, name: string, id: string): Promise<string> {
    return this.#first(`${pool}#names`, name, id)
  }

  async #first(partition: string, of: string, id: string, freed = ''): Promise<string> {
    const condition = 'attribute_not_exists(id) OR id = :freed'
    const { held, before } = await this.#table.decide(key(partition, of), attributesOf({ id }), condition, { ':freed': text(freed) })
    return held || !before ? id : (valuesOf(before).id as string)
  }

  async idOf(pool: string, name: string): Promise<string | undefined> {
    const item = await this.#table.get(key(`${pool}#names`, name))
    return item && (valuesOf(item).id as string)
  }

  async note(pool: string, id: string, payment: OtherPayment): Promise<OtherPayment> {
    const at = key(pool, `${id}#${payment.entry}`)
    const { held, before } = await this.#table.decide(at, attributesOf({ payment }), 'attribute_not_exists(payment)')
    return held || !before ? payment : (JSON.parse(valuesOf(before).payment as string) as OtherPayment)
  }

  async cancel(pool: string, id: string, at: number, refused?: InvoiceClaim): Promise<Standing> {
    const condition = `attribute_exists(invoice) AND ${isUndecided}`
    const { held, before } = await this.#table.decide(key(pool, id), attributesOf({ cancelledAt: at }), condition, uncounted(refused))
    return held ? { cancelledAt: at } : standingOf(before)
  }

  async standings(pool: string, ids: string[]): Promise<Standing[]> {
    const keys = [...new Set(ids)].map((id) => key(pool, id))
    const items = await this.#table.batchGet('finding invoices', keys)
    const found = new Map(items.map((item) => [item.sk!.S!, item]))
    return ids.map((id) => standingOf(found.get(id)))
  }

  async find(pool: string, id: string): Promise<InvoiceRecord | undefined> {
    const items: Item[] = []
    for await (const page of this.#table.pages(key(pool, '').pk, id)) {
      items.push(...page)
      if (items.length > MAX_OTHERS) break
    }
    return recordsIn(items)[0]
  }

  async noteExpiry(expiry: Expiry): Promise<void> {
    await this.#table.put(key(EXPIRIES, sortOf(expiry)))
  }

  async expired(before: number, after?: Expiry): Promise<Expiry[]> {
    const { pk } = key(EXPIRIES, '')
    const { Items = [] } = await this.#table.query({
      KeyConditionExpression: 'pk = :pk AND sk BETWEEN :after AND :before',
      ExpressionAttributeValues: { ':pk': pk, ':after': text(after ? `${sortOf(after)}~` : '0'), ':before': text(timeText(before)) },
      Limit: MAX_INVOICES,
    })
    return Items.map(({ sk }) => {
      const [at, pool, id] = sk!.S!.split('#')
      return { at: Number(at), pool: pool!, id: id! }
    })
  }

  async forgetExpiry(expiry: Expiry): Promise<void> {
    await this.#table.delete(key(EXPIRIES, sortOf(expiry)))
  }

  async watch(watched: WatchedInvoice): Promise<void> {
    await this.#table.put({ ...watchedKey(watched), ...attributesOf({ watched }) })
  }

  async watched(after?: string): Promise<{ watched: WatchedInvoice[]; place: string | undefined }> {
    const now = Date.now()
    const isWide = now - this.#wideAt >= WIDE_EACH_MS
    if (isWide) this.#wideAt = now
    const since = after === undefined ? undefined : timeText(Math.max(0, Number(after) - (isWide ? WRITTEN_WITHIN_MS : MOSTLY_WITHIN_MS)))
    const watched: WatchedInvoice[] = []
    for await (const page of this.#table.pages(key(WATCHED, '').pk, undefined, since))
      for (const item of page) watched.push(JSON.parse(valuesOf(item).watched as string) as WatchedInvoice)
    return { watched, place: String(now) }
  }

  async unwatch(watched: WatchedInvoice[]): Promise<void> {
    const requests = watched.map((one) => ({ DeleteRequest: { Key: watchedKey(one) } }))
    await this.#table.batchWrite('ending the watch of invoices', requests)
  }

  async list(pool: string, after = ''): Promise<InvoiceRecord[]> {
    const records: InvoiceRecord[] = []
    let items: Item[] = []
    for await (const page of this.#table.pages(key(pool, '').pk, undefined, after === '' ? undefined : `${after}~`)) {
      items.push(...page)
      const last = items.findLastIndex((item) => !item.sk!.S!.includes('#'))
      records.push(...recordsIn(items.slice(0, Math.max(last, 0)))) // the last one may have payments on the next page
      items = items.slice(Math.max(last, 0))
      if (records.length >= MAX_INVOICES) return records.slice(0, MAX_INVOICES)
    }
    return [...records, ...recordsIn(items)].slice(0, MAX_INVOICES)
  }
}

/** The claim that does not count, for a condition. */
function uncounted(refused: InvoiceClaim | undefined): Item {
  return { ':refused': text(JSON.stringify(refused ?? null)) }
}

/** When invoices expire, and what the chain is watched for, in the order of the times. */
const [EXPIRIES, WATCHED] = ['_#expiries', '_#watched']
/** Digits of a time in ms since 1970: as texts, times are in their order. */
const TIME_DIGITS = 16

function timeText(at: number): string {
  return String(at).padStart(TIME_DIGITS, '0')
}

function sortOf({ at, pool, id }: Expiry): string {
  return `${timeText(at)}#${pool}#${id}`
}

/** The items of whole invoices, in order, as records. */
function recordsIn(items: Item[]): InvoiceRecord[] {
  const records: InvoiceRecord[] = []
  let of: string | undefined
  for (const item of items) {
    const [id, entry] = item.sk!.S!.split('#')
    const { invoice, payment } = valuesOf(item) as { invoice?: string; payment?: string }
    if (entry === undefined) {
      of = invoice === undefined ? undefined : id
      if (invoice !== undefined) records.push({ invoice: JSON.parse(invoice) as Invoice, ...standingOf(item), others: [] })
    } else if (of === id && payment !== undefined) records.at(-1)!.others.push(JSON.parse(payment) as OtherPayment)
  }
  for (const { others } of records) others.sort((one, other) => one.at - other.at)
  return records
}

function standingOf(item: Item | undefined): Standing {
  if (!item) return {}
  const { claim, cancelledAt } = valuesOf(item) as { claim?: string; cancelledAt?: number }
  return { ...(claim !== undefined && { claim: JSON.parse(claim) as InvoiceClaim }), ...(cancelledAt !== undefined && { cancelledAt }) }
}

function watchedKey({ createdAt, scripts }: WatchedInvoice): Key {
  return key(WATCHED, `${timeText(createdAt)}#${scripts[0]}`)
}

function key(pool: string, sort: string): Key {
  return { pk: text(PARTITION.invoice + pool), sk: text(sort) }
}
