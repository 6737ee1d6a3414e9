import { P2PKH, Transaction } from '@bsv/sdk'
import type { Pools, TxEvent } from 'overpool-cloud'

/** Coffee vendors who band together: what each sells, for how many satoshis, and where it wants to be paid. */
const MENU = [
  { vendor: 'ana', item: 'coffee', price: 300, address: '1EvYp6Y89tVFQu6u6yqZuv6CHxyeuLZXsH' },
  { vendor: 'ben', item: 'bread', price: 200, address: '18A9EUQAxx8rkzr8VWo7NwA2hHkSyYp9mi' },
  { vendor: 'cleo', item: 'cake', price: 400, address: '1Hb46Z86mpezZwaSqDkZUnfrnfkiFyt2Fo' },
]
/** A table gets everything twice. */
const COMPLETE = 2 * MENU.length

const me = process.env.VENDOR

/**
 * A bill is a transaction that goes round. Each vendor subscribes to the pools of the others. The bill shows whose turn it is: that vendor adds an output for
 * itself and posts the bill to its own pool, where the next one gets it. There is no server in the middle.
 */
export async function onTx(e: TxEvent, pool: Pools) {
  const table = e.payment.memo
  const items = e.parsed.out.length
  if (items === COMPLETE) {
    const total = e.parsed.out.reduce((sum, { e: { v } }) => sum + v, 0)
    if (e.path === me) console.log(`the bill of ${table} is complete, ${total} sat: ${e.hash}`) // here it would be paid, and go to Bitcoin
    return
  }
  const { vendor, item, price, address } = MENU[items % MENU.length]!
  if (vendor !== me) return
  console.log(`${item} for ${table}, item ${items + 1} of ${COMPLETE}`)
  const { version, inputs, outputs, lockTime } = Transaction.fromHex(e.payment.transaction)
  const mine = { satoshis: price, lockingScript: new P2PKH().lock(address) }
  await pool.post({ path: me, payment: { transaction: new Transaction(version, inputs, [...outputs, mine], lockTime), memo: table } })
}
