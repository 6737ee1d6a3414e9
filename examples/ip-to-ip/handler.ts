import type { Parsed, Pools, TxEvent } from 'overpool-cloud'

/** Bob's address. */
const { ADDRESS } = process.env

/** What a transaction pays to Bob, satoshis. */
export function paid(parsed: Parsed): number {
  return parsed.out.filter(({ e: { a } }) => a === ADDRESS).reduce((sum, { e: { v } }) => sum + v, 0)
}

/** From IP to IP: Bob keeps the payments like cheques in a drawer. Nothing is broadcast; the pool is all there is. */
export async function onTx(e: TxEvent, pool: Pools) {
  let drawer = 0
  for await (const { parsed } of pool.read({ path: e.path, to: e.seq + 1 })) drawer += paid(parsed)
  console.log(`${e.payment.memo}: ${paid(e.parsed)} sat. The drawer has ${drawer} sat`)
}
