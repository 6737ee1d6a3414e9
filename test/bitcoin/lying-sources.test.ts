import { describe, expect, it } from 'vitest'
import { HEADER_BYTES, readHeader } from '../../shared/chain/header.ts'
import type { ChainSource, HeaderAt } from '../../sidecar/chain/source.ts'
import { freshScript, signed } from './machine.ts'
import { nodeOr } from './node-or-skip.ts'
import { changed, FollowingSidecar, gridOf, sourceOf } from './sidecar.ts'

const WAIT = { timeout: 20_000 }
/** Where the Merkle root begins in a header. */
const ROOT = 36

/** The bytes of a stream in one piece. */
async function whole(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(stream))
}

async function* pieces(bytes: Uint8Array, size = 100): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

type Lie = (source: ChainSource) => Partial<ChainSource>

const headersOf =
  (lie: (headers: HeaderAt[]) => HeaderAt[]): Lie =>
  (source) => ({ headers: async (from, limit) => lie(await source.headers(from, limit)) })
const blocksOf =
  (lie: (bytes: Buffer) => AsyncIterable<Uint8Array>): Lie =>
  (source) => ({
    async *block(place) {
      yield* lie(await whole(source.block!(place)))
    },
  })
const flipped = (bytes: Uint8Array, at: number): Buffer => {
  const copy = Buffer.from(bytes)
  copy[at]! ^= 1
  return copy
}
const last = (headers: HeaderAt[], change: (header: Uint8Array) => Uint8Array) =>
  headers.map((one, i) => (i < headers.length - 1 ? one : { ...one, header: change(one.header) }))

/** On regtest every second header has a proof of work: another root, until it has none. */
function withoutWork(header: Uint8Array): Uint8Array {
  const changed = Buffer.from(header)
  do changed.writeUInt32LE((changed.readUInt32LE(ROOT) + 1) >>> 0, ROOT)
  while (readHeader(changed).hash < '8')
  return changed
}

const LIES: Record<string, Lie> = {
  'makes a target easier': headersOf((headers) => last(headers, (header) => flipped(header, 75))),
  'gives a header without its proof of work': headersOf((headers) => last(headers, withoutWork)),
  'gives headers that are not linked': headersOf((headers) => last(headers, (header) => flipped(header, 10))),
  'gives headers that are too short': headersOf((headers) => last(headers, (header) => header.subarray(0, 79))),
  'gives no headers': headersOf(() => []),
  'names a tip that nobody knows': (source) => ({ tip: async () => ({ height: (await source.tip()).height + 5, hash: 'ab'.repeat(32) }) }),
  'gives the bytes of another block': (source) => ({
    async *block({ height }) {
      const [before] = await source.headers(height - 1, 1)
      yield* source.block!({ height: height - 1, hash: readHeader(before!.header).hash })
    },
  }),
  'changes a transaction': blocksOf((bytes) => pieces(flipped(bytes, bytes.length - 10))),
  'leaves a transaction out': blocksOf((bytes) => pieces(withoutLast(bytes))),
  'adds bytes at the end': blocksOf((bytes) => pieces(Buffer.concat([bytes, Buffer.alloc(7)]))),
  'breaks off in the middle of a block': blocksOf((bytes) => pieces(bytes.subarray(0, bytes.length - 20))),
  'goes away in the middle of a block': blocksOf(async function* (bytes) {
    yield bytes.subarray(0, HEADER_BYTES + 10)
    throw new Error('the connection is lost')
  }),
  'counts more transactions than there are': blocksOf((bytes) => pieces(flipped(bytes, HEADER_BYTES))),
}

/** The block with one transaction less: of those that the test mines, the last one is as long as the one before. */
function withoutLast(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  copy[HEADER_BYTES]!--
  return copy
}

