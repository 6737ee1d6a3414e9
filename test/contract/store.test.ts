import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../shared/clock.ts'
import { type Block, encodeBlock, isLost } from '../../shared/ledger/block.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import type { EntryId } from '../../shared/ledger/kinds.ts'
import type { KeptStatus } from '../../shared/ledger/status.ts'
import { PAGE_BYTES } from '../../shared/store/blocks.ts'
import { damagedBlock, haltDamaged } from '../../shared/store/checksum.ts'
import type { NewPool } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import { type Cursor, type DeadLetter, NO_CURSOR } from '../../shared/store/progress.ts'
import type { Receipt } from '../../shared/store/receipts.ts'
import { allStatuses, MAX_STATUSES } from '../../shared/store/statuses.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { scanTransaction } from '../../shared/transaction/scan.ts'
import { until } from '../machine/machine.ts'
import { flipped, SIDES, type Side } from './sides.ts'

describe.each(SIDES)('the mirror on %s', (_, make) => {
  let side: Side
  let stores: Stores
  /** the same stores, as another process opens them */
  let other: Stores
  let now = 1_700_000_000_000
  let elapsed = 0
  const pass = (ms: number) => {
    now += ms
    elapsed += ms
  }
  beforeAll(async () => {
    side = await make()
    const clock = { ...systemClock, now: () => now, elapsed: () => elapsed }
    stores = side.stores(clock)
    other = side.stores(clock)
  })
  afterAll(() => side?.close())

  let pools = 0
  /** A pool of the test's own. */
  async function freshPool(): Promise<string> {
    const path = `pool-${pools++}`
    await stores.control.create({ kind: 'own', path, key: key(), discoveryKey: key(), createdAt: now })
    return path
  }

  describe('blocks', () => {
    it('puts a block into a free place, and returns it', async () => {
      const pool = await freshPool()
      const block = blockOf(0, 0, 3)
      expectSame(await stores.blocks.put(pool, block), block)
      expectSame((await other.blocks.read(pool, 0))[0], block)
    })

    it('returns the existing block and leaves it unchanged', async () => {
      const pool = await freshPool()
      const [first, second] = [blockOf(0, 0, 1), blockOf(0, 0, 2)]
      await stores.blocks.put(pool, first)
      expectSame(await other.blocks.put(pool, second), first)
      expectSame(await stores.blocks.put(pool, second), first)
      expectSame(await stores.blocks.put(pool, first), first)
      expectSame(await other.blocks.last(pool), first)
    })

    it('does not read a block of which a bit has flipped: each read fails, and the pool is halted with a sentence', async () => {
      const pool = await freshPool()
      const all = [0, 1, 2, 3].map((n) => blockOf(n, n, 1))
      await stores.blocks.putAll(pool, all)
      await side.damage(pool, 2)
      expect((await stores.blocks.read(pool, 0)).map(({ n }) => n)).toEqual([0, 1])
      await expect(stores.blocks.read(pool, 2)).rejects.toMatchObject({ code: 'BLOCK_DAMAGED' })
      await expect(other.blocks.find(pool, 2)).rejects.toMatchObject({ code: 'BLOCK_DAMAGED' })
      await expect(other.blocks.put(pool, all[2]!)).rejects.toMatchObject({ code: 'BLOCK_DAMAGED' })
      expect((await stores.blocks.read(pool, 3)).map(({ n }) => n)).toEqual([3])
      const halted = await until(
        () => other.control.read(pool),
        (item) => item?.halted !== undefined,
      )
      expect(halted).toMatchObject({ halted: expect.stringContaining(`overpool repair ${pool}`), repair: { damaged: 2 } })
      expect((await stores.blocks.inspect(pool, 0, 10)).map(({ bytes }) => bytes !== undefined)).toEqual([true, true, false, true])
    })

    it('halts no pool for a block that was repaired after somebody had read it', async () => {
      const pool = await freshPool()
      await stores.blocks.putAll(
        pool,
        [0, 1].map((n) => blockOf(n, n, 1)),
      )
      await side.damage(pool, 1)
      const halt = async (n: number) => {
        await haltDamaged(stores.blocks, stores.control, pool, n, damagedBlock(pool, n))
        return (await other.control.read(pool))?.halted
      }
      expect(await halt(0)).toBeUndefined()
      await other.blocks.lose(pool, { n: 0, first: 0, count: 1 })
      expect(await halt(0), 'nor for a lost one').toBeUndefined()
      await other.control.update(pool, { repair: { at: 7 } })
      expect(await halt(1)).toContain('block 1')
      expect((await other.control.read(pool))?.repair, 'a repair that was asked for is not forgotten').toEqual({ at: 7, damaged: 1 })
    })

    it('finds the next blocks to inspect behind a gap of missing ones', async () => {
      const pool = await freshPool()
      await stores.blocks.put(pool, blockOf(100, 100, 1))
      expect((await stores.blocks.inspect(pool, 0, 1)).map(({ n }) => n)).toEqual([100])
    })

    it('puts good bytes in the place of a damaged block, or none if it is lost', async () => {
      const pool = await freshPool()
      const all = [0, 1].map((n) => blockOf(n, n, 1))
      await stores.blocks.putAll(pool, all)
      for (const n of [0, 1]) await side.damage(pool, n)
      await stores.blocks.replace(pool, all[0]!)
      expect(await stores.blocks.lose(pool, all[1]!)).toContain('damaged')
      const [good, lost] = await other.blocks.read(pool, 0)
      expectSame(good, all[0]!)
      expect(lost).toMatchObject({ n: 1, first: 1, count: 1 })
      expect(isLost(lost!)).toBe(true)
      expect(await side.aside(pool, 0)).toBeUndefined()
      const kept = await side.aside(pool, 1)
      expect(Buffer.compare(kept!, flipped(all[1]!.bytes)), 'the damaged bytes').toBe(0)
      expect(await other.blocks.lose(pool, all[1]!), 'a block that is lost already has none').toBeUndefined()
      expect(await side.aside(pool, 1)).toEqual(kept)
    })

    it('returns the existing large block and leaves it unchanged', async () => {
      const pool = await freshPool()
      const [first, second] = [bytesBlock(0, 0, 1, 100_000), bytesBlock(0, 0, 1, 100_000)]
      await stores.blocks.put(pool, first)
      expectSame(await other.blocks.put(pool, second), first)
      expectSame(await stores.blocks.put(pool, first), first)
      expectSame(await stores.blocks.put(pool, blockOf(0, 0, 1)), first)
    })

    it('lets exactly one of several simultaneous puts win, and returns the same block to all', async () => {
      const pool = await freshPool()
      for (let n = 0; n < 10; n++) {
        const answers = await Promise.all(
          [stores, other, stores, other].map(async (each) => {
            const put = bytesBlock(n, n, 1, 30)
            return { put, stands: await each.blocks.put(pool, put) }
          }),
        )
        const winner = answers[0]!.stands
        for (const { stands } of answers) expectSame(stands, winner)
        expect(answers.filter(({ put }) => Buffer.compare(put.bytes, winner.bytes) === 0)).toHaveLength(1)
        expectSame((await stores.blocks.read(pool, n))[0], winner)
      }
    })

    it('reads blocks from a number on, in order, up to the limit', async () => {
      const pool = await freshPool()
      const blocks = await putBlocks(stores, pool, new Array(120).fill(1))
      expectSameList(await other.blocks.read(pool, 0, 5), blocks.slice(0, 5))
      expectSameList(await other.blocks.read(pool, 8, 4), blocks.slice(8, 12))
      expectSameList(await other.blocks.read(pool, 3), blocks.slice(3, 67))
      expectSameList(await other.blocks.read(pool, 99, 200), blocks.slice(99))
      expectSameList(await other.blocks.read(pool, 119, 1), blocks.slice(119))
      expect(await other.blocks.read(pool, 120)).toEqual([])
      expect(await other.blocks.read('nobody', 0)).toEqual([])
    })

    it('reads large blocks a few at a time, at least one, and skips none', async () => {
      const pool = await freshPool()
      const blocks = [1_000, 3_000_000, 3_000_000, 900_000, 17_000, 16_000, 6_000_000, 1_000].map((size, n) => bytesBlock(n, n, 1, size))
      for (const block of blocks) await stores.blocks.put(pool, block)
      const read: Block[] = []
      while (read.length < blocks.length) {
        const page = await other.blocks.read(pool, read.length)
        expect(page.length).toBeGreaterThan(0)
        if (page.length > 1) expect(sizeOf(page.slice(0, -1))).toBeLessThanOrEqual(PAGE_BYTES)
        read.push(...page)
      }
      expectSameList(read, blocks)
    })

    it('returns the newest block', async () => {
      const pool = await freshPool()
      expect(await other.blocks.last(pool)).toBeUndefined()
      const blocks = await putBlocks(stores, pool, new Array(11).fill(2))
      expectSame(await other.blocks.last(pool), blocks[10])
      const large = bytesBlock(11, 22, 1, 200_000)
      await stores.blocks.put(pool, large)
      expectSame(await other.blocks.last(pool), large)
    })

    it('finds the block of an entry, also when blocks differ in size', async () => {
      const pool = await freshPool()
      const counts = [1, 1, 1, 256, 1, 1, 7, 1, 1, 1, 1, 1, 1, 1, 256, 256, 2, 1, 1, 1, 1, 1, 1, 30]
      const blocks = await putBlocks(stores, pool, counts)
      for (const block of blocks) {
        for (const seq of new Set([block.first, block.first + Math.floor(block.count / 2), block.first + block.count - 1]))
          expectSame(await other.blocks.find(pool, seq), block)
      }
      const length = counts.reduce((sum, count) => sum + count)
      for (const seq of [length, length + 1_000, -1]) expect(await other.blocks.find(pool, seq)).toBeUndefined()
      expect(await other.blocks.find('nobody', 0)).toBeUndefined()
    })

    it('finds the block of an entry in a pool that begins with a later block', async () => {
      const pool = await freshPool()
      const blocks = Array.from({ length: 9 }, (_, i) => bytesBlock(40 + i, 700 + 3 * i, 3, 100))
      for (const block of blocks) await stores.blocks.put(pool, block)
      for (const block of blocks) expectSame(await other.blocks.find(pool, block.first + 1), block)
      for (const seq of [0, 699, 727]) expect(await other.blocks.find(pool, seq)).toBeUndefined()
    })

    it('keeps pools apart whose names share a prefix', async () => {
      const [pool, longer] = [await freshPool(), `${await freshPool()}0`]
      const [block, another] = [blockOf(0, 0, 1), blockOf(0, 0, 2)]
      await stores.blocks.put(pool, block)
      await stores.blocks.put(longer, another)
      expectSameList(await stores.blocks.read(pool, 0), [block])
      expectSameList(await stores.blocks.read(longer, 0), [another])
    })
  })

  describe('receipts', () => {
    it('are found by key and id, and returned in the order of the request', async () => {
      const pool = await freshPool()
      const receipts = await putEntries(stores, pool, 3)
      expect(await other.receipts.find(pool, receipts.map(keysOf))).toEqual([undefined, undefined, undefined])
      await stores.receipts.put(pool, receipts)
      const [a, b, c] = receipts as [Receipt, Receipt, Receipt]
      const asked = [keysOf(c), { key: key(), id: a.id }, keysOf(a), { key: a.key, id: key() as EntryId }, keysOf(b), keysOf(c)]
      expect(await other.receipts.find(pool, asked)).toEqual([c, undefined, a, undefined, b, c])
      expect(await other.receipts.find(pool, [])).toEqual([])
      expect(await other.receipts.find(await freshPool(), [a])).toEqual([undefined])
    })

    it('are returned with their stored values, also when the request has stale ones', async () => {
      const pool = await freshPool()
      const [a, b, c] = (await putEntries(stores, pool, 3)) as [Receipt, Receipt, Receipt]
      await stores.receipts.put(pool, [a, b])
      const elsewhere = { ...b, seq: a.seq, block: a.block }
      const later = { ...a, seq: 1_000, block: 9 }
      expect(await other.receipts.find(pool, [b, later, elsewhere, c, a])).toEqual([b, a, b, undefined, a])
    })

    it('can be written again', async () => {
      const pool = await freshPool()
      const receipts = await putEntries(stores, pool, 4)
      await stores.receipts.put(pool, receipts)
      await other.receipts.put(pool, [...receipts, ...receipts])
      expect(await stores.receipts.find(pool, receipts)).toEqual(receipts)
      for (const receipt of receipts) expect(await stores.receipts.ofTransaction(pool, receipt.txid!)).toEqual([receipt])
      await stores.receipts.put(pool, [])
    })

    it('can be written and found by the hundred', async () => {
      const pool = await freshPool()
      const receipts = await putEntries(stores, pool, 256)
      await stores.receipts.put(pool, receipts)
      expect(await other.receipts.find(pool, receipts.map(keysOf))).toEqual(receipts)
      const missing = receipts.map(({ id }) => ({ key: key(), id }))
      expect(await other.receipts.find(pool, [...missing, ...receipts.map(keysOf)])).toEqual([...missing.map(() => undefined), ...receipts])
    })

    it('of an entry whose id does not depend on its transaction are found by the id as well', async () => {
      const pool = await freshPool()
      const [receipt] = (await putEntries(stores, pool, 1)) as [Receipt]
      const byId = { ...receipt, key: receipt.id }
      await stores.receipts.put(pool, [receipt, byId])
      expect(await other.receipts.find(pool, [byId, receipt].map(keysOf))).toEqual([byId, receipt])
      expect(await other.receipts.ofTransaction(pool, receipt.txid!)).toEqual([receipt])
    })

    it('of one transaction are listed oldest first, a hundred at most', async () => {
      const pool = await freshPool()
      const [one] = (await putEntries(stores, pool, 1)) as [Receipt]
      const same = await putEntries(stores, pool, 130, 'the same')
      await stores.receipts.put(pool, [one, ...same.toReversed()])
      expect(await other.receipts.ofTransaction(pool, same[0]!.txid!)).toEqual(same.slice(0, 100))
      expect(await other.receipts.ofTransaction(pool, one.txid!)).toEqual([one])
      expect(await other.receipts.ofTransaction(pool, key())).toEqual([])
    })

    it('of many transactions are found at once: the oldest of each', async () => {
      const pool = await freshPool()
      const others = await putEntries(stores, pool, 3)
      const same = await putEntries(stores, pool, 3, 'the same')
      await stores.receipts.put(pool, [...others, ...same].toReversed())
      const txids = [same[0]!.txid!, key(), ...others.map(({ txid }) => txid!).toReversed()]
      expect(await other.receipts.oldest(pool, txids)).toEqual([same[0], undefined, ...others.toReversed()])
      expect(await other.receipts.oldest(pool, [])).toEqual([])
    })
  })

  describe('statuses', () => {
    const txid = (n: number) => n.toString(16).padStart(64, '0')
    const hash = (n: number) => n.toString(16).padStart(64, 'f')
    const all = (read: (after?: string) => Promise<KeptStatus[]>) => Array.fromAsync(allStatuses(read), (status) => status.txid)

    it('keeps the newest status of each transaction, whatever order they come in', async () => {
      const pool = await freshPool()
      const sent: KeptStatus = { txid: txid(1), seq: 1, status: 'sent', by: 'arc' }
      const mined: KeptStatus = { txid: txid(1), seq: 5, status: 'mined', height: 7, blockHash: hash(1), proven: true }
      const local: KeptStatus = { txid: txid(2), seq: 2, status: 'local', reason: 'its time has not come' }
      await stores.statuses.put(pool, [sent, local])
      expect(await other.statuses.newest(pool, [txid(1), txid(3), txid(2)])).toEqual([sent, undefined, local])
      await stores.statuses.put(pool, [mined])
      await other.statuses.put(pool, [sent, mined]) // the effects of a block are repeated after a crash
      expect(await stores.statuses.newest(pool, [txid(1)])).toEqual([mined])
    })

    it('lists what is open, and what is mined in a block, by their newest statuses', async () => {
      const pool = await freshPool()
      const sent = [1, 2, 3, 4].map((n): KeptStatus => ({ txid: txid(n), seq: n, status: 'sent' }))
      await stores.statuses.put(pool, sent)
      await stores.statuses.put(pool, [
        { txid: txid(1), seq: 11, status: 'mined', height: 1, blockHash: hash(1), proven: true },
        { txid: txid(2), seq: 12, status: 'mined', height: 1, blockHash: hash(1) },
        { txid: txid(3), seq: 13, status: 'rejected', final: true, reason: 'bad-txns-vin-empty' },
      ])
      expect(await all((after) => other.statuses.open(pool, after))).toEqual([txid(2), txid(4)])
      expect(await all((after) => other.statuses.minedIn(pool, hash(1), after))).toEqual([txid(1), txid(2)])
      await stores.statuses.put(pool, [{ txid: txid(1), seq: 21, status: 'seen' }])
      expect(await all((after) => other.statuses.open(pool, after))).toEqual([txid(1), txid(2), txid(4)])
      expect(await all((after) => other.statuses.minedIn(pool, hash(1), after))).toEqual([txid(2)])
      await stores.statuses.forget(pool)
      expect(await all((after) => other.statuses.open(pool, after))).toEqual([])
      expect(await stores.statuses.newest(pool, [txid(1)])).toEqual([undefined])
    })

    it('lists any number of them, a page after the other', async () => {
      const pool = await freshPool()
      const many = Array.from({ length: MAX_STATUSES + 5 }, (_, n): KeptStatus => ({ txid: txid(n), seq: n, status: 'seen' }))
      await stores.statuses.put(pool, many)
      expect(await all((after) => stores.statuses.open(pool, after))).toEqual(many.map((status) => status.txid))
    })

    it('are forgotten when the pool begins anew, and all its blocks have their effects again', async () => {
      const pool = await freshPool()
      await stores.control.update(pool, { hasStatuses: true, checkpoint: 3 })
      await stores.statuses.put(pool, [{ txid: txid(1), seq: 1, status: 'sent' }])
      await stores.control.beginAnew(pool, blockOf(3, 3, 1))
      expect(await other.statuses.newest(pool, [txid(1)])).toEqual([undefined])
      expect(await other.control.read(pool)).toMatchObject({ checkpoint: 0, hasStatuses: true })
    })
  })

  describe('the control record of a pool', () => {
    it('is created once, and a second creator gets the existing one', async () => {
      const made: NewPool = { path: `pool-${pools++}`, kind: 'own', key: key(), discoveryKey: key(), createdAt: 5 }
      const stands = { ...made, checkpoint: 0, coreLength: 0, prunedBefore: 0 }
      expect(await stores.control.read(made.path)).toBeUndefined()
      expect(await stores.control.create(made)).toEqual(stands)
      expect(await other.control.create({ ...made, key: key(), createdAt: 6 })).toEqual(stands)
      expect(await other.control.read(made.path)).toEqual(stands)
    })

    it('is created once by many that try at the same time', async () => {
      const path = `pool-${pools++}`
      const makers = [stores, other, stores, other].map((each) =>
        each.control.create({ path, kind: 'own', key: key(), discoveryKey: key(), createdAt: now }),
      )
      expect(new Set((await Promise.all(makers)).map((pool) => pool.key)).size).toBe(1)
    })

    it('is listed by name', async () => {
      const path = await freshPool()
      await stores.control.update(path, { prunedBefore: 3 })
      const list = await other.control.list()
      expect(list.map((pool) => pool.path)).toEqual(list.map((pool) => pool.path).toSorted())
      expect(list.find((pool) => pool.path === path)).toEqual(await stores.control.read(path))
      expect(list.find((pool) => pool.path === path)).toMatchObject({ prunedBefore: 3 })
    })

    it('is changed only in the given fields', async () => {
      const path = await freshPool()
      const before = (await stores.control.read(path))!
      await stores.control.update(path, { checkpoint: 4, coreLength: 3, treeHash: 'aa', prunedBefore: 2, halted: 'for a reason' })
      const changed = { ...before, checkpoint: 4, coreLength: 3, treeHash: 'aa', prunedBefore: 2, halted: 'for a reason' }
      expect(await other.control.read(path)).toEqual(changed)
      await other.control.update(path, { coreLength: 7 })
      expect(await stores.control.read(path)).toEqual({ ...changed, coreLength: 7 })
      await other.control.update(path, { halted: undefined, checkpoint: 5 })
      const { halted: _halted, ...rest } = { ...changed, coreLength: 7, checkpoint: 5 }
      expect(await stores.control.read(path)).toEqual(rest)
      await other.control.update(path, {})
      expect(await stores.control.read(path)).toEqual(rest)
    })

    it('never goes back to an earlier checkpoint or core length, while other fields change', async () => {
      const path = await freshPool()
      await stores.control.update(path, { checkpoint: 10, coreLength: 10, treeHash: 'ten' })
      await other.control.update(path, { checkpoint: 9, coreLength: 11, treeHash: 'eleven', prunedBefore: 1 })
      expect(await stores.control.read(path)).toMatchObject({ checkpoint: 10, coreLength: 11, treeHash: 'eleven', prunedBefore: 1 })
      await other.control.update(path, { checkpoint: 12, coreLength: 8, treeHash: 'eight', halted: 'x' })
      expect(await stores.control.read(path)).toMatchObject({ checkpoint: 12, coreLength: 11, treeHash: 'eleven', halted: 'x' })
      await other.control.update(path, { checkpoint: 3 })
      await other.control.update(path, { coreLength: 3, treeHash: 'three' })
      expect(await stores.control.read(path)).toMatchObject({ checkpoint: 12, coreLength: 11, treeHash: 'eleven' })
    })

    it('of a shortened pool begins anew at its newest block, as do cursors and dead letters of later blocks', async () => {
      const path = await freshPool()
      await stores.control.update(path, {
        checkpoint: 4,
        coreLength: 4,
        treeHash: 'four',
        prunedBefore: 9,
        rebuild: true,
        desired: { publish: true },
      })
      await stores.progress.writeCursor('main', path, { seq: 8, block: 4, attempts: 1, begun: 2, stopped: 'it threw' }) // of an entry that is no longer there
      await stores.progress.writeCursor('coffee', path, { seq: 3, block: 1, attempts: 2 })
      const letter = { block: 1, error: 'it threw', attempts: 5, at: now }
      for (const seq of [4, 5]) await stores.progress.putDead('main', path, { ...letter, seq })
      const { key, discoveryKey, createdAt } = (await stores.control.read(path))!
      const same = { path, kind: 'own', key, discoveryKey, createdAt, coreLength: 0, desired: { publish: true } }

      await other.control.beginAnew(path, blockOf(1, 2, 3))
      expect(await stores.control.read(path)).toEqual({ ...same, checkpoint: 2, prunedBefore: 5 })
      expect(await stores.progress.readCursor('main', path)).toEqual({ seq: 4, block: 2, attempts: 0 })
      expect(await stores.progress.readCursor('coffee', path)).toEqual({ seq: 3, block: 1, attempts: 2 })
      expect((await stores.progress.listDead('main', path)).map(({ seq }) => seq)).toEqual([4])

      await other.control.beginAnew(path, blockOf(7, 20, 3))
      expect(await stores.control.read(path), 'a record of a pool that was not shortened stays unchanged').toEqual({
        ...same,
        checkpoint: 2,
        prunedBefore: 5,
      })
      await other.control.beginAnew(path, undefined)
      expect(await stores.control.read(path)).toEqual({ ...same, checkpoint: 0, prunedBefore: 0 })
      expect(await stores.progress.readCursor('coffee', path)).toEqual(NO_CURSOR)
      expect(await stores.progress.listDead('main', path)).toEqual([])
      await other.control.beginAnew('nobody', undefined)
      expect(await other.control.read('nobody')).toBeUndefined()
    })

    it('keeps both changes of two writers at the same time', async () => {
      const path = await freshPool()
      const patches = Array.from({ length: 20 }, (_, i) =>
        i % 2 ? stores.control.update(path, { checkpoint: i }) : other.control.update(path, { prunedBefore: i }),
      )
      await Promise.all([...patches, stores.control.update(path, { halted: 'x' })])
      expect(await other.control.read(path)).toMatchObject({ checkpoint: 19, halted: 'x' })
    })

    it('is not created by a change', async () => {
      await stores.control.update('nobody', { checkpoint: 1, halted: 'x' })
      expect(await other.control.read('nobody')).toBeUndefined()
    })
  })

  describe('a cursor', () => {
    it('is before the first entry until it is written', async () => {
      const pool = await freshPool()
      expect(await stores.progress.readCursor('main', pool)).toEqual(NO_CURSOR)
      await stores.progress.writeCursor('main', pool, { seq: 4, block: 2, attempts: 0 })
      expect(await other.progress.readCursor('main', pool)).toEqual({ seq: 4, block: 2, attempts: 0 })
    })

    it('moves forward, can change in its place, and never moves back', async () => {
      const pool = await freshPool()
      const write = (cursor: Cursor) => other.progress.writeCursor('main', pool, cursor)
      const read = () => stores.progress.readCursor('main', pool)
      await write({ ...NO_CURSOR, attempts: 1 })
      expect(await read()).toEqual({ seq: -1, block: 0, attempts: 1 })
      await write({ ...NO_CURSOR, attempts: 1, begun: 2 })
      expect(await read()).toEqual({ seq: -1, block: 0, attempts: 1, begun: 2 })
      await write({ seq: 4, block: 2, attempts: 3, stopped: 'it threw' })
      await write({ seq: 3, block: 1, attempts: 9 })
      await write({ seq: -1, block: 0, attempts: 0 })
      expect(await read()).toEqual({ seq: 4, block: 2, attempts: 3, stopped: 'it threw' })
      await write({ seq: 4, block: 2, attempts: 0 })
      expect(await read()).toEqual({ seq: 4, block: 2, attempts: 0 })
      await write({ seq: 10, block: 3, attempts: 0 })
      expect(await read()).toEqual({ seq: 10, block: 3, attempts: 0 })
    })

    it('and a request for a redrive leave each other unchanged', async () => {
      const pool = await freshPool()
      await stores.progress.askRedrive('main', pool, 1_000)
      expect(await other.progress.readCursor('main', pool)).toEqual({ ...NO_CURSOR, redrive: 1_000 })
      await other.progress.writeCursor('main', pool, { seq: 2, block: 1, attempts: 1, stopped: 'it threw', redrive: 5 })
      expect(await stores.progress.readCursor('main', pool)).toEqual({ seq: 2, block: 1, attempts: 1, stopped: 'it threw', redrive: 1_000 })
      await stores.progress.endRedrive('main', pool, { redrive: 1_000 })
      expect(await other.progress.readCursor('main', pool)).toEqual({ seq: 2, block: 1, attempts: 1, stopped: 'it threw' })
      await other.progress.writeCursor('main', pool, { seq: 3, block: 1, attempts: 0, redrive: 1_000 })
      expect(await other.progress.readCursor('main', pool)).toEqual({ seq: 3, block: 1, attempts: 0 })
    })

    it('keeps the latest request for a redrive, and the end of one redrive does not cancel a later request', async () => {
      const pool = await freshPool()
      await stores.progress.askRedrive('main', pool, 2_000)
      await other.progress.askRedrive('main', pool, 1_000)
      expect((await stores.progress.readCursor('main', pool)).redrive).toBe(2_000)
      await other.progress.endRedrive('main', pool, { redrive: 1_999 })
      expect((await stores.progress.readCursor('main', pool)).redrive).toBe(2_000)
      await other.progress.endRedrive('main', pool, { redrive: 2_000 })
      expect((await stores.progress.readCursor('main', pool)).redrive).toBeUndefined()
      await other.progress.endRedrive('nobody', pool, { redrive: 2_000 })
      expect(await stores.progress.readCursor('nobody', pool)).toEqual(NO_CURSOR)
    })

    it('keeps a request to retry some dead letters apart from one to retry all of them, and marks these letters alone', async () => {
      const pool = await freshPool()
      for (const seq of [1, 2, 3]) await stores.progress.putDead('main', pool, { seq, block: 0, error: 'x', attempts: 5, at: 7 })
      await stores.progress.askRedrive('main', pool, 3_000, [1, 3, 99])
      await other.progress.askRedrive('main', pool, 2_000, [3])
      await other.progress.askRedrive('main', pool, 1_000)
      expect(await other.progress.readCursor('main', pool)).toEqual({ ...NO_CURSOR, redrive: 1_000, redriveSome: 3_000 })
      const letters = await other.progress.listDead('main', pool)
      expect(letters.map(({ seq, asked }) => [seq, asked !== undefined])).toEqual([
        [1, true],
        [2, false],
        [3, true],
      ])
      await other.progress.writeCursor('main', pool, { seq: 2, block: 1, attempts: 0 })
      await other.progress.endRedrive('main', pool, { redrive: 1_000, redriveSome: 2_999 })
      expect(await stores.progress.readCursor('main', pool)).toEqual({ seq: 2, block: 1, attempts: 0, redriveSome: 3_000 })
      await other.progress.endRedrive('main', pool, { redriveSome: 3_000 })
      expect(await stores.progress.readCursor('main', pool)).toEqual({ seq: 2, block: 1, attempts: 0 })
    })

    it('and a pause leave each other unchanged; the newest reason counts', async () => {
      const pool = await freshPool()
      await stores.progress.writeCursor('main', pool, { seq: 2, block: 1, attempts: 1, stopped: 'it threw' })
      await stores.progress.setPaused('main', pool, { reason: 'a release', at: 5 })
      await stores.progress.setPaused('main', pool, { reason: '', at: 6 })
      await other.progress.writeCursor('main', pool, { seq: 3, block: 1, attempts: 0, paused: 'not by this', pausedAt: 9 })
      expect(await other.progress.readCursor('main', pool)).toEqual({ seq: 3, block: 1, attempts: 0, paused: '', pausedAt: 6 })
      await other.progress.askRedrive('main', pool, 1_000)
      await other.progress.setPaused('main', pool, undefined)
      expect(await stores.progress.readCursor('main', pool)).toEqual({ seq: 3, block: 1, attempts: 0, redrive: 1_000 })
      await stores.progress.setPaused('new', pool, { reason: 'before its first entry', at: 5 })
      expect(await other.progress.readCursor('new', pool)).toEqual({ ...NO_CURSOR, paused: 'before its first entry', pausedAt: 5 })
    })

    it('belongs to a handler and a pool, and the handlers of a pool are listed', async () => {
      const [pool, another, empty] = [await freshPool(), await freshPool(), await freshPool()]
      await stores.progress.writeCursor('main', pool, { seq: 1, block: 1, attempts: 0 })
      await stores.progress.writeCursor('coffee', pool, { seq: 2, block: 1, attempts: 0 })
      await stores.progress.writeCursor('main', another, { seq: 3, block: 1, attempts: 0 })
      await stores.progress.askRedrive('tea', pool, 1_000)
      expect(await other.progress.readCursor('main', pool)).toMatchObject({ seq: 1 })
      expect(await other.progress.readCursor('coffee', pool)).toMatchObject({ seq: 2 })
      expect(await other.progress.readCursor('main', another)).toMatchObject({ seq: 3 })
      expect(await other.progress.listHandlers(pool)).toEqual(['coffee', 'main', 'tea'])
      expect(await other.progress.listHandlers(another)).toEqual(['main'])
      expect(await other.progress.listHandlers(empty)).toEqual([])
    })
  })

  describe('dead letters', () => {
    const letter = (seq: number): DeadLetter => ({ seq, block: seq, error: `Error: number ${seq}`, attempts: 5, at: now })

    it('are kept by entry, in order, until they are deleted', async () => {
      const pool = await freshPool()
      expect(await stores.progress.listDead('main', pool)).toEqual([])
      for (const seq of [100, 9, 10, 1_000_000]) await stores.progress.putDead('main', pool, letter(seq))
      expect(await other.progress.listDead('main', pool)).toEqual([9, 10, 100, 1_000_000].map(letter))
      await other.progress.putDead('main', pool, { ...letter(10), attempts: 6, error: 'Error: once more' })
      await other.progress.deleteDead('main', pool, 100)
      await other.progress.deleteDead('main', pool, 101)
      expect(await stores.progress.listDead('main', pool)).toEqual([
        letter(9),
        { ...letter(10), attempts: 6, error: 'Error: once more' },
        letter(1_000_000),
      ])
    })

    it('belong to a handler and a pool', async () => {
      const [pool, another] = [await freshPool(), await freshPool()]
      await stores.progress.putDead('main', pool, letter(1))
      await stores.progress.putDead('coffee', pool, letter(2))
      await stores.progress.putDead('main', another, letter(3))
      await other.progress.deleteDead('coffee', another, 3)
      expect(await other.progress.listDead('main', pool)).toEqual([letter(1)])
      expect(await other.progress.listDead('coffee', pool)).toEqual([letter(2)])
      expect(await other.progress.listDead('main', another)).toEqual([letter(3)])
    })
  })

  describe('a lease', () => {
    let shards = 0

    it('is held by one owner until another has seen it unchanged for its time, and the owner can renew it', async () => {
      const shard = `shard-${shards++}`
      expect(await stores.leases.take(shard, 'a', 1_000)).toBe(true)
      expect(await other.leases.take(shard, 'b', 1_000)).toBe(false)
      pass(900)
      expect(await stores.leases.take(shard, 'a', 1_000)).toBe(true)
      pass(200)
      expect(await other.leases.take(shard, 'b', 1_000)).toBe(false)
      pass(900)
      expect(await other.leases.take(shard, 'b', 1_000)).toBe(false)
      pass(100)
      expect(await other.leases.take(shard, 'b', 1_000)).toBe(true)
      expect(await stores.leases.take(shard, 'a', 1_000)).toBe(false)
    })

    it('is held as long, and no longer, when the clock is set back or forward', async () => {
      const hour = 3_600_000
      for (const jump of [-hour, hour]) {
        const shard = `shard-${shards++}`
        await stores.leases.take(shard, 'a', 1_000)
        now += jump
        expect(await other.leases.take(shard, 'b', 1_000)).toBe(false)
        now += jump
        pass(999)
        expect(await other.leases.take(shard, 'b', 1_000)).toBe(false)
        pass(1)
        expect(await other.leases.take(shard, 'b', 1_000)).toBe(true)
      }
    })

    it('is released by its owner only', async () => {
      const shard = `shard-${shards++}`
      await stores.leases.take(shard, 'a', 1_000)
      await other.leases.release(shard, 'b')
      expect(await other.leases.take(shard, 'b', 1_000)).toBe(false)
      await stores.leases.release(shard, 'a')
      expect(await other.leases.take(shard, 'b', 1_000)).toBe(true)
      await stores.leases.release('nobody', 'a')
    })

    it('is taken by one of many at the same time, and each shard has its own', async () => {
      const shard = `shard-${shards++}`
      const taken = await Promise.all(Array.from({ length: 8 }, (_, i) => (i % 2 ? stores : other).leases.take(shard, `owner ${i}`, 1_000)))
      expect(taken.filter(Boolean)).toHaveLength(1)
      expect(await stores.leases.take(`shard-${shards++}`, 'a', 1_000)).toBe(true)
    })
  })
})

