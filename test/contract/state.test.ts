import { encode } from 'cborg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Stores } from '../../shared/store/port.ts'
import type { Cursor } from '../../shared/store/progress.ts'
import { journalOf, SHARED, type StateChange } from '../../shared/store/state.ts'
import { SIDES, type Side } from './sides.ts'

describe.each(SIDES)('the state of a handler, on %s', (_, make) => {
  let side: Side
  let stores: Stores
  /** the same, as another process opens it */
  let other: Stores
  beforeAll(async () => {
    side = await make()
    stores = side.stores()
    other = side.stores()
  })
  afterAll(() => side?.close())

  let n = 0
  const poolName = () => `pool-${n++}`
  const at = (seq: number): Cursor => ({ seq, block: 0, attempts: 0 })
  const value = (of: unknown) => encode(of)
  const change = (pool: string, seq: number, key: string, before: unknown, after: unknown): StateChange => ({
    pool,
    seq,
    key,
    before: before === undefined ? undefined : value(before),
    after: after === undefined ? undefined : value(after),
  })
  /** @param from where the cursor is thought to stand; default: where it stands */
  const commit = async (pool: string, seq: number, version: number, changes: StateChange[], scope = pool, from?: number) =>
    stores.progress.commit(
      'main',
      pool,
      { from: from ?? (await stores.progress.readCursor('main', pool)).seq, to: at(seq) },
      { scope, version, changes, at: 1_000 },
    )
  const journal = async (scope: string) => (await Array.fromAsync(journalOf(other.state, 'main', scope))).flat()

  it('changes with the cursor, and another process sees both', async () => {
    const pool = poolName()
    expect(await other.state.open('main', pool)).toBe(0)
    expect(
      await commit(pool, 3, 0, [change(pool, 2, 'a', undefined, 1), change(pool, 3, 'b', undefined, 'text'), change(pool, 3, 'a', 1, 2)]),
    ).toBe(true)
    expect(await other.progress.readCursor('main', pool)).toMatchObject({ ...at(3), version: 1 })
    expect(await other.state.open('main', pool)).toBe(1)
    expect(await other.state.get('main', pool, 'a')).toEqual(value(2))
    expect(await other.state.get('main', pool, 'b')).toEqual(value('text'))
    expect(await other.state.get('main', pool, 'c')).toBeUndefined()
    expect(await other.state.get('another', pool, 'a')).toBeUndefined()
    expect(await commit(pool, 4, 1, [change(pool, 4, 'a', 2, undefined)])).toBe(true)
    expect(await other.state.get('main', pool, 'a')).toBeUndefined()
    expect(await other.state.open('main', pool)).toBe(2)
  })

  it('does not change for a run that read an earlier version, or that knows another place of the cursor', async () => {
    const pool = poolName()
    expect(await commit(pool, 3, 0, [change(pool, 3, 'a', undefined, 1)])).toBe(true)
    expect(await commit(pool, 4, 0, [change(pool, 4, 'a', undefined, 7)])).toBe(false)
    for (const from of [-1, 2, 4]) expect(await commit(pool, 5, 1, [change(pool, 5, 'a', 1, 7)], pool, from)).toBe(false)
    expect(await stores.state.open('main', pool)).toBe(1)
    expect(await stores.state.get('main', pool, 'a')).toEqual(value(1))
    expect(await stores.progress.readCursor('main', pool)).toMatchObject({ ...at(3), version: 1 })
    expect(await journal(pool)).toHaveLength(1)
  })

  it('changes with the end of a dead letter, and the cursor stays', async () => {
    const pool = poolName()
    await stores.progress.writeCursor('main', pool, at(9))
    await stores.progress.putDead('main', pool, { seq: 4, block: 0, error: 'it threw', attempts: 1, at: 1 })
    const state = { scope: pool, version: 0, changes: [change(pool, 4, 'a', undefined, 1)], at: 1 }
    expect(await stores.progress.commit('main', pool, 4, state)).toBe(true)
    expect(await stores.progress.commit('main', pool, 4, { ...state, changes: [change(pool, 4, 'a', undefined, 2)] })).toBe(false)
    expect(await other.progress.listDead('main', pool)).toEqual([])
    expect(await other.progress.readCursor('main', pool)).toMatchObject({ seq: 9, version: 1 })
    expect(await other.state.get('main', pool, 'a')).toEqual(value(1))
  })

  it('changes with the cursor and the dead letters: one that is made, and those of entries that work now', async () => {
    const pool = poolName()
    const letter = (seq: number) => ({ seq, block: 0, error: 'it threw', attempts: 1, at: 1 })
    for (const seq of [1, 2, 3]) await stores.progress.putDead('main', pool, letter(seq))
    const move = { from: -1, to: at(5), handled: [1, 3], givenUp: letter(5) }
    expect(await stores.progress.commit('main', pool, move, { scope: pool, version: 0, changes: [], at: 1 })).toBe(true)
    expect(await other.progress.listDead('main', pool)).toEqual([letter(2), letter(5)])
    const late = { from: -1, to: at(6), handled: [2], givenUp: letter(6) }
    expect(await stores.progress.commit('main', pool, late, { scope: pool, version: 1, changes: [], at: 1 })).toBe(false)
    await stores.progress.updateDead('main', pool, { ...letter(2), error: 'it threw again' })
    await stores.progress.updateDead('main', pool, letter(7))
    expect(await other.progress.listDead('main', pool)).toEqual([{ ...letter(2), error: 'it threw again' }, letter(5)])
  })

  it('can be one for all pools, each with its cursor', async () => {
    const [one, two] = [poolName(), poolName()]
    const all = `${SHARED}${one}` // a scope of this test alone
    expect(await commit(one, 3, 0, [change(one, 3, 'a', undefined, 1)], all)).toBe(true)
    expect(await commit(two, 5, 1, [change(two, 5, 'a', 1, 2)], all)).toBe(true)
    expect(await commit(two, 6, 1, [change(two, 6, 'a', 1, 3)], all)).toBe(false)
    expect(await other.progress.readCursor('main', one)).toEqual(at(3))
    expect(await other.progress.readCursor('main', two)).toEqual(at(5))
    expect(await other.state.open('main', all)).toBe(2)
    expect(await other.state.get('main', all, 'a')).toEqual(value(2))
  })

  it('keeps bytes, and texts that look like names of its own', async () => {
    const pool = poolName()
    const keys = ['#', '#version', 'a#b', 'pending', 'ä', '\u{1f600}', ' ', '0', 'x'.repeat(512)]
    expect(
      await commit(
        pool,
        0,
        0,
        keys.map((key) => change(pool, 0, key, undefined, new Uint8Array([0, 255]))),
      ),
    ).toBe(true)
    for (const key of keys) expect(await other.state.get('main', pool, key)).toEqual(value(new Uint8Array([0, 255])))
  })

  it('is listed in the order of the keys, from a key on, by prefix and with a limit', async () => {
    const pool = poolName()
    const keys = ['b', 'a/2', 'a/1', 'a/', 'c', 'a', 'a/\u{1f600}', 'a/\uffee']
    await commit(
      pool,
      0,
      0,
      keys.map((key, i) => change(pool, 0, key, undefined, i)),
    )
    await commit(pool, 1, 1, [change(pool, 1, 'a/1', 2, undefined)])
    const list = async (range: { prefix?: string; after?: string; limit?: number }) =>
      (await other.state.list('main', pool, { limit: 100, ...range })).map(({ key }) => key)
    expect(await list({})).toEqual(['a', 'a/', 'a/2', 'a/\uffee', 'a/\u{1f600}', 'b', 'c'])
    expect(await list({ prefix: 'a/' })).toEqual(['a/', 'a/2', 'a/\uffee', 'a/\u{1f600}'])
    expect(await list({ prefix: 'a/', after: 'a/' })).toEqual(['a/2', 'a/\uffee', 'a/\u{1f600}'])
    expect(await list({ prefix: 'a/', limit: 2 })).toEqual(['a/', 'a/2'])
    expect(await list({ after: 'b' })).toEqual(['c'])
    expect(await list({ prefix: 'b', after: 'a' })).toEqual(['b'])
    expect(await list({ prefix: 'd' })).toEqual([])
  })

  it('has a journal with each change, the newest first', async () => {
    const pool = poolName()
    const mined = { ...change(pool, 1, 'a', 1, 2), height: 7, blockHash: 'ab'.repeat(32) }
    const undo = { ...change(pool, 2, 'a', 2, 1), undoes: ['ab'.repeat(32)] }
    await commit(pool, 1, 0, [change(pool, 0, 'a', undefined, 1), mined])
    await commit(pool, 2, 1, [undo])
    expect(await journal(pool)).toEqual([
      { ...undo, version: 2 },
      { ...mined, version: 1 },
      { ...change(pool, 0, 'a', undefined, 1), version: 1 },
    ])
  })

  it('has a journal of any length', async () => {
    const pool = poolName()
    for (let i = 0; i < 6; i++) {
      const changes = Array.from({ length: 100 }, (_, j) => change(pool, i * 100 + j, `key ${j}`, i * 100 + j, i * 100 + j + 1))
      expect(await commit(pool, i * 100 + 99, i, changes)).toBe(true)
    }
    expect((await journal(pool)).map(({ seq }) => seq)).toEqual(Array.from({ length: 600 }, (_, i) => 599 - i))
  })

  it('of two runs that commit side by side, one holds', async () => {
    const pool = poolName()
    for (let round = 0; round < 10; round++) {
      const held = await Promise.all(
        [stores, other].map(({ progress }, i) =>
          progress.commit(
            'main',
            pool,
            { from: round - 1, to: at(round) },
            {
              scope: pool,
              version: round,
              changes: [change(pool, round, 'who', undefined, `${round}.${i}`)],
              at: 1,
            },
          ),
        ),
      )
      expect(held.filter(Boolean)).toHaveLength(1)
      expect(await stores.state.open('main', pool)).toBe(round + 1)
      expect(await stores.state.get('main', pool, 'who')).toEqual(value(`${round}.${held.indexOf(true)}`))
    }
  })
})