describe('a source that lies', () => {
  const node = nodeOr()

  it.each(Object.entries(LIES))('%s: nothing of it is written, a report names it, and the next one is used', async (_, lie) => {
    const script = freshScript().toHex()
    const honest = sourceOf(node())
    let isLying = false
    const lies = lie(honest)
    const liar = changed(honest, {
      name: 'the liar',
      ...Object.fromEntries(
        Object.entries(lies).map(([name, method]) => [
          name,
          (...args: never[]) =>
            (isLying ? (method as (...args: never[]) => unknown) : (Reflect.get(honest, name) as () => unknown).bind(honest))(...args),
        ]),
      ),
      close: async () => {},
    })
    await using machine = await FollowingSidecar.open({ sources: [liar, honest], grids: [gridOf(script)] })
    const tip = () => node().rpc<string>('getbestblockhash')
    await expect.poll(async () => [await machine.tip(), await machine.tip('grid')], WAIT).toEqual([await tip(), await tip()])
    expect(machine.complaints).toEqual([])
    isLying = true
    const tx = await signed(node())
    await machine.post(tx)
    await node().rpc('sendrawtransaction', tx.toHex())
    const { txid } = await node().fund(script, 1_000)
    const [block] = await node().generate(1)
    await expect.poll(() => machine.tip('grid'), WAIT).toBe(block)
    await expect.poll(() => machine.newest('shop', tx.id('hex')), WAIT).toMatchObject({ status: 'mined', blockHash: block, proven: true })
    expect(await machine.newest('grid', txid)).toMatchObject({ status: 'mined', blockHash: block })
    expect(machine.complaints.join('\n')).toContain('following the chain by the liar')
    for (const path of ['grid', '_chain', 'shop']) {
      for (const entry of await machine.entries(path)) {
        const hash = entry.kind === 'block' ? entry.hash : 'blockHash' in entry ? entry.blockHash : undefined
        if (hash !== undefined)
          expect((await node().rpc<{ confirmations: number }>('getblockheader', hash)).confirmations, path).toBeGreaterThan(0)
      }
    }
  })

  it('shows a shorter chain: what is known stays until another one is longer', async () => {
    const honest = sourceOf(node())
    let most = Number.POSITIVE_INFINITY
    let looks = 0
    const behind = changed(honest, {
      name: 'the one behind',
      async tip() {
        const { height, hash } = await honest.tip()
        if (height > most) looks++
        return height <= most ? { height, hash } : { height: most, hash: await node().rpc<string>('getblockhash', most) }
      },
      headers: async (from, limit) => (await honest.headers(from, limit)).filter(({ height }) => height <= most),
    })
    await using machine = await FollowingSidecar.open({ sources: [behind] })
    const tx = await signed(node())
    await machine.post(tx)
    await node().rpc('sendrawtransaction', tx.toHex())
    const [block] = await node().generate(1)
    const txid = tx.id('hex')
    await expect.poll(() => machine.newest('shop', txid), WAIT).toMatchObject({ status: 'mined', blockHash: block })
    most = (await node().rpc<number>('getblockcount')) - 3
    await node().generate(1)
    await expect.poll(() => looks, WAIT).toBeGreaterThan(10)
    expect(await machine.newest('shop', txid)).toMatchObject({ status: 'mined', blockHash: block })
    most = Number.POSITIVE_INFINITY
    const [next] = await node().generate(1)
    await expect.poll(() => machine.tip(), WAIT).toBe(next)
    expect((await machine.said('shop', txid)).at(-1)).toMatchObject({ status: 'mined', blockHash: block })
    expect((await machine.entries('_chain')).filter(({ kind }) => kind === 'reorg')).toEqual([])
  })

  it('is reorganised while a block is read: the block that is no longer there is left, and the new ones are read', async () => {
    const honest = sourceOf(node())
    let reorganise: (() => Promise<void>) | undefined
    let mined: string[] = []
    const source = changed(honest, {
      async *block(place) {
        const during = reorganise
        reorganise = undefined
        const bytes = await whole(honest.block(place))
        yield bytes.subarray(0, 90)
        await during?.()
        yield bytes.subarray(90)
      },
    })
    const script = freshScript().toHex()
    await using machine = await FollowingSidecar.open({ sources: [source], grids: [gridOf(script)] })
    await expect.poll(() => machine.tip('grid'), WAIT).toBe(await node().rpc<string>('getbestblockhash'))
    const { txid } = await node().fund(script, 1_000)
    await expect.poll(async () => (await machine.newest('grid', txid))?.status, WAIT).toBe('seen')
    reorganise = async () => {
      await node().rpc('invalidateblock', await node().rpc('getbestblockhash'))
      mined = await node().generate(2)
    }
    const [lost] = await node().generate(1)
    await expect.poll(() => machine.tip('grid'), WAIT).toSatisfy((hash) => hash !== undefined && hash === mined.at(-1))
    const said = (await machine.said('grid', txid)).map(({ status, blockHash }) =>
      blockHash === undefined ? status : `${status} ${blockHash}`,
    )
    expect(said).toEqual(['seen', `mined ${lost}`, 'seen', `mined ${mined[0]}`])
  })
})
