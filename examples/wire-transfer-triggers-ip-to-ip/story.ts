import { type Stage, Wallet } from '../stage.ts'

/** Alice pays on the Bitcoin network. She knows nothing of the machine. */
export default async function story(stage: Stage): Promise<void> {
  const alice = await stage.wallet('alice')
  const shop = new Wallet('shop')
  const { says } = await stage.start('shop', { ADDRESS: shop.address })
  await says(/has 0 transactions/)
  await stage.broadcast(alice, await alice.pay(shop.address, 2_000))
  await says(/^ticket 1 is for/)
  await stage.mine()
  await says(/has 1 transaction/)
}
