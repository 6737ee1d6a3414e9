import { type BlockEvent, dataTransaction, type Pools, type TxEvent } from 'overpool-cloud'

/** The shop's address. */
const { ADDRESS } = process.env
/** What a ticket costs, satoshis. */
const PRICE = 2_000

/**
 * A payment on the Bitcoin network, whoever broadcast it, has a ticket made. The ticket is not on the network: it is a transaction in a pool of this machine. However often this
 * runs, a payment gets one ticket.
 */
export async function onTx(e: TxEvent, pool: Pools) {
  if (e.path === 'tickets') return console.log(`ticket ${e.seq + 1} is for ${e.data[1]?.text}`)
  const paid = e.parsed.out.filter(({ e: { a } }) => a === ADDRESS).reduce((sum, { e: { v } }) => sum + v, 0)
  console.log(`${e.hash} pays ${paid} sat, and is ${e.source === 'mempool' ? 'in no block yet' : `in block ${e.height}`}`)
  if (paid < PRICE || e.parsed.in.some(({ e: { a } }) => a === ADDRESS)) return // too little, or the shop spends what it has
  await pool.post({ path: 'tickets', payment: dataTransaction('ticket', e.hash) })
}

export function onBlock({ height, count }: BlockEvent) {
  console.log(`block ${height} has ${count === 1 ? '1 transaction' : `${count} transactions`} of the till`)
}
