import { describe, expect, it } from 'vitest'
import { HeaderChain, readHeader, targetOf } from '../../shared/chain/header.ts'
import { randomFrom, seed } from '../random.ts'
import { GENESIS, HEADERS, mined, regtest } from './blocks.ts'

const clock = { now: () => 2_000_000_000_000 }

describe('a header', () => {
  it('is read, with its hash as people write it', () => {
    const genesis = readHeader(GENESIS)
    expect(genesis).toMatchObject({
      hash: '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
      previous: '0'.repeat(64),
      merkleRoot: '4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b',
      version: 1,
      time: 1_231_006_505,
      bits: 0x1d00ffff,
      nonce: 2_083_236_893,
      work: 0x100010001n,
    })
  })

  it.each([
    ['79 bytes', GENESIS.subarray(0, 79), 'it has 79 bytes, not 80'],
    ['81 bytes', Buffer.concat([GENESIS, Buffer.of(0)]), 'it has 81 bytes, not 80'],
    ['another nonce', changed(GENESIS, 76, 0), 'does not meet the target of its bits 1d00ffff'],
    ['a target of 0', changed(GENESIS, 72, 0x1d000000), 'its bits 1d000000 are a target of 0'],
    ['a negative target', changed(GENESIS, 72, 0x04923456), 'its bits 04923456 are a negative target'],
    ['a target above 2^256', changed(GENESIS, 72, 0xff123456), 'its bits ff123456 are a target above 2^256'],
  ])('with %s is refused', (_, bytes, message) => {
    expect(() => readHeader(bytes)).toThrow(expect.objectContaining({ code: 'BAD_HEADER', message: expect.stringContaining(message) }))
  })

  it('has the target that its bits stand for, as nodes compute it', () => {
    // arith_uint256_tests of Bitcoin's node: SetCompact
    const known: [number, bigint][] = [
      [0x01120000, 0x12n],
      [0x02123400, 0x1234n],
      [0x03123456, 0x123456n],
      [0x04123456, 0x12345600n],
      [0x05009234, 0x92340000n],
      [0x20123456, 0x123456n << 232n],
      [0x2100ffff, 0xffffn << 240n],
      [0x220000ff, 0xffn << 248n],
    ]
    for (const [bits, target] of known) expect(targetOf(bits), bits.toString(16)).toBe(target)
    for (const bits of [0x21010000, 0x22000100, 0x23000001]) expect(() => targetOf(bits)).toThrow('above 2^256')
    for (const bits of [0, 0x00123456, 0x01003456, 0x02000056, 0x03000000, 0x00923456, 0x01803456])
      expect(() => targetOf(bits), bits.toString(16)).toThrow('a target of 0')
    for (const bits of [0x01fedcba, 0x04923456]) expect(() => targetOf(bits)).toThrow('negative')
  })
})

