import { expect, it } from 'vitest'
import { eventOf } from '../../shared/ledger/event.ts'
import type { EntryId, TxEntry } from '../../shared/ledger/kinds.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'

it('a peer cannot say that our invoices are paid', () => {
  const key = 'ab'.repeat(32)
  const entry: TxEntry = {
    kind: 'tx',
    id: 'cd'.repeat(32) as EntryId,
    at: 1,
    source: 'http',
    hops: 0,
    tx: Buffer.from(sampleTransaction('x'), 'hex'),
    payment: {},
    invoice: { id: 'an id', state: 'paid', received: 500, data: { order: 7 } },
  }
  expect(eventOf({ path: 'shop', key }, 0, entry)).toMatchObject({ invoice: { state: 'paid' } })
  expect(eventOf({ path: key, key }, 0, entry)).not.toHaveProperty('invoice')
})
