import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { readHeader } from '../../shared/chain/header.ts'
import { assertProves, scanBump, scanTsc } from '../../shared/chain/merkle.ts'
import { varint } from '../../shared/transaction/data.ts'
import { NodeSource, type NodeSourceOptions } from '../../sidecar/chain/node.ts'
import type { ChainSource, News } from '../../sidecar/chain/source.ts'
import { regtestNode, type UsersNode } from './node.ts'
import { nodeOr } from './node-or-skip.ts'

const OP_TRUE = '51'
const hasZmq = await import('zeromq').then(
  () => true,
  () => false,
)
const WHY_NOT = 'the optional package zeromq is not installed'
/** Longer than any of these tests: what comes has come by ZMQ. */
const NEVER_MS = 10 * 60_000

const open: ChainSource[] = []
afterEach(async () => {
  for (const source of open.splice(0)) await source.close()
})

function sourceOf({ url, user, password }: UsersNode, options: Partial<NodeSourceOptions> = {}): NodeSource {
  const source = new NodeSource({ url, user, password, network: 'regtest', ...options })
  open.push(source)
  return source
}

describe('a node as the source of the chain', () => {
  const node = nodeOr({ any: true })

  it('gives what is unconfirmed, and transactions, as the node has them', async () => {
    const source = sourceOf(node())
    const { txid, hex } = await node().fund(OP_TRUE, 5_000)
    expect(await source.mempool()).toContain(txid)
    expect(Buffer.from((await source.transaction(txid))!).toString('hex')).toBe(hex)
    await node().generate(1)
    expect(await source.mempool()).not.toContain(txid)
    expect(Buffer.from((await source.transaction(txid))!).toString('hex')).toBe(hex)
    expect(await source.transaction('00'.repeat(32))).toBeUndefined()
  })

  it('has proofs that our own scanner reads as the node does', async () => {
    const source = sourceOf(node())
    for (let left = 6; left > 0; left--) await node().fund(OP_TRUE, 5_000)
    const [hash] = await node().generate(1)
    const { height, header } = (await source.headerOf(hash!))!
    const { tx: txids } = await node().rpc<{ tx: string[] }>('getblock', hash)
    expect(txids).toHaveLength(7)
    for (const [index, txid] of txids.entries()) {
      const tsc = await node().rpc<object>('getmerkleproof2', hash, txid)
      const { merkleRoot } = readHeader(header)
      expect(await node().rpc('verifymerkleproof', { ...tsc, flags: 2, target: { merkleroot: merkleRoot } })).toBe(true)
      const proof = scanTsc(tsc)
      const transaction = { txid, bytes: (await source.transaction(txid))! }
      expect(assertProves(proof, transaction, readHeader(header))).toBe(index)
      expect(assertProves(scanBump(proof.bump(height)), transaction, readHeader(header))).toBe(index)
    }
  })

  it('calls back without ZMQ when it finds something new', async () => {
    const { next } = watched(sourceOf(node(), { pollMs: 20 }))
    await next(({ block }) => block === true)
    await node().fund(OP_TRUE, 7_000)
    await next(({ block, tx }) => block === undefined && tx === undefined)
    await node().generate(1)
    await next(({ block }) => block === true)
  })

  it('asks instead, and says so, where ZMQ cannot be had', async () => {
    const lines: string[] = []
    const { next } = watched(sourceOf(node(), { pollMs: 20, zmq: 'nowhere', warn: (line) => lines.push(line) }))
    await next(({ block }) => block === true)
    await node().generate(1)
    await next(({ block }) => block === true)
    await expect
      .poll(() => lines)
      .toEqual([expect.stringMatching(/^node 127\.0\.0\.1:\d+: no news by ZMQ: .+; it is asked every 0\.02 s instead$/)])
  })

  it('refuses a node on another network, and one that does not know the password', async () => {
    await expect(sourceOf(node(), { network: 'main' }).tip()).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringContaining('regtest'),
    })
    const wrong = await sourceOf(node(), { password: 'wrong-one' })
      .tip()
      .catch((error) => error)
    expect(wrong).toMatchObject({ code: 'ACCESS_DENIED' })
    expect(`${wrong.message} ${wrong.stack}`).not.toContain('wrong-one')
  })

  it('ends what is under way when it is closed', async () => {
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as { port: number }
    const source = new NodeSource({ url: `http://127.0.0.1:${port}`, network: 'regtest' })
    const asked = source.tip().catch((error) => error)
    await once(silent, 'connection')
    await source.close()
    expect(await asked).toMatchObject({ code: 'CLOSED' })
    silent.close()
  })
})

