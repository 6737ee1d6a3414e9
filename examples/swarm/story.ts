import { type Stage, Wallet } from '../stage.ts'

/** Alice orders and pays at the waiter's machine; the kitchen hears of it. */
export default async function story(stage: Stage): Promise<void> {
  const alice = await stage.wallet('alice')
  const restaurant = new Wallet('restaurant')
  await stage.dht()
  const waiter = await stage.start('waiter')
  const kitchen = await stage.start('kitchen')
  await stage.run('kitchen', 'sub', waiter.pools.waiter!.key)
  for (const item of ['soup', 'bread'])
    await stage.post('alice', waiter.pools.waiter!.url, (await alice.pay(restaurant.address, 300)).toHex(), item)
  for (const { says } of [waiter, kitchen]) await says(/^order 2 /)
}
