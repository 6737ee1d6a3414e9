import { MerklePath } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import { pay } from '../cli/project.ts'
import { BitcoinMachine, bitcoinOf, freshScript, signed } from './machine.ts'
import type { UsersNode } from './node.ts'
import { nodeOr } from './node-or-skip.ts'

describe('a machine that reads the chain', () => {
  const node = nodeOr()

  it('sends what a wallet has paid to the network, sees it there and, after a block, finds it mined with a proof', async () => {
    await using machine = await BitcoinMachine.start(bitcoinOf(node()))
    await machine.machine.create('shop', { commit: 'always' })
    const { url } = await machine.machine.listen(['shop'], 0, '127.0.0.1')
    const tx = await signed(node())
    const txid = tx.id('hex')
    expect(await pay(`${url}/shop`, tx.toHex())).toBe(200)
    await expect.poll(() => machine.statuses('shop', txid), { timeout: 20_000 }).toContain('seen')
    const [block] = await node().generate(1)
    await expect.poll(() => machine.statuses('shop', txid), { timeout: 20_000 }).toContain('mined')
    const payment = await machine.pools.get({ path: 'shop', hash: txid })
    const header = await node().rpc<{ merkleroot: string; height: number }>('getblockheader', block)
    expect(payment).toMatchObject({ status: 'mined', proven: true, height: header.height, blockHash: block, by: 'chain' })
    const [mined] = await machine.pools.tail({ path: 'shop', kinds: ['status'], size: 1 })
    const proof = { ...tscOf(mined!.proof!, txid), flags: 2, target: { merkleroot: header.merkleroot } }
    expect(await node().rpc('verifymerkleproof', proof)).toBe(true)
    expect(await node().rpc('verifymerkleproof', { ...proof, nodes: proof.nodes.map(() => txid) })).toBe(false)
  })

  it('tells what becomes of a transaction that was broadcast and is no entry of the pool, and makes no entry of it', async () => {
    await using machine = await BitcoinMachine.start(bitcoinOf(node()))
    await machine.machine.create('gateway')
    const tx = await signed(node())
    const txid = tx.id('hex')
    await machine.pools.broadcast(tx, { path: 'gateway' })
    await expect.poll(() => machine.statuses('gateway', txid), { timeout: 20_000 }).toContain('seen')
    await node().generate(1)
    await expect.poll(() => machine.statuses('gateway', txid), { timeout: 20_000 }).toContain('mined')
    const [mined] = await machine.pools.tail({ path: 'gateway', kinds: ['status'] as const, size: 1 })
    expect(mined).toMatchObject({ of: { txid }, source: 'chain', proof: expect.anything() })
    expect(await machine.pools.tail({ path: 'gateway' })).toEqual([])
  })

  it('takes transactions from the chain into a pool, first from the mempool and then from its blocks', async () => {
    await using machine = await BitcoinMachine.start(bitcoinOf(node()))
    const script = freshScript().toHex()
    await machine.machine.create('grid', { grid: { chain: { filter: { scripts: [script] } } } })
    await expect.poll(() => machine.pools.length('grid').catch(() => 0), { timeout: 20_000 }).toBe(1) // the block that it begins after
    const { txid } = await node().fund(script, 10_000)
    await expect
      .poll(async () => (await machine.pools.tail({ path: 'grid' })).map(({ hash, source }) => [hash, source]), { timeout: 20_000 })
      .toEqual([[txid, 'mempool']])
    const [block] = await node().generate(1)
    await expect.poll(() => machine.statuses('grid', txid), { timeout: 20_000 }).toEqual(['mined'])
    await expect
      .poll(() => machine.events.filter(({ path }) => path === 'grid').map(({ kind }) => kind), { timeout: 20_000 })
      .toEqual(['block', 'tx', 'status', 'block'])
    expect(machine.events.at(-1)).toMatchObject({ kind: 'block', hash: block, count: 1 })
  })

  it('finds what the node had in its mempool before a pool looked for it', async () => {
    const { url, user, password } = node()
    await using machine = await BitcoinMachine.start(bitcoinOf({ url, user, password } as UsersNode)) // without ZMQ: it reads the mempool
    const [first, second, third, fourth] = Array.from({ length: 4 }, () => freshScript().toHex()) as [string, string, string, string]
    const found = (path: string) =>
      expect.poll(async () => (await machine.pools.tail({ path })).map(({ hash }) => hash), { timeout: 20_000 })
    await machine.machine.create('first', { grid: { chain: { filter: { scripts: [first] } } } })
    const earlier: string[] = []
    for (const script of [second, third, fourth]) earlier.push((await node().fund(script, 10_000)).txid)
    const { txid } = await node().fund(first, 10_000)
    await found('first').toEqual([txid]) // so it has read the others, too
    await machine.machine.create('second', { grid: { chain: { filter: { scripts: [second] } } } })
    await machine.machine.create('third', { watch: { scripts: [third] } })
    await found('second').toEqual([earlier[0]])
    await found('third').toEqual([earlier[1]])
    await machine.machine.control.watch('third', { scripts: [fourth] })
    await node().fund(first, 10_000) // so that it looks at once
    await found('third').toEqual([earlier[1], earlier[2]])
  })
})

/** A BUMP of one transaction as the node takes proofs. */
function tscOf(bump: Uint8Array, txid: string): { index: number; txOrId: string; nodes: string[] } {
  const { path } = MerklePath.fromBinary([...bump])
  const leaf = path[0]!.find(({ hash }) => hash === txid)!
  const siblings = path.map((level) => level.find((node) => node !== leaf)!)
  return { index: leaf.offset, txOrId: txid, nodes: siblings.map(({ hash, duplicate }) => (duplicate ? '*' : hash!)) }
}
