import type { TxEvent } from 'overpool-cloud'
import type { Orders } from './orders.ts'

/** An order is paid as soon as its payment is in the pool. */
export function markPaid({ hash, invoice }: TxEvent, orders: Orders): void {
  if (invoice?.state !== 'paid' && invoice?.state !== 'overpaid') return
  const { order } = invoice.data as { order: string }
  if (!orders.markPaid(order, hash)) return
  const { items } = orders.get(order)!
  console.log(`paid: ${items}`)
}
