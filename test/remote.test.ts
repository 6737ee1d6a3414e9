import { describe, expect, it } from 'vitest'
import { openFolder } from '../client/folder.ts'
import { sampleTransaction } from '../shared/transaction/sample.ts'
import { until } from './machine/machine.ts'
import { Peers } from './swarm/peers.ts'

// A caller beside a machine that runs on the same folder. Here both are in this process, but they share nothing but the folder. test/stack tests the same for a stack.

describe('a machine that another process runs', { timeout: 60_000 }, () => {
  it('does what a caller beside it asks; the caller can wait until others can find its pool', async () => {
    await using peers = await Peers.start()
    const machine = peers.machine()
    const { key } = await machine.pool.create({ path: 'mypool', port: false })
    await using remote = openFolder(machine.dir)
    expect(await remote.id()).toBe(await machine.pool.id())

    const pool = () => remote.pools.control('mypool')
    await expect(remote.announced('mypool')).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    expect(await remote.control.publish('mypool')).toBe(key)
    await remote.announced('mypool')
    expect(await machine.pool.status()).toMatchObject([{ path: 'mypool', published: true, network: { announced: true } }])

    await remote.pools.post({ path: 'mypool', payment: sampleTransaction('from beside') })
    expect(await remote.pools.tail({ path: 'mypool' })).toMatchObject([{ seq: 0, source: 'api' }])
    await until(pool, ({ coreLength }) => coreLength === 1)
    expect(await remote.verify('mypool')).toMatchObject({ entries: 1, receipts: 1, coreLength: 1, signedBlocks: 1, problems: 0 })
  })

  it('ends the wait of a caller that closes before anybody finds the pool', async () => {
    await using peers = await Peers.start()
    const machine = peers.machine()
    await machine.pool.create({ path: 'mypool', port: false })
    await machine.pool.close()
    const remote = openFolder(machine.dir)
    await remote.control.publish('mypool')
    const announced = remote.announced('mypool')
    const closed = expect(announced).rejects.toMatchObject({ code: 'CLOSED' })
    await remote.close()
    await closed
  })
})
