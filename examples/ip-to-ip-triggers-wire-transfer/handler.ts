import type { Parsed, Pools, StatusEvent, TxEvent } from 'overpool-cloud'

/** Bob's address. */
const { ADDRESS } = process.env
/** Three rounds of 500 satoshis. */
const SETTLED_AT = 3 * 500

/** What a transaction pays to Bob, satoshis. */
export function paid(parsed: Parsed): number {
  return parsed.out.filter(({ e: { a } }) => a === ADDRESS).reduce((sum, { e: { v } }) => sum + v, 0)
}

/** A tab: each bill spends the same coin and pays more, so it takes the place of the bill before. The one that is high enough goes to the network. */
export async function onTx(e: TxEvent, pool: Pools) {
  const tab = paid(e.parsed)
  console.log(`${e.payment.memo}: the tab is ${tab} sat`)
  if (tab < SETTLED_AT) return
  console.log(`${e.hash} settles it`)
  await pool.broadcast(e)
}

export function onStatus({ of, status, reason }: StatusEvent) {
  console.log(`${of.txid} is ${status}${reason === undefined ? '' : `: ${reason}`}`)
}