describe('a chain of headers', () => {
  const begin = () => new HeaderChain({ start: { height: 0, header: regtest(0) }, network: 'regtest', clock })

  it('takes the headers of a real node', () => {
    const chain = begin()
    const change = chain.add(HEADERS)
    expect(change?.fork.height).toBe(0)
    expect(change?.undone).toEqual([])
    expect(change?.added.map(({ height }) => height)).toEqual(HEADERS.slice(1).map((_, i) => i + 1))
    expect(chain.tip.hash).toBe(readHeader(HEADERS.at(-1)!).hash)
    expect(chain.at(3)?.hash).toBe(readHeader(HEADERS[3]!).hash)
    expect(chain.at(HEADERS.length)).toBeUndefined()
    expect(chain.isBest(chain.at(7)!.hash)).toBe(true)
    expect(chain.add(HEADERS)).toBeUndefined()
  })

  it('follows the chain with the most work, and says what is undone and what is new', () => {
    const chain = begin()
    const common = mined(regtest(0), 3)
    const [old, other] = [mined(common.at(-1)!, 2, 'old'), mined(common.at(-1)!, 4, 'other')]
    chain.add([...common, ...old])
    const was = chain.tip.hash
    expect(chain.add(other.slice(0, 2)), 'as much work, but later').toBeUndefined()
    expect(chain.tip.hash).toBe(was)
    expect(hashes(chain.forkPoint(readHeader(other[1]!).hash))).toEqual(hashes(common.at(-1)!))

    const change = chain.add([other[2]!])!
    expect(hashes(change.fork)).toEqual(hashes(common.at(-1)!))
    expect(hashes(...change.undone)).toEqual(hashes(...old.toReversed()))
    expect(hashes(...change.added)).toEqual(hashes(...other.slice(0, 3)))
    expect(change.added.map(({ height }) => height)).toEqual([4, 5, 6])
    expect(chain.isBest(was)).toBe(false)
    expect(chain.get(was)?.height).toBe(5)
    expect(chain.at(5)?.hash).toBe(readHeader(other[1]!).hash)
    // One who was away for the change learns the same.
    expect(chain.changeSince(was)).toEqual(change)
    expect(chain.changeSince('00'.repeat(32))).toBeUndefined()
    expect(chain.changeSince(chain.tip.hash)).toEqual({ fork: chain.tip, undone: [], added: [] })
  })

  it(`leads one who follows its changes to the best chain, however blocks branch (seed ${seed})`, () => {
    const random = randomFrom(seed)
    const chain = begin()
    const known = [{ header: regtest(0), height: 0, parent: -1 }]
    let best = 0
    const followed = [readHeader(regtest(0)).hash]
    for (let round = 0; round < 60; round++) {
      const batch: Buffer[] = []
      for (let left = Math.floor(random() * 4); left >= 0; left--) {
        const parent = Math.max(0, known.length - 1 - Math.floor(random() * 6))
        const { header: previous, height } = known[parent]!
        const [header] = mined(previous, 1, `${round} ${left}`)
        known.push({ header: header!, height: height + 1, parent })
        if (height + 1 > known[best]!.height) best = known.length - 1 // all have the same work
        batch.push(header!)
      }
      const change = chain.add(batch)
      for (const { hash } of change?.undone ?? []) expect(followed.pop()).toBe(hash)
      if (change) expect(followed.at(-1)).toBe(change.fork.hash)
      for (const { hash, height } of change?.added ?? []) expect(followed.push(hash)).toBe(height + 1)

      const expected: string[] = []
      for (let at = best; at >= 0; at = known[at]!.parent) expected.unshift(readHeader(known[at]!.header).hash)
      expect(followed).toEqual(expected)
      expect(expected.map((_, height) => chain.at(height)?.hash)).toEqual(expected)
      for (const { header, height } of known) {
        const { hash } = readHeader(header)
        expect(chain.isBest(hash)).toBe(expected[height] === hash)
        expect(chain.forkPoint(hash)!.height).toBeLessThanOrEqual(height)
      }
    }
    expect(known.length).toBeGreaterThan(100)
  })

  it('goes by work, not by length', () => {
    const chain = begin()
    const easy = mined(regtest(0), 5, 'easy')
    const hard = mined(regtest(0), 1, 'hard', 0x200fffff) // eight times the work
    chain.add(easy)
    expect(hashes(...chain.add(hard)!.undone)).toEqual(hashes(...easy.toReversed()))
    expect(chain.tip.height).toBe(1)
    expect(chain.at(2)).toBeUndefined()
  })

  it('begins at any height', () => {
    const chain = new HeaderChain({ start: { height: 700_000, header: regtest(5) }, clock })
    chain.add(HEADERS.slice(6))
    expect(chain.tip.height).toBe(700_000 + HEADERS.length - 6)
  })

  it('adds all headers of a list, or none', () => {
    const chain = begin()
    const [first, , third] = mined(regtest(0), 3)
    expect(() => chain.add([first!, third!])).toThrow('which is not known')
    expect(chain.get(readHeader(first!).hash)).toBeUndefined()
    expect(chain.tip.height).toBe(0)
  })

  it('refuses a time that is not later than the median of the 11 before', () => {
    const chain = begin()
    const blocks = mined(regtest(0), 12)
    chain.add(blocks)
    const median = readHeader(blocks[6]!).time
    const early = mined(blocks.at(-1)!, 1, 'early', undefined, median)
    expect(() => chain.add(early)).toThrow(
      expect.objectContaining({ code: 'BAD_HEADER', message: expect.stringContaining('the median of the 11') }),
    )
    chain.add(mined(blocks.at(-1)!, 1, 'just late enough', undefined, median + 1))
    // A chain that begins in the middle does not know eleven: nothing can be said.
    const late = new HeaderChain({ start: { height: 5, header: blocks.at(-1)! }, clock })
    late.add(early)
    expect(late.tip.height).toBe(6)
  })

  it('refuses a time more than two hours ahead of the clock, and takes it when the clock is there', () => {
    let now = readHeader(regtest(0)).time
    const chain = new HeaderChain({ start: { height: 0, header: regtest(0) }, clock: { now: () => now * 1_000 } })
    const ahead = mined(regtest(0), 1, '', undefined, now + 7_201)
    expect(() => chain.add(ahead)).toThrow(expect.objectContaining({ code: 'BAD_HEADER', retryable: true }))
    now++
    expect(chain.add(ahead)?.added).toHaveLength(1)
  })

  it('refuses a target that is too easy for its network', () => {
    expect(() => new HeaderChain({ start: { height: 0, header: regtest(0) }, network: 'main' })).toThrow(
      'easier than the network main permits',
    )
    const chain = new HeaderChain({ start: { height: 0, header: GENESIS }, network: 'main', clock })
    expect(() => chain.add(mined(GENESIS, 1))).toThrow('easier than the network main permits')
  })

  it('forgets what is older than it keeps, with all that branches off there', () => {
    const chain = new HeaderChain({ start: { height: 0, header: regtest(0) }, clock, keep: 12 })
    const blocks = mined(regtest(0), 30)
    const branches = [mined(blocks[10]!, 9, 'dies'), mined(blocks[24]!, 3, 'lives')]
    chain.add(blocks.slice(0, 20))
    chain.add(branches[0]!.slice(0, 8))
    expect(chain.get(readHeader(branches[0]![7]!).hash)).toBeDefined()
    chain.add(blocks.slice(20))
    chain.add(branches[1]!)
    expect(chain.oldest).toBe(19)
    expect(chain.at(18)).toBeUndefined()
    expect(chain.at(19)?.hash).toBe(readHeader(blocks[18]!).hash)
    expect(chain.isBest(readHeader(blocks[17]!).hash)).toBe(false)
    for (const header of branches[0]!) expect(chain.get(readHeader(header).hash)).toBeUndefined()
    for (const header of branches[1]!) expect(chain.get(readHeader(header).hash)).toBeDefined()
    expect(() => chain.add([branches[0]![8]!])).toThrow('which is not known')
  })

  it('remembers no more blocks off the best chain than on it', () => {
    const chain = new HeaderChain({ start: { height: 0, header: regtest(0) }, clock, keep: 12 })
    chain.add(mined(regtest(0), 11))
    const branches = Array.from({ length: 30 }, (_, n) => mined(regtest(0), 1, `branch ${n}`)[0]!)
    for (const branch of branches) chain.add([branch])
    expect(branches.filter((branch) => chain.get(readHeader(branch).hash))).toHaveLength(12)
    expect(chain.tip.height).toBe(11)
  })
})

function hashes(...blocks: (Uint8Array | { hash: string } | undefined)[]): string[] {
  return blocks.map((block) => (block instanceof Uint8Array ? readHeader(block).hash : block!.hash))
}

function changed(header: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(header)
  copy.writeUInt32LE(value, at)
  return copy
}
