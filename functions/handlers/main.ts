import type { Pools, TxEvent } from 'overpool-cloud'

/**
 * Called with every entry of the pool, in order, normally once each. If it throws, or the machine dies, it is called again with the same entry.
 * Save this file while the machine runs: the next entry is handled by the new code.
 */
export async function onTx(e: TxEvent, pool: Pools) {
  const outputs = e.parsed.out.map(({ e: { v } }) => `${v} sat`).join(', ')
  console.log(`${e.path} #${e.seq}  ${e.hash}  ${outputs || 'no outputs'}`)

  // A loop: post the next step as a consequence of this one. However often this handler runs, it posts it once.
  // await pool.post({ path: 'mypool', payment: nextTransaction(e.parsed) })
}
