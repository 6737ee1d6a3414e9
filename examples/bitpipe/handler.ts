import { PrivateKey } from '@bsv/sdk'
import type { FilterPayment, Pools, StatusEvent, TxEvent } from 'overpool-cloud'
import { funded } from '../coins.ts'

const { KEY } = process.env
if (!KEY) throw new Error('set KEY to the private key that pays, in the form WIF')
const key = PrivateKey.fromWif(KEY)
/** The longest entry, characters of hex: the key pays for each byte. */
const LONGEST = 2_000

/** Filter: the key pays for entries of the guest book, and for nothing else. */
export function guestbook({ transaction, parsed }: FilterPayment) {
  const [output, ...others] = parsed.out
  if (transaction.length > LONGEST) throw new Error(`an entry has ${LONGEST / 2} bytes at the most`)
  if (parsed.in.length || !output || others.length || output.e.v !== 0) throw new Error('an entry has no input, and one output of 0 sat')
  if (output.tape[1]?.cell[0]?.s !== 'guestbook') throw new Error('the data of an entry begins with "guestbook"')
}

/** Sign and broadcast: what has passed the filter is funded and signed, and goes to the pool `wallet`, which broadcasts it. If there is no coin, it is tried again later. */
export async function onTx(e: TxEvent, pool: Pools) {
  if (e.path === 'wallet')
    return console.log(`${e.hash} ${e.source === 'handler' ? `is signed: ${e.data[1]?.text}` : 'has brought a coin'}`)
  const signed = await funded(e.payment.transaction, pool, key)
  await pool.post({ path: 'wallet', payment: signed })
}

export function onStatus({ of, status, reason }: StatusEvent) {
  console.log(`${of.txid} is ${status}${reason === undefined ? '' : `: ${reason}`}`)
}
