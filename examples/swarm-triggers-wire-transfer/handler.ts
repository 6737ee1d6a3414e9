import type { Pools, StatusEvent, TxEvent } from 'overpool-cloud'

/** This machine's name, which its pool has too. */
const { NAME = 'stall' } = process.env

/** A stall at the market takes payments, and has no way to the Bitcoin network. A gateway gets them by the swarm, and broadcasts them. */
export async function onTx(e: TxEvent, pool: Pools) {
  if (NAME === 'stall') return console.log(`${e.hash} was posted here`)
  console.log(`${e.hash} came by the swarm, and goes to the network`)
  await pool.broadcast(e, { path: NAME }) // only the stall can write into its pool, so the request is kept in ours
}

/** What becomes of a payment is in the gateway's pool. The stall subscribes to it, so this runs on both machines. */
export function onStatus({ of, status, reason }: StatusEvent) {
  console.log(`${of.txid} is ${status}${reason === undefined ? '' : `: ${reason}`}`)
}
