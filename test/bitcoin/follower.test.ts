import { describe, expect, it } from 'vitest'
import type { Stores } from '../../shared/store/port.ts'
import type { Grid } from '../../sidecar/chain/grids.ts'
import type { News, Place } from '../../sidecar/chain/source.ts'
import { freshScript, signed } from './machine.ts'
import type { UsersNode } from './node.ts'
import { nodeOr } from './node-or-skip.ts'
import { changed, FollowingSidecar, gridOf, sourceOf } from './sidecar.ts'

const WAIT = { timeout: 20_000 }

/** Takes the newest blocks off the node's chain and mines others, one more. The transactions in them are mined again, unless `empty`. */
async function reorganise(node: UsersNode, depth: number): Promise<{ undone: string[]; mined: string[] }> {
  const height = await node.rpc<number>('getblockcount')
  const undone: string[] = []
  for (let i = 0; i < depth; i++) undone.push(await node.rpc<string>('getblockhash', height - i))
  await node.rpc('invalidateblock', undone.at(-1))
  return { undone, mined: await node.generate(depth + 1) }
}

describe('a follower of the chain', () => {
  const node = nodeOr()
  const tip = () => node().rpc<string>('getbestblockhash')

  it.each([false, true])('goes on when the chain takes back the block at which it began (stopped meanwhile: %s)', async (isStopped) => {
    await node().generate(3)
    const options = { sources: [sourceOf(node())], grids: [gridOf(freshScript().toHex())] }
    await using machine = await FollowingSidecar.open(options)
    await expect.poll(() => machine.tip('grid'), WAIT).toBe(await tip())
    await expect.poll(() => machine.tip(), WAIT).toBe(await tip())
    if (isStopped) await machine.stop()
    const { undone, mined } = await reorganise(node(), 2)
    if (isStopped) await machine.start({ ...options, sources: [sourceOf(node())] })
    await expect.poll(() => machine.tip(), WAIT).toBe(mined.at(-1))
    await expect.poll(() => machine.tip('grid'), WAIT).toBe(mined.at(-1))
    const grid = (await machine.entries('grid')).map((entry) => (entry.kind === 'block' ? entry.hash : entry.kind))
    expect(grid).toEqual([undone[0], 'reorg', ...mined])
    // Once more from there, and after a restart.
    await machine.stop()
    const again = await reorganise(node(), 4)
    await machine.start({ ...options, sources: [sourceOf(node())] })
    await expect.poll(() => machine.tip('grid'), WAIT).toBe(again.mined.at(-1))
    expect(machine.complaints).toEqual([])
  })

  it('goes on after a reorganisation that took back all that a pool had, and a restart before the next block', async () => {
    await node().generate(3)
    const options = { grids: [gridOf(freshScript().toHex())] }
    await using machine = await FollowingSidecar.open({ ...options, sources: [sourceOf(node())] })
    await expect.poll(() => machine.tip('grid'), WAIT).toBe(await tip())
    await expect.poll(() => machine.tip(), WAIT).toBe(await tip())
    await machine.stop()
    const { mined } = await reorganise(node(), 2)
    // It dies when the reorganisation is in the ledger, and no block of the new chain.
    await machine.start({ ...options, sources: [sourceOf(node())], stores: failing('grid', 2) })
    await expect.poll(async () => (await machine.entries('grid')).at(-1)?.kind, WAIT).toBe('reorg')
    await machine.stop()
    await machine.start({ ...options, sources: [sourceOf(node())] })
    await expect.poll(() => machine.tip('grid'), WAIT).toBe(mined.at(-1))
    expect((await machine.entries('grid')).flatMap((entry) => (entry.kind === 'block' ? [entry.hash] : [])).slice(1)).toEqual(mined)
  })

  it.each(['shop', '_chain', 'grid'])(
    'dies in the middle of a block, while it writes into "%s", and the chain takes the block back',
    async (path) => {
      const script = freshScript().toHex()
      const options = { grids: [gridOf(script)] }
      await using machine = await FollowingSidecar.open({ ...options, sources: [sourceOf(node())] })
      await expect.poll(() => machine.tip(), WAIT).toBe(await tip())
      const { txid: onChain } = await node().fund(script, 1_000)
      const tx = await signed(node())
      await machine.post(tx)
      await node().rpc('sendrawtransaction', tx.toHex())
      const txid = tx.id('hex')
      await expect.poll(async () => (await machine.newest('shop', txid))?.status, WAIT).toBe('seen')
      await expect.poll(async () => (await machine.newest('grid', onChain))?.status, WAIT).toBe('seen')
      await machine.stop()
      const length = (await machine.stores.blocks.last(path))!.n + 1
      const [lost] = await node().generate(1)
      let failed: () => void = () => {}
      const hasFailed = new Promise<void>((resolve) => {
        failed = resolve
      })
      await machine.start({ ...options, sources: [sourceOf(node())], stores: failing(path, length, failed) })
      await hasFailed
      await machine.stop()
      // The chain goes on without the two transactions.
      await node().rpc('invalidateblock', lost)
      const empty = [await emptyBlock(node()), await emptyBlock(node())]
      await machine.start({ ...options, sources: [sourceOf(node())] })
      await expect.poll(() => machine.tip(), WAIT).toBe(empty.at(-1))
      await expect.poll(() => machine.tip('grid'), WAIT).toBe(empty.at(-1))
      expect(await machine.newest('shop', txid)).toMatchObject({ status: 'seen' })
      expect(await machine.newest('grid', onChain)).toMatchObject({ status: 'seen' })
      const [again] = await node().generate(1)
      await expect.poll(() => machine.newest('shop', txid), WAIT).toMatchObject({ status: 'mined', blockHash: again })
      await expect.poll(() => machine.newest('grid', onChain), WAIT).toMatchObject({ status: 'mined', blockHash: again })
    },
  )

  it.each(['shop', '_chain', 'grid'])(
    'dies in the middle of a block, while it writes into "%s", and finishes it after a restart',
    async (path) => {
      const script = freshScript().toHex()
      const options = { grids: [gridOf(script)] }
      await using machine = await FollowingSidecar.open({ ...options, sources: [sourceOf(node())] })
      await expect.poll(() => machine.tip(), WAIT).toBe(await tip())
      const { txid: onChain } = await node().fund(script, 1_000)
      const tx = await signed(node())
      await machine.post(tx)
      await machine.stop()
      await node().rpc('sendrawtransaction', tx.toHex())
      const length = ((await machine.stores.blocks.last(path))?.n ?? -1) + 1
      const [block] = await node().generate(1)
      let failed: () => void = () => {}
      const hasFailed = new Promise<void>((resolve) => {
        failed = resolve
      })
      await machine.start({ ...options, sources: [sourceOf(node())], stores: failing(path, length, failed) })
      await hasFailed
      await machine.stop()
      await machine.start({ ...options, sources: [sourceOf(node())] })
      await expect.poll(() => machine.newest('shop', tx.id('hex')), WAIT).toMatchObject({ status: 'mined', blockHash: block })
      await expect.poll(() => machine.newest('grid', onChain), WAIT).toMatchObject({ status: 'mined', blockHash: block })
      await expect.poll(() => machine.tip(), WAIT).toBe(block)
      for (const each of ['_chain', 'grid']) {
        const hashes = (await machine.entries(each)).flatMap((entry) => (entry.kind === 'block' ? [entry.hash] : []))
        expect(new Set(hashes).size, each).toBe(hashes.length)
      }
    },
  )

  it('takes from the mempool what it met there before it knew that the block of that transaction was taken back', async () => {
    const script = freshScript().toHex()
    const honest = sourceOf(node())
    let hint: (news: News) => void = () => {}
    let old: Place | undefined
    const calls: string[] = []
    const source = changed(honest, {
      watch: (heard) => void (hint = heard),
      tip() {
        calls.push('tip')
        return old ? Promise.resolve(old) : honest.tip()
      },
      transaction(txid) {
        calls.push(txid)
        return honest.transaction(txid)
      },
    })
    const grids: Grid[] = []
    await using machine = await FollowingSidecar.open({ sources: [source], grids })
    await expect.poll(() => machine.tip(), WAIT).toBe(await tip())
    const { txid } = await node().fund(script, 1_000)
    const [block] = await node().generate(1)
    await expect.poll(() => machine.tip(), WAIT).toBe(block)
    grids.push(gridOf(script)) // it begins after that block
    await expect.poll(() => machine.tip('grid'), WAIT).toBe(block)
    old = await honest.tip()
    await node().rpc('invalidateblock', block)
    hint({})
    await expect.poll(() => calls.includes(txid) && calls.lastIndexOf('tip') > calls.lastIndexOf(txid), WAIT).toBe(true)
    expect(await machine.said('grid', txid)).toEqual([])
    await emptyBlock(node())
    const last = await emptyBlock(node())
    old = undefined
    await expect.poll(() => machine.tip('grid'), WAIT).toBe(last)
    await expect.poll(() => machine.said('grid', txid), WAIT).toMatchObject([{ status: 'seen' }])
    await node().generate(1)
  })
})

/** A block with no transaction but its own: those of the mempool stay there. */
async function emptyBlock(node: UsersNode): Promise<string> {
  const mempool = await node.rpc<string[]>('getrawmempool')
  for (const txid of mempool) await node.rpc('prioritisetransaction', txid, 0, -100_000_000)
  const [hash] = await node.generate(1)
  for (const txid of mempool) await node.rpc('prioritisetransaction', txid, 0, 100_000_000)
  expect((await node.rpc<{ tx: string[] }>('getblock', hash)).tx).toHaveLength(1)
  return hash!
}

/** Stores that take no block of this pool from this number on. */
function failing(path: string, from: number, failed = () => {}): (stores: Stores) => Stores {
  return (stores) => ({
    ...stores,
    blocks: {
      last: (pool) => stores.blocks.last(pool),
      read: (...what) => stores.blocks.read(...what),
      find: (...what) => stores.blocks.find(...what),
      put: async (pool, block) => {
        if (pool !== path || block.n < from) return stores.blocks.put(pool, block)
        failed()
        throw new Error('the store is away, as the test wants it')
      },
    } as Stores['blocks'],
  })
}
