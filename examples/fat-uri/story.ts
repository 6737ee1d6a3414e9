import { P2PKH, Transaction } from '@bsv/sdk'
import { type Stage, Wallet } from '../stage.ts'

/** A shop shows a Fat URI, for what it wants to be paid. Alice's wallet opens it. */
export default async function story(stage: Stage): Promise<void> {
  const donor = await stage.wallet('donor')
  const alice = new Wallet('alice')
  const shop = new Wallet('shop')
  await stage.broadcast(donor, await donor.pay(alice.address, 50_000))
  const wanted = new Transaction(1, [], [{ satoshis: 4_000, lockingScript: new P2PKH().lock(shop.address) }])
  const { says, ended } = stage.program(alice.name, ['wallet.ts', `bitcoin:?tx=${wanted.toHex()}`], { KEY: alice.key.toWif() })
  const [, txid] = await says(/^(\w+) is signed/)
  await says(new RegExp(`${txid} is seen`))
  await stage.mine()
  await ended
}