// ---- blocks and entries

let entries = 0

/** A block of entries with transactions of their own. */
function blockOf(n: number, first: number, count: number, text?: string): Block {
  return encodeBlock(
    n,
    first,
    Array.from({ length: count }, () =>
      encodeEntry({
        kind: 'tx',
        id: key() as EntryId,
        at: 1_700_000_000_000,
        tx: Buffer.from(sampleTransaction(text ?? `entry ${entries++}`), 'hex'),
        payment: {},
        source: 'http',
        hops: 0,
      }),
    ),
  )
}

/** A block of random bytes: the mirror does not look at them. */
function bytesBlock(n: number, first: number, count: number, size: number): Block {
  return { n, first, count, bytes: randomBytes(size) }
}

/** Puts one block for each count of entries. */
async function putBlocks(stores: Stores, pool: string, counts: number[]): Promise<Block[]> {
  const blocks: Block[] = []
  let first = 0
  for (const [n, count] of counts.entries()) {
    blocks.push(bytesBlock(n, first, count, 100))
    first += count
  }
  await Promise.all(blocks.map((block) => stores.blocks.put(pool, block)))
  return blocks
}

/** Appends a block of entries to a pool; returns their receipts, which it does not write. */
async function putEntries(stores: Stores, pool: string, count: number, text?: string): Promise<Receipt[]> {
  const last = await stores.blocks.last(pool)
  const [n, first] = last ? [last.n + 1, last.first + last.count] : [0, 0]
  const list = Array.from({ length: count }, () => ({
    id: key() as EntryId,
    tx: Buffer.from(sampleTransaction(text ?? `entry ${entries++}`), 'hex'),
  }))
  const encoded = list.map(({ id, tx }) => encodeEntry({ kind: 'tx', id, at: 1_700_000_000_000, tx, payment: {}, source: 'http', hops: 0 }))
  await stores.blocks.put(pool, encodeBlock(n, first, encoded))
  return list.map(({ id, tx }, i) => {
    const { txid } = scanTransaction(tx)
    return { key: txid, id, txid, seq: first + i, block: n }
  })
}

function key(): string {
  return randomBytes(32).toString('hex')
}

function expectSame(block: Block | undefined, expected: Block | undefined): void {
  expect(block && { ...block, bytes: Buffer.from(block.bytes).toString('base64') }).toEqual(
    expected && { ...expected, bytes: Buffer.from(expected.bytes).toString('base64') },
  )
}

function expectSameList(blocks: Block[], expected: Block[]): void {
  expect(blocks.map(({ n }) => n)).toEqual(expected.map(({ n }) => n))
  for (const [i, block] of blocks.entries()) expectSame(block, expected[i])
}

function sizeOf(blocks: Block[]): number {
  return blocks.reduce((sum, { bytes }) => sum + bytes.length, 0)
}

/** The fields by which a receipt is found, without the place of its entry. */
function keysOf({ key, id }: Receipt): Pick<Receipt, 'key' | 'id'> {
  return { key, id }
}
