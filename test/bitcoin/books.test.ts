import { describe, expect, it } from 'vitest'
import type { StatusEvent, TxEvent } from '../../shared/ledger/event.ts'
import type { Pools } from '../../shared/machine/machine.ts'
import type { HandlerState } from '../../shared/state/handler-state.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { random, seed } from '../random.ts'
import { BitcoinMachine, bitcoinOf, freshScript } from './machine.ts'
import type { UsersNode } from './node.ts'
import { nodeOr } from './node-or-skip.ts'

const ROUNDS = 12
const WAIT = { timeout: 60_000, interval: 100 }

/** Books of all that comes: payments at once, and what the chain has confirmed. */
async function enter(e: TxEvent | StatusEvent, _pools: Pools, state: HandlerState): Promise<void> {
  if (e.kind === 'tx' ? e.path === 'grid' && e.source !== 'chain' : e.status !== 'mined') return
  for (const key of [e.path, 'all', `tx ${e.kind === 'tx' ? e.hash : e.of.txid}`]) await state.update(key, (n) => ((n as number) ?? 0) + 1)
}

const BOOKS = {
  name: 'books',
  functions: { tx: enter, status: enter, reorg: () => {} },
  options: { state: 'shared', undo: true } as const,
  takes: () => true,
}

describe('the books of a machine that sees both worlds', () => {
  const node = nodeOr()

  it(`count each payment and each transaction of the best chain once, through ${ROUNDS} blocks with reorganisations and restarts`, {
    timeout: 300_000,
  }, async () => {
    console.log(`seed ${seed}`)
    const script = freshScript().toHex()
    await using machine = await BitcoinMachine.start(bitcoinOf(node()))
    const open = async () => {
      await machine.machine.create('grid', { grid: { chain: { filter: { scripts: [script] } } } })
      await machine.machine.create('shop', {})
      await machine.machine.handle(BOOKS)
    }
    await open()
    await expect.poll(() => machine.pools.length('grid').catch(() => 0), WAIT).toBe(1)
    const [begin, funded] = [await node().rpc<number>('getblockcount'), [] as string[]]
    let [posted, reorganisations] = [0, 0]
    for (let round = 0; round < ROUNDS; round++) {
      funded.push((await node().fund(script, 10_000)).txid)
      for (; random() < 0.7; posted++)
        await machine.pools.post({ path: 'shop', payment: { transaction: sampleTransaction(`${seed} ${posted}`) } })
      let [tip] = await node().generate(1)
      const height = await node().rpc<number>('getblockcount')
      if (random() < 0.4 && height - begin > 2) {
        await expect.poll(async () => lastBlock(machine), WAIT).toBe(tip) // or the machine would never see the blocks that go
        ;[tip] = await reorganise(node(), 1 + Math.floor(random() * Math.min(4, height - begin - 1)))
        reorganisations++
      }
      await expect.poll(async () => lastBlock(machine), WAIT).toBe(tip)
      if (random() < 0.3) {
        await machine.stop()
        await machine.start(bitcoinOf(node()))
        await open()
      }
    }
    if (!reorganisations) await expect.poll(async () => lastBlock(machine), WAIT).toBe((await reorganise(node(), 2))[0])
    // What a reorganisation takes back is mined again, unless the coin that it spends is gone as well.
    const mined = new Set<string>()
    for (let height = begin + 1; height <= (await node().rpc<number>('getblockcount')); height++) {
      const block = await node().rpc<{ tx: string[] }>('getblock', await node().rpc('getblockhash', height), 1)
      for (const txid of block.tx) if (funded.includes(txid)) mined.add(txid)
    }
    const expected = { all: mined.size + posted, grid: mined.size, shop: posted || undefined }
    const books = await machine.pools.state({ handler: 'books' })
    const shown = async () => ({ all: await books.get('all'), grid: await books.get('grid'), shop: await books.get('shop') })
    await expect.poll(shown, WAIT).toEqual(expected)
    for (const txid of funded) expect((await books.get(`tx ${txid}`)) ?? 0).toBe(mined.has(txid) ? 1 : 0)
    expect(mined.size).toBeGreaterThan(ROUNDS / 2)
    const entries = await Array.fromAsync(machine.pools.read({ path: 'grid' }))
    console.log(
      `${reorganisations} reorganisations, ${funded.length} transactions, ${entries.length} entries of the chain, ${posted} payments`,
    )
  })
})

async function lastBlock(machine: BitcoinMachine): Promise<string | undefined> {
  return (await machine.pools.tail({ path: 'grid', kinds: ['block'], size: 1 }))[0]?.hash
}

/** Takes blocks off the node's chain, and mines their transactions again, in one block more. @returns the new tip */
async function reorganise(node: UsersNode, depth: number): Promise<string[]> {
  const height = await node.rpc<number>('getblockcount')
  await node.rpc('invalidateblock', await node.rpc('getblockhash', height - depth + 1))
  return (await node.generate(depth + 1)).slice(-1)
}
