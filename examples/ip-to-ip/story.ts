import { type Stage, Wallet } from '../stage.ts'

/** Alice pays Bob twice, and once somebody else, which Bob's machine refuses. Then a miner looks what the network has heard of it. */
export default async function story(stage: Stage): Promise<void> {
  const alice = await stage.wallet('alice')
  const bob = new Wallet('bob')
  const { says, pools } = await stage.start('bob', { ADDRESS: bob.address })
  for (const item of ['coffee', 'cake']) await stage.post('alice', pools.bob!.url, (await alice.pay(bob.address, 500)).toHex(), item)
  await says(/The drawer has 1000 sat/)
  await stage.post('alice', pools.bob!.url, (await alice.draft(alice.address, 500)).toHex(), 'tea')
  await stage.ask('getrawmempool')
}
