// A wallet that opens Fat URIs: `node wallet.ts 'bitcoin:?tx=01000000…'`. The transaction in it has no inputs: the wallet shows it, funds it, signs it and sends it.

import { type LockingScript, PrivateKey, Transaction, Utils } from '@bsv/sdk'
import { Overpool, type TxEvent } from 'overpool-cloud'
import { funded } from '../coins.ts'

const { BITCOIN_NODE = 'http://127.0.0.1:18443', BITCOIN_USER = 'overpool', KEY, OVERPOOL_DIR } = process.env
if (!KEY) throw new Error('set KEY to your private key, in the form WIF')
const key = PrivateKey.fromWif(KEY)

const template = templateOf(process.argv[2])
for (const { satoshis, lockingScript } of Transaction.fromHex(template).outputs)
  console.log(`the link pays ${satoshis} sat to ${payeeOf(lockingScript)}`)
// Here a wallet asks whether this is wanted.

const pool = new Overpool({
  dir: OVERPOOL_DIR,
  bitcoin: { network: 'regtest', chain: [{ node: BITCOIN_NODE, user: BITCOIN_USER, password: { env: 'BITCOIN_PASSWORD' } }] },
})
const arrived = Promise.withResolvers<TxEvent>()
pool.on('tx', arrived.resolve)
// The coins are in a pool: what others pay to the key is found on the chain, and what the wallet posts is broadcast. It has no door.
await pool.create({ path: 'wallet', port: false, watch: { addresses: [key.toAddress()] }, commit: 'always' })

if (!(await pool.tail({ path: 'wallet' })).length) await arrived.promise
const signed = await funded(template, pool, key)
const { hash } = await pool.post({ path: 'wallet', payment: signed })
console.log(`${hash} is signed`)
const ended = Promise.withResolvers<string>()
pool.on('status', ({ of, status, reason }) => {
  if (of.txid !== hash) return
  console.log(`${hash} is ${status}${reason === undefined ? '' : `: ${reason}`}`)
  if (['mined', 'rejected', 'double-spent'].includes(status)) ended.resolve(status)
})
if ((await ended.promise) !== 'mined') process.exitCode = 1
await pool.close()

/** The transaction in a Fat URI, hex. */
function templateOf(text = ''): string {
  const uri = URL.parse(text)
  const tx = uri?.protocol === 'bitcoin:' ? uri.searchParams.get('tx') : null
  if (!tx) throw new Error('a Fat URI looks like this: bitcoin:?tx=01000000…')
  return tx
}

/** The address that an output pays to; its script, if it is of another form. */
function payeeOf(script: LockingScript): string {
  const [, hash] = /^76a914([0-9a-f]{40})88ac$/.exec(script.toHex()) ?? []
  return hash === undefined ? script.toASM() : Utils.toBase58Check(Utils.toArray(hash, 'hex'))
}
