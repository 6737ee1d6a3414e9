import type { Pools, StatusEvent, TxEvent } from 'overpool-cloud'

/** A wire transfer: each payment that is posted goes on to the Bitcoin network. */
export async function onTx(e: TxEvent, pool: Pools) {
  console.log(`${e.hash} is in the pool, and goes to the network`)
  await pool.broadcast(e)
}

/** What becomes of it: sent, seen, mined; or rejected, double-spent. */
export function onStatus({ of, status, reason }: StatusEvent) {
  console.log(`${of.txid} is ${status}${reason === undefined ? '' : `: ${reason}`}`)
}
