import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readHeader } from '../../shared/chain/header.ts'
import { FolderSource } from '../../sidecar/chain/folder.ts'
import { NodeSource } from '../../sidecar/chain/node.ts'
import type { ChainSource } from '../../sidecar/chain/source.ts'
import type { RegtestNode } from '../bitcoin/node.ts'
import { nodeOr } from '../bitcoin/node-or-skip.ts'

const FIRST_OF_ALL = '00'.repeat(32)
const network = 'regtest'
const pollMs = 20

/** A source beside a node, and what brings the node's new blocks to it. */
interface Side {
  conf?: string[]
  open: (node: RegtestNode, folder: string) => ChainSource
  bring?: (node: RegtestNode, folder: string, hashes: string[]) => Promise<void>
}

const nodeSource = ({ url, user, password }: RegtestNode) => new NodeSource({ url, user, password, network, pollMs })

const SIDES: Record<string, Side> = {
  'a node': { open: nodeSource },
  'a node without its REST door': { conf: ['rest=0'], open: nodeSource },
  'the block files of a node': { open: (node) => new FolderSource({ folder: join(node.folder, 'regtest/blocks'), network, pollMs }) },
  'a folder of raw blocks': { open: (_, folder) => new FolderSource({ folder, network, pollMs }), bring: writeBlocks },
}

describe.each(Object.entries(SIDES))('%s as a source of the chain', (_, { conf, open, bring }) => {
  const node = nodeOr({ blocks: 5, ...(conf && { conf }) })
  const folder = mkdtempSync(join(tmpdir(), 'overpool-blocks-'))
  let source: ChainSource | undefined
  const mine = async (count: number): Promise<string[]> => {
    const hashes = await node().generate(count)
    await bring?.(node(), folder, hashes)
    return hashes
  }
  beforeAll(async () => {
    if (node() === undefined) return
    const { blocks } = await node().rpc<{ blocks: number }>('getblockchaininfo')
    const all = await Promise.all(Array.from({ length: blocks + 1 }, (_, height) => node().rpc<string>('getblockhash', height)))
    await bring?.(node(), folder, all.toReversed()) // in any order
    source = open(node(), folder)
  })
  afterAll(async () => {
    await source?.close()
    rmSync(folder, { recursive: true })
  })

  it('gives the tip, and all headers up to it', async () => {
    const [hash] = await mine(1)
    expect(await source!.tip()).toEqual({ height: 6, hash })
    const headers = await source!.headers(0, 100)
    expect(headers.map(({ height }) => height)).toEqual([0, 1, 2, 3, 4, 5, 6])
    const read = headers.map(({ header }) => readHeader(header))
    expect(read.map(({ previous }) => previous)).toEqual([FIRST_OF_ALL, ...read.slice(0, -1).map(({ hash }) => hash)])
    expect(read.at(-1)!.hash).toBe(hash)
    expect(await source!.headers(2, 3)).toEqual(headers.slice(2, 5))
    expect(await source!.headers(7, 3)).toEqual([])
  })

  it('gives the bytes of a block, and none of one that it does not know', async () => {
    const tip = await source!.tip()
    expect(await hexOf(source!.block!(tip))).toBe(await node().rpc('getblock', tip.hash, 0))
    await expect(hexOf(source!.block!({ height: 3, hash: FIRST_OF_ALL }))).rejects.toMatchObject({ code: 'UNAVAILABLE', retryable: true })
  })

  it('finds the header of a block on its best chain alone', async () => {
    const tip = await source!.tip()
    expect(await source!.headerOf(tip.hash)).toEqual((await source!.headers(tip.height, 1))[0])
    expect(await source!.headerOf(FIRST_OF_ALL)).toBeUndefined()
    await node().rpc('invalidateblock', tip.hash)
    const [first, second] = await mine(2)
    expect(await source!.tip()).toEqual({ height: tip.height + 1, hash: second })
    expect((await source!.headers(tip.height, 5)).map(({ header }) => readHeader(header).hash)).toEqual([first, second])
    expect(await source!.headerOf(tip.hash)).toBeUndefined()
  })

  it('calls back at the beginning, and when there is a new block, until it is told to stop', async () => {
    const stop = new AbortController()
    let called = 0
    let wake = () => {}
    source!.watch(({ block }) => {
      if (block) called++
      wake()
    }, stop.signal)
    const until = async (count: number) => {
      while (called < count)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
    }
    await until(1)
    await mine(1)
    await until(2)
    stop.abort()
    const before = called
    await mine(1)
    await source!.tip()
    expect(called).toBe(before)
  })
})

/** Writes blocks as FolderSource wants them: under another name first. */
async function writeBlocks(node: RegtestNode, folder: string, hashes: string[]): Promise<void> {
  for (const hash of hashes) {
    const { height } = await node.rpc<{ height: number }>('getblockheader', hash)
    const name = join(folder, `${height}-${hash}.bin`)
    writeFileSync(`${name}.part`, Buffer.from(await node.rpc<string>('getblock', hash, 0), 'hex'))
    renameSync(`${name}.part`, name)
  }
}

async function hexOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts).toString('hex')
}
