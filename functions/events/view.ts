import { eventOf, type LedgerEvent } from '../../shared/ledger/event.ts'
import type { Entry, EntryInvoice } from '../../shared/ledger/kinds.ts'
import { asHex } from '../../shared/ledger/values.ts'

/**
 * How much of an entry a follower sees. 'public': nothing that a payer or a merchant has written for the other alone, and nothing that opens an invoice. 'whole': the event as
 * handlers get it.
 */
export type View = 'public' | 'whole'

/** An event of more characters is sent without `payment` and `parsed`, so that one entry fills no memory of a thousand followers. */
const MAX_EVENT = 1024 * 1024
/** The JSON of a larger transaction, bytes, is longer than that: it is not made at all. */
const MAX_TX = 256 * 1024

/**
 * An entry as a line of JSON for followers: the event that `overpool tail --json` prints, as the entry itself says it. So it is the same at each reading, and `status` is that of the
 * moment when it was written.
 */
export function lineOf(pool: { path: string; key: string }, seq: number, entry: Entry, view: View): string {
  const event = eventOf(pool, seq, entry)
  if (entry.kind === 'tx' && entry.tx.length > MAX_TX) return JSON.stringify(shortened(event), asHex)
  const text = JSON.stringify(view === 'whole' ? event : publicOf(event), asHex)
  return text.length > MAX_EVENT ? JSON.stringify(shortened(event), asHex) : text
}

function publicOf(event: LedgerEvent): object {
  if (event.kind === 'invoice') return { ...event, invoice: publicInvoice(event.invoice) }
  if (event.kind !== 'tx') return event
  const { merchantData: _, refundTo: __, ...payment } = event.payment
  return { ...event, ...(event.invoice && { invoice: publicInvoice(event.invoice) }), payment }
}

/** Who knows an invoice's id can open its page, and `data` is the merchant's own. */
function publicInvoice(invoice: EntryInvoice): Omit<EntryInvoice, 'id' | 'data'> {
  const { id: _, data: __, ...shown } = invoice
  return shown
}

/** What of a large event names the entry. It reads no getter that would make the whole. */
function shortened(event: LedgerEvent): object {
  const { path, key, kind, seq, id, at, source, cause, hops } = event
  return { path, key, kind, ...(event.kind === 'tx' && { hash: event.hash }), seq, id, at, source, cause, hops, large: true }
}
