import { describe, expect, it } from 'vitest'
import type { LedgerEvent } from '../../shared/ledger/event.ts'
import { BitcoinMachine, bitcoinOf, freshScript, manySigned, signed } from './machine.ts'
import { type RegtestNode, regtestNode } from './node.ts'
import { nodeOr } from './node-or-skip.ts'

describe('a machine whose chain is reorganised', () => {
  const node = nodeOr()

  it('takes back what was mined in six blocks, tells the handlers in order, and finds it mined again', async () => {
    await using machine = await BitcoinMachine.start(bitcoinOf(node()))
    await using other = await joined(node())
    const script = freshScript().toHex()
    await machine.machine.create('shop', { commit: 'always' })
    await machine.machine.create('grid', { grid: { chain: { filter: { scripts: [script] } } } })
    await expect.poll(() => machine.pools.length('grid').catch(() => 0), { timeout: 20_000 }).toBe(1)
    const ours = await manySigned(node(), 200)
    await other.reaches((await node().generate(1))[0]!)
    await node().part(other)
    const fork = await node().rpc<number>('getblockcount')

    const onChain: string[] = []
    for (let block = 0; block < 6; block++) {
      const some = ours.slice(block * 34, (block + 1) * 34)
      for (const payment of some) await machine.pools.post({ path: 'shop', payment })
      onChain.push((await node().fund(script, 10_000)).txid)
      await expect
        .poll(() => node().rpc<string[]>('getrawmempool'), { timeout: 20_000 })
        .toEqual(expect.arrayContaining(some.map((tx) => tx.id('hex'))))
      await node().generate(1)
    }
    const txids = ours.map((tx) => tx.id('hex'))
    const states = async () => (await machine.pools.tail({ path: 'shop', size: 200 })).map(({ status }) => status)
    await expect.poll(states, { timeout: 60_000, interval: 500 }).toEqual(txids.map(() => 'mined'))

    const longer = await other.generate(7)
    await node().join(other)
    await node().reaches(longer.at(-1)!)
    await expect.poll(states, { timeout: 60_000, interval: 500 }).toEqual(txids.map(() => 'seen'))
    await expect.poll(() => kindsOf(machine, 'grid').filter((kind) => kind === 'reorg'), { timeout: 20_000 }).toEqual(['reorg'])
    const [again] = await node().generate(1)
    await expect.poll(states, { timeout: 60_000, interval: 500 }).toEqual(txids.map(() => 'mined'))

    // What the handlers got, in the order of the ledger: nothing twice, and what was mined goes back before the new chain comes.
    const grid = machine.events.filter(({ path }) => path === 'grid')
    expect(grid.map(({ seq }) => seq)).toEqual(grid.map((_, i) => i))
    const ledger = await Array.fromAsync(machine.pools.read({ path: 'shop', kinds: ['tx', 'status'] }), ({ seq }) => seq)
    await expect.poll(() => machine.events.filter(({ path }) => path === 'shop').map(({ seq }) => seq), { timeout: 20_000 }).toEqual(ledger)
    const known = new Map<string, string | undefined>()
    for (const event of machine.events) {
      if (event.path !== 'shop' || event.kind !== 'status') continue
      const { txid } = event.of
      if (event.undone !== undefined) {
        expect(known.get(txid), 'the block of a transaction that goes back').toBe(event.undone)
        known.delete(txid)
      } else if (event.status === 'mined') {
        expect(known.has(txid), 'whether it was in another block').toBe(false)
        known.set(txid, event.blockHash)
      }
    }
    expect(known, 'what a handler knows that keeps the block of each transaction').toEqual(new Map(txids.map((txid) => [txid, again])))
    for (const event of await machine.pools.tail({ path: 'shop', size: 200 }))
      expect(event).toMatchObject({ status: 'mined', blockHash: again, proven: true })
    const reorg = grid.findIndex(({ kind }) => kind === 'reorg')
    expect(grid[reorg]).toMatchObject({ from: { height: fork + 6 }, to: { height: fork }, undone: { length: 6 } })
    const before = grid.slice(0, reorg).filter((event) => event.kind === 'status' && event.undone !== undefined)
    expect(before.map((event) => event.kind === 'status' && event.of.txid).sort()).toEqual(onChain.toSorted())
    const after = grid.slice(reorg + 1)
    expect(after.filter(({ kind }) => kind === 'block')).toHaveLength(8)
    for (const txid of onChain)
      expect(await machine.pools.get({ path: 'grid', hash: txid })).toMatchObject({
        status: 'mined',
        blockHash: again,
        proven: true,
      })
  })

  it('ends a double spend as the chain does: one is mined, the other double-spent', async () => {
    await using machine = await BitcoinMachine.start(bitcoinOf(node()))
    await machine.machine.create('one', { commit: 'always' })
    await machine.machine.create('two', { commit: 'always' })
    const first = await signed(node())
    const { sourceTransaction: transaction, sourceOutputIndex: vout } = first.inputs[0]!
    const second = await signed(node(), { transaction: transaction!, vout }, 2_000)
    await machine.pools.post({ path: 'one', payment: first })
    await expect.poll(() => machine.statuses('one', first.id('hex')), { timeout: 20_000 }).toContain('seen')
    await machine.pools.post({ path: 'two', payment: second })
    await expect.poll(() => machine.statuses('two', second.id('hex')), { timeout: 20_000 }).toEqual(['double-spent'])
    await node().generate(1)
    await expect.poll(() => machine.statuses('one', first.id('hex')), { timeout: 20_000 }).toContain('mined')
    await expect
      .poll(() => machine.pools.get({ path: 'two', hash: second.id('hex') }), { timeout: 60_000 })
      .toMatchObject({ status: 'double-spent', final: true })
  })

  it('ends a double spend of transactions that were broadcast as bytes, too', async () => {
    await using machine = await BitcoinMachine.start(bitcoinOf(node()))
    await machine.machine.create('shop')
    const first = await signed(node())
    const { sourceTransaction: transaction, sourceOutputIndex: vout } = first.inputs[0]!
    const second = await signed(node(), { transaction: transaction!, vout }, 2_000)
    await machine.pools.broadcast(first, { path: 'shop' })
    await expect.poll(() => machine.statuses('shop', first.id('hex')), { timeout: 20_000 }).toContain('seen')
    await machine.pools.broadcast(second, { path: 'shop' })
    await expect.poll(() => machine.statuses('shop', second.id('hex')), { timeout: 20_000 }).toEqual(['double-spent'])
    await node().generate(1)
    await expect.poll(() => machine.statuses('shop', second.id('hex')), { timeout: 20_000 }).toEqual(['double-spent', 'double-spent'])
    const [end] = await machine.pools.tail({ path: 'shop', kinds: ['status'], size: 1 })
    expect(end).toMatchObject({ of: { txid: second.id('hex') }, final: true, reason: expect.stringContaining(first.id('hex')) })
  })
})

function kindsOf(machine: BitcoinMachine, path: string): LedgerEvent['kind'][] {
  return machine.events.filter((event) => event.path === path).map(({ kind }) => kind)
}

/** Another node with the same chain, joined to this one. */
async function joined(node: RegtestNode): Promise<RegtestNode & AsyncDisposable> {
  const other = await regtestNode({ blocks: 0 })
  await node.join(other)
  await other.reaches(await node.rpc('getbestblockhash'))
  return Object.assign(other, { [Symbol.asyncDispose]: () => other.remove() })
}
