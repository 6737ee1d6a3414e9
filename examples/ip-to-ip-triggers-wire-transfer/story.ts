import { type Stage, Wallet } from '../stage.ts'

/** Alice takes three rounds, and signs her bill anew each time. */
export default async function story(stage: Stage): Promise<void> {
  const alice = await stage.wallet('alice')
  const bob = new Wallet('bob')
  const { says, pools } = await stage.start('bob', { ADDRESS: bob.address })
  for (const round of [1, 2, 3]) {
    await stage.post('alice', pools.bob!.url, (await alice.draft(bob.address, round * 500)).toHex(), `round ${round}`)
    await says(new RegExp(`^round ${round}: `))
  }
  await says(/is seen/)
  await stage.mine()
  await says(/is mined/)
}