describe('a node that comes and goes, as the source of the chain', () => {
  const node = nodeOr()

  it('calls back by ZMQ with each transaction and each block', async ({ skip }) => {
    skip(!hasZmq, WHY_NOT)
    const { news, next } = watched(sourceOf(node(), { zmq: node().zmq, pollMs: NEVER_MS }))
    await connected(node(), next)
    const { hex } = await node().fund(OP_TRUE, 7_000)
    await next(({ tx }) => tx !== undefined && Buffer.from(tx).toString('hex') === hex)
    news.length = 0
    await node().generate(1)
    await next(({ block }) => block === true)
  })

  it('goes on by itself when the node is killed and comes back, and names it meanwhile, without its password', async ({ skip }) => {
    skip(!hasZmq, WHY_NOT)
    const lines: string[] = []
    const source = sourceOf(node(), { zmq: node().zmq, pollMs: NEVER_MS, warn: (line) => lines.push(line) })
    const { next } = watched(source)
    await connected(node(), next)
    const { hash } = await source.tip()
    await node().flush()
    await node().kill()
    const away = await source.tip().then(
      () => undefined,
      (error) => error,
    )
    expect(away).toMatchObject({ code: 'UNAVAILABLE', retryable: true, message: expect.stringContaining(source.name) })
    await expect.poll(() => lines).toEqual([expect.stringContaining(`no news by ZMQ: ${node().zmq} does not answer`)])
    expect(`${JSON.stringify(away)} ${away.stack} ${source.name} ${lines[0]}`).not.toContain(node().password)
    const back = next(({ block, tx }) => block === undefined && tx === undefined)
    await node().start()
    await back // what happened meanwhile does not come by ZMQ
    expect((await source.tip()).hash).toBe(hash)
    await connected(node(), next)
  })

  it('takes the other chain when two nodes that mined apart are joined', async () => {
    const other = await regtestNode({ blocks: 0 })
    try {
      await node().join(other)
      await other.reaches((await node().rpc<string>('getbestblockhash'))!)
      await node().part(other)
      const source = sourceOf(node(), { pollMs: 20 })
      const { next } = watched(source)
      await next(({ block }) => block === true)
      const [undone] = await node().generate(2)
      await next(({ block }) => block === true)
      const added = await other.generate(3)
      await node().join(other)
      await node().reaches(added.at(-1)!)
      const { height, hash } = await source.tip()
      expect(hash).toBe(added.at(-1))
      expect((await source.headers(height - 2, 10)).map(({ header }) => readHeader(header).hash)).toEqual(added)
      expect(await source.headerOf(undone!)).toBeUndefined()
    } finally {
      await other.remove()
    }
  })

  it('says that a block has broken off when the node is killed while it is read', async () => {
    for (let left = 2; left > 0; left--) await node().rpc('sendrawtransaction', large(await node().fund(OP_TRUE, 20_000_000)), true)
    const [hash] = await node().generate(1)
    await node().flush()
    const source = sourceOf(node())
    const tip = await source.tip()
    const chunks = source.block(tip)
    let length = (await chunks.next()).value.length
    await node().kill()
    const rest = async () => {
      for await (const chunk of chunks) length += chunk.length
    }
    await expect(rest()).rejects.toMatchObject({ code: 'UNAVAILABLE', retryable: true })
    await node().start()
    const { size } = await node().rpc<{ size: number }>('getblock', hash)
    expect(length).toBeLessThan(size)
    length = 0
    for await (const chunk of source.block(tip)) length += chunk.length
    expect(length).toBe(size)
  })
})

/** A transaction of 9 MB that spends an output. Two of them are more than the buffers between a node and its reader hold. */
function large({ txid, vout }: { txid: string; vout: number }): string {
  const head = Buffer.alloc(5 + 32 + 4 + 5)
  head.writeUInt32LE(1)
  head.writeUInt8(1, 4)
  head.set(Buffer.from(txid, 'hex').reverse(), 5)
  head.writeUInt32LE(vout, 37)
  head.fill(0xff, 42) // no script: the output is anyone's
  const data = Buffer.alloc(9_000_000, 0xab)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(data.length)
  const script = Buffer.concat([Buffer.from('006a4e', 'hex'), length, data])
  return Buffer.concat([head, Buffer.from([1]), Buffer.alloc(8), varint(script.length), script, Buffer.alloc(4)]).toString('hex')
}

/** Collects what a source calls back with; `next` waits for such news, and forgets what came before them. */
function watched(source: ChainSource): { news: News[]; next: (is: (news: News) => boolean) => Promise<void> } {
  const news: News[] = []
  let look = () => {}
  source.watch((one) => {
    news.push(one)
    look()
  }, new AbortController().signal)
  const next = async (is: (news: News) => boolean) => {
    for (;;) {
      const at = news.findIndex(is)
      if (at >= 0) return void news.splice(0, at + 1)
      await new Promise<void>((resolve) => {
        look = resolve
      })
    }
  }
  return { news, next }
}

/** Waits until the node publishes to the source: a subscription takes a moment after the connection, so blocks are made until one is told of. */
async function connected(node: UsersNode, next: (is: (news: News) => boolean) => Promise<void>): Promise<void> {
  let isTold = false
  const told = next(({ tx }) => tx !== undefined).then(() => {
    isTold = true
  })
  while (!isTold) await Promise.race([told, node.generate(1)])
  await told
}
