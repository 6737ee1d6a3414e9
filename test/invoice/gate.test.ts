import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { claimOf, type Invoice, newInvoiceId } from '../../shared/invoice/invoice.ts'
import type { EntryId } from '../../shared/ledger/kinds.ts'
import { changeOf } from '../../shared/machine/settle.ts'
import type { Stores } from '../../shared/store/port.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { InvoiceGate } from '../../sidecar/writer/invoice-gate.ts'
import { SIDES, type Side } from '../contract/sides.ts'
import { paying } from './pay.ts'

describe.each(SIDES)('what is told of an invoice without a payment, on %s', (_, make) => {
  let side: Side
  let stores: Stores
  beforeAll(async () => {
    side = await make()
    stores = side.stores()
  })
  afterAll(() => side?.close())

  const invoiceOf = async (): Promise<Invoice> => {
    const invoice = { id: newInvoiceId(), pool: 'shop', outputs: [{ satoshis: 5, script: '51' }], createdAt: 1 }
    await stores.invoices.make(invoice)
    return invoice
  }
  const claim = () => {
    const entry = randomBytes(32).toString('hex') as EntryId
    return claimOf(entry, { state: 'paid', received: 5 }, scanTransaction(paying([{ satoshis: 5, script: '51' }])), 2)
  }
  const told = (invoice: Invoice) => (['cancelled', 'expired'] as const).map((state) => changeOf({ invoice, others: [] }, state, 3))

  it('is not written if the invoice was paid while the post was on its way, unless the network has refused the payment', async () => {
    const gate = new InvoiceGate('shop', stores)
    const [invoice, claimed] = [await invoiceOf(), claim()]
    await stores.invoices.claim('shop', invoice.id, claimed, invoice)
    const posts = told(invoice)
    expect(await gate.settle(posts)).toEqual(new Set(posts))
    await stores.statuses.put('shop', [{ txid: claimed.txid, seq: 7, status: 'rejected', final: true }])
    const [cancelled, expired] = posts
    expect(await gate.settle([expired!, cancelled!])).toEqual(new Set())
  })

  it('cancels an invoice whose program died before it could, and is then not said to have expired', async () => {
    const gate = new InvoiceGate('shop', stores)
    const invoice = await invoiceOf()
    const [cancelled, expired] = told(invoice)
    expect(await gate.settle([cancelled!, expired!])).toEqual(new Set([expired]))
    expect(await stores.invoices.find('shop', invoice.id)).toMatchObject({ cancelledAt: 3 })
    expect(await stores.invoices.claim('shop', invoice.id, claim(), invoice)).toEqual({ cancelledAt: 3 })
  })
})
