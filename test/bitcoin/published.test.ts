import { describe, expect, it } from 'vitest'
import type { Overpool, StatusEvent } from '../../index.ts'
import { Peers } from '../swarm/peers.ts'
import { BitcoinMachine, bitcoinOf, signed } from './machine.ts'
import { nodeOr } from './node-or-skip.ts'

describe('a published pool', () => {
  const node = nodeOr()

  it('tells its subscribers what becomes of its transactions, in order, and they believe no proof of it', async () => {
    await using peers = await Peers.start()
    await using publisher = await BitcoinMachine.start(bitcoinOf(node()), { network: peers.network })
    await publisher.machine.create('shop', { commit: 'always' })
    const key = await publisher.machine.control.publish('shop')
    await publisher.machine.announced('shop')
    const statuses: StatusEvent[] = []
    const follower: Overpool = peers.machine().pool
    follower.on('status', (event) => void statuses.push(event))
    await follower.sub({ path: key })

    const tx = await signed(node())
    const txid = tx.id('hex')
    await publisher.pools.post({ path: 'shop', payment: tx })
    await expect.poll(() => publisher.statuses('shop', txid), { timeout: 20_000 }).toContain('seen')
    await node().generate(1)
    await expect.poll(() => publisher.statuses('shop', txid), { timeout: 20_000 }).toContain('mined')
    const said = await publisher.statuses('shop', txid)
    await expect.poll(() => statuses.map(({ status }) => status), { timeout: 30_000 }).toEqual(said)
    const payment = await follower.get({ path: key, hash: txid })
    expect(payment).toMatchObject({ status: 'mined', blockHash: statuses.at(-1)!.blockHash })
    expect(payment.proven).toBeUndefined()
  })
})
