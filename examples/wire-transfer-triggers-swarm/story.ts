import { type Stage, Wallet } from '../stage.ts'

/** Alice donates on the Bitcoin network. The boat hears of it without a node. */
export default async function story(stage: Stage): Promise<void> {
  const alice = await stage.wallet('alice')
  const rescue = new Wallet('rescue')
  await stage.dht()
  const lighthouse = await stage.start('lighthouse', { ADDRESS: rescue.address })
  const boat = await stage.start('boat', { ADDRESS: rescue.address })
  await stage.run('boat', 'sub', lighthouse.pools.donations!.key)
  await stage.broadcast(alice, await alice.pay(rescue.address, 5_000))
  for (const { says } of [lighthouse, boat]) await says(/donates 5000 sat/)
  await stage.mine()
  for (const { says } of [lighthouse, boat]) await says(/is mined/)
}
