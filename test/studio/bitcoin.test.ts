import { describe, expect, it } from 'vitest'
import { keepStudioToken } from '../../local/studio.ts'
import type { EntryShape, NetworkPage, Overview } from '../../studio/shapes.ts'
import { BitcoinMachine, bitcoinOf, signed } from '../bitcoin/machine.ts'
import { nodeOr } from '../bitcoin/node-or-skip.ts'
import { until } from '../machine/machine.ts'
import { knock } from './machine.ts'

// What the studio says of a machine that takes part in Bitcoin: on a real node, on regtest.

const node = nodeOr()

describe('the studio of a machine on Bitcoin', () => {
  it('shows what becomes of a payment, who said so, and the proof that the header of its block confirms', async () => {
    await using bitcoin = await BitcoinMachine.start(bitcoinOf(node()))
    await bitcoin.machine.create('mypool', { commit: 'always' })
    const { url } = await bitcoin.machine.listen(['mypool'], 0, '127.0.0.1')
    const token = keepStudioToken(bitcoin.dir)
    const ask = async <T>(name: string) =>
      JSON.parse((await knock(`${url}/_/studio/api/${name}`, { headers: { authorization: `Bearer ${token}` } })).text) as T

    const transaction = await signed(node())
    const txid = transaction.id('hex')
    await bitcoin.pools.post({ path: 'mypool', payment: { transaction: transaction.toHex() } })
    await until(
      () => bitcoin.statuses('mypool', txid),
      (all) => all.includes('seen') || all.includes('sent'),
    )
    // What is open is noted a moment after its entry is written.
    await until(
      () => ask<NetworkPage>('network'),
      ({ broadcasts, open }) => broadcasts && open.some((each) => each.path === 'mypool' && each.txid === txid),
    )

    const [block] = await node().generate(1)
    await until(
      () => bitcoin.statuses('mypool', txid),
      (all) => all.includes('mined'),
    )
    const entry = await ask<EntryShape>('entry?pool=mypool&seq=0')
    const { height, merkleroot } = await node().rpc<{ height: number; merkleroot: string }>('getblockheader', block)
    expect(entry).toMatchObject({ txid, status: 'mined', height, isProven: true })
    expect(entry.history!.map(({ status }) => status)).toEqual(await bitcoin.statuses('mypool', txid))
    expect(entry.history!.at(-1)).toMatchObject({ status: 'mined', height, isProven: true })
    expect(entry.proof).toMatchObject({ height, blockHash: block, root: merkleroot, isRoot: true })

    await until(
      () => ask<NetworkPage>('network'),
      ({ open }) => open.length === 0,
    )
    const { chain, pools } = await ask<Overview>('overview')
    expect(chain).toEqual([expect.objectContaining({ path: '_chain', height })])
    expect(pools.map(({ path }) => path)).toEqual(['mypool'])
    expect(pools[0]!.handlers.map(({ handler }) => handler)).toContain('broadcaster')
  })
})
