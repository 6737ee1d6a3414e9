// A coffee shop: its website, its machine with the pool `till`, and the handler that marks orders as paid. `node main.ts` runs all of it.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Overpool } from 'overpool-cloud'
import { markPaid } from './handler.ts'
import { Orders } from './orders.ts'
import { shop } from './shop.ts'

const { OVERPOOL_DIR = '.overpool', PORT = '8080', TILL_PORT = '3000' } = process.env

const overpool = new Overpool({ dir: OVERPOOL_DIR })
const page = { name: 'Corner Coffee', colors: { accent: '#6b3f1d', dark: '#e0b080' } }
await overpool.create({ path: 'till', port: TILL_PORT, page })
const orders = new Orders(join(OVERPOOL_DIR, 'orders.db'))
overpool.on('tx', (e) => markPaid(e, orders))

/** An invoice for an order. It has the order's id as its name, so a call that is repeated makes no second one. */
const website = shop(orders, async ({ id, items, satoshis }) => {
  const { url } = await overpool.invoice({ path: 'till', id, amount: satoshis, memo: items, expiresIn: 15 * 60_000, data: { order: id } })
  return url
})
await once(website.listen(Number(PORT), '127.0.0.1'), 'listening')
console.log(`order at http://127.0.0.1:${(website.address() as AddressInfo).port}`)
