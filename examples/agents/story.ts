import type { Stage } from '../stage.ts'
import { served } from './wallet.ts'

/** What the operators of two agents type. They tell each other the keys of their pools; the rest is between the agents. */
export default async function story(stage: Stage): Promise<void> {
  const buyers = await stage.wallet('buyer')
  await stage.dht()
  const seller = await stage.start('seller')
  const buyer = await stage.start('buyer')
  const [SELLER, BUYER] = [seller.pools.seller!.key, buyer.pools.buyer!.key]
  await stage.run('seller', 'sub', BUYER)
  await stage.run('buyer', 'sub', SELLER)
  await stage.run('buyer', 'budget', '--per-call', '1200', '--per-day', '2000')

  const PAYEE = new URL(seller.pools.till!.url).host
  const selling = stage.program('seller', ['seller.ts'], { BUYER })
  const buying = stage.program('buyer', ['buyer.ts'], { SELLER, PAYEE, WALLET: await served(buyers, stage) })
  await Promise.race([selling.says(/^paid/), selling.ended, buying.ended])
  await stage.mine()
  await Promise.all([selling.ended, buying.ended])
}
