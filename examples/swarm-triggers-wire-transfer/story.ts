import { type Stage, Wallet } from '../stage.ts'

/** Alice pays at the stall. */
export default async function story(stage: Stage): Promise<void> {
  const alice = await stage.wallet('alice')
  const keeper = new Wallet('keeper')
  await stage.dht()
  const stall = await stage.start('stall')
  const gateway = await stage.start('gateway')
  await stage.run('gateway', 'sub', stall.pools.stall!.key)
  await stage.run('stall', 'sub', gateway.pools.gateway!.key)
  await stage.post('alice', stall.pools.stall!.url, (await alice.pay(keeper.address, 700)).toHex())
  for (const { says } of [gateway, stall]) await says(/is seen/)
  await stage.mine()
  for (const { says } of [gateway, stall]) await says(/is mined/)
}
