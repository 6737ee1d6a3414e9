import { type Stage, Wallet } from '../stage.ts'

/** Alice posts a payment to Bob's machine. Her wallet broadcasts nothing: Bob's machine does. */
export default async function story(stage: Stage): Promise<void> {
  const alice = await stage.wallet('alice')
  const bob = new Wallet('bob')
  const { says, pools } = await stage.start('bob')
  await stage.post('alice', pools.bob!.url, (await alice.pay(bob.address, 1_000)).toHex())
  await says(/is seen/)
  await stage.mine()
  await says(/is mined/)
}
