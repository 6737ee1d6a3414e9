import { PrivateKey } from '@bsv/sdk'
import type { Pools, StatusEvent, TxEvent } from 'overpool-cloud'
import { funded } from '../coins.ts'

const { KEY } = process.env
if (!KEY) throw new Error('set KEY to the private key that pays, in the form WIF')
const key = PrivateKey.fromWif(KEY)

/** Data on the chain: a note has no inputs yet. It is funded and signed, and goes to the pool `wallet`, which broadcasts it. If there is no coin, it is tried again later. */
export async function onTx(e: TxEvent, pool: Pools) {
  const text = e.data.map((push) => push.text).join(' ')
  if (e.path === 'wallet') return console.log(`${e.hash} ${e.source === 'handler' ? `is signed: ${text}` : 'has brought a coin'}`)
  const note = await funded(e.payment.transaction, pool, key)
  await pool.post({ path: 'wallet', payment: note })
}

export function onStatus({ of, status, reason }: StatusEvent) {
  console.log(`${of.txid} is ${status}${reason === undefined ? '' : `: ${reason}`}`)
}
