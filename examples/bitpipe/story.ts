import { P2PKH, Transaction } from '@bsv/sdk'
import { dataTransaction } from '../../index.ts'
import { type Stage, Wallet } from '../stage.ts'

/** Alice has no coin, and writes into the guest book. Mallory wants to be paid, and is refused. */
export default async function story(stage: Stage): Promise<void> {
  const donor = await stage.wallet('donor')
  const payer = new Wallet('payer')
  const { says, pools } = await stage.start('pipe', { KEY: payer.key.toWif(), ADDRESS: payer.address })
  const coin = await donor.pay(payer.address, 10_000)
  await stage.broadcast(donor, coin)
  await says(/has brought a coin/)
  const theft = new Transaction(1, [], [{ satoshis: 9_000, lockingScript: new P2PKH().lock(new Wallet('mallory').address) }])
  await stage.post('mallory', pools.pipe!.url, theft.toHex())
  await stage.post('alice', pools.pipe!.url, dataTransaction('guestbook', 'Alice was here'))
  const [, signed] = await says(/^(\w+) is signed/)
  await says(new RegExp(`${signed} is seen`))
  await stage.mine()
  for (const txid of [coin.id('hex'), signed]) await says(new RegExp(`${txid} is mined`))
}
