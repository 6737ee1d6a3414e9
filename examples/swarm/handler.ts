import type { TxEvent } from 'overpool-cloud'

/** This machine's name, which its pool has too. */
const { NAME } = process.env

/** The waiter's orders reach the kitchen by the swarm: every machine that subscribes to a pool calls its own handler with each entry, in order. */
export function onTx(e: TxEvent) {
  if (e.path === NAME) console.log(`order ${e.seq + 1} is in my pool: ${e.payment.memo}`)
  else console.log(`order ${e.seq + 1} has come from the pool ${e.path.slice(0, 8)}…: ${e.payment.memo}`)
}
