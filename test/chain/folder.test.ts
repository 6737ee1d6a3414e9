import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readHeader } from '../../shared/chain/header.ts'
import { FolderSource } from '../../sidecar/chain/folder.ts'
import { HEADERS, mined, regtest } from './blocks.ts'

// The blocks here have no transactions that make sense: a folder looks at their headers alone. test/contract/chain.test.ts reads those of a node.

let folder: string
let source: FolderSource
let lines: string[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'overpool-blocks-'))
  lines = []
  source = new FolderSource({ folder, network: 'regtest', warn: (line) => lines.push(line) })
})
afterEach(async () => {
  await source.close()
  rmSync(folder, { recursive: true })
})

const hashOf = (header: Uint8Array) => readHeader(header).hash
const block = (header: Uint8Array) => Buffer.concat([header, Buffer.from('a block')])

/** As a node writes a block into its file. */
function record(bytes: Uint8Array): Buffer {
  const head = Buffer.from('fabfb5da00000000', 'hex')
  head.writeUInt32LE(bytes.length, 4)
  return Buffer.concat([head, bytes])
}

describe('a folder of raw blocks', () => {
  it('begins with the lowest block whose name has a height', async () => {
    for (const height of [9, 7, 8]) writeFileSync(join(folder, `${height}-${hashOf(regtest(height))}.bin`), block(regtest(height)))
    expect(await source.tip()).toEqual({ height: 9, hash: hashOf(regtest(9)) })
    expect((await source.headers(7, 5)).map(({ header }) => hashOf(header))).toEqual([7, 8, 9].map((height) => hashOf(regtest(height))))
    expect(await source.headers(6, 5)).toEqual([])
    expect(await source.headerOf(hashOf(regtest(8)))).toEqual({ height: 8, header: Buffer.from(regtest(8)) })
  })

  it('says what is missing where no height is known', async () => {
    await expect(source.tip()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('there is none yet') })
    writeFileSync(join(folder, 'some.bin'), block(regtest(7)))
    await expect(source.tip()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('<height>-<hash>.bin') })
  })

  it('reads the others when a file is bad, and tells of it once', async () => {
    writeFileSync(join(folder, '1-bad.bin'), 'no block')
    writeFileSync(join(folder, 'blk00000.dat'), 'no block either')
    writeFileSync(join(folder, '0-good.bin'), block(regtest(0)))
    expect(await source.tip()).toEqual({ height: 0, hash: hashOf(regtest(0)) })
    await source.tip()
    expect(lines).toEqual([
      expect.stringContaining('1-bad.bin: bad header'),
      expect.stringContaining('blk00000.dat: at byte 0 there is no block'),
    ])
  })

  it('waits for the rest of a block that a node is writing, and for files that begin later', async () => {
    const file = join(folder, 'blk00000.dat')
    const [first, second, third] = [0, 1, 2].map((height) => record(block(regtest(height))))
    writeFileSync(file, Buffer.concat([first!, second!.subarray(0, 50)]))
    expect((await source.tip()).height).toBe(0)
    appendFileSync(file, second!.subarray(50))
    expect((await source.tip()).height).toBe(1)
    appendFileSync(file, Buffer.alloc(1_000)) // a node makes its files longer than they are full
    writeFileSync(join(folder, 'blk00001.dat'), third!)
    expect(await source.tip()).toEqual({ height: 2, hash: hashOf(regtest(2)) })
    expect(lines).toEqual([])
  })

  it('takes the chain with more work, whatever came first', async () => {
    const branch = mined(regtest(3), 4, 'branch')
    const blocks = [...HEADERS.slice(0, 6), ...branch]
    writeFileSync(join(folder, 'blk00000.dat'), Buffer.concat(blocks.slice(0, -1).map((header) => record(block(header)))))
    expect((await source.tip()).height).toBe(6)
    appendFileSync(join(folder, 'blk00000.dat'), record(block(branch.at(-1)!)))
    expect(await source.tip()).toEqual({ height: 7, hash: hashOf(branch.at(-1)!) })
    expect(await source.headerOf(hashOf(regtest(5)))).toBeUndefined()
  })

  it('says which block is gone', async () => {
    const name = join(folder, '0-first.bin')
    writeFileSync(name, block(regtest(0)))
    const tip = await source.tip()
    rmSync(name)
    const read = async () => {
      for await (const _ of source.block(tip));
    }
    await expect(read()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining(tip.hash) })
  })
})
