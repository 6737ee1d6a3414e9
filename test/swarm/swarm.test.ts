import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { cpSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readSeed } from '../../local/folder.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { CoreStore } from '../../sidecar/cores/core.ts'
import { until } from '../machine/machine.ts'
import { type Machine, Peers } from './peers.ts'

/** Entries, most in a block of their own: rebuilding the hypercore takes longer than connecting with a machine from `peers`. */
const COUNT = 4_000

const upTo = (count: number, from = 0) => Array.from({ length: count - from }, (_, i) => from + i)

async function post({ pool }: Machine, path: string, texts: string[]): Promise<void> {
  for (const text of texts) await pool.post({ path, payment: { transaction: sampleTransaction(text), memo: text } })
}

describe('a published pool', () => {
  it('reaches a subscriber from its first entry on, unchanged, in order, each entry once', async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    await post(alice, 'mypool', ['one', 'two', 'three'])
    const key = await alice.pool.pub({ path: 'mypool' })
    expect(key).toMatch(/^[0-9a-f]{64}$/)
    expect(await bob.pool.sub({ path: key })).toEqual({ path: key, key })
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 3,
    )
    await post(alice, 'mypool', ['four', 'five'])
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length >= 5,
    )
    expect(bob.seen(key)).toEqual([0, 1, 2, 3, 4])

    const ours = await alice.pool.tail({ path: 'mypool' })
    const theirs = await bob.pool.tail({ path: key })
    const plain = (events: object[]) => JSON.parse(JSON.stringify(events))
    expect(plain(theirs)).toEqual(plain(ours.map((event) => ({ ...event, path: key }))))
    expect(plain(bob.events)).toEqual(plain(theirs))
    expect((await bob.pool.get({ path: key, hash: ours[1]!.hash })).seq).toBe(1)
    expect((await Array.fromAsync(bob.pool.read({ path: key, from: 2, to: 4 }))).map(({ seq }) => seq)).toEqual([2, 3])
  })

  it('reaches several handlers, also those that are registered after sub', async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine()]
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    await bob.pool.sub({ path: key })
    await post(alice, 'mypool', ['one', 'two'])
    await until(
      () => bob.pool.tail({ path: key }),
      (events) => events.length === 2,
    )
    bob.listen().listen()
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 4,
    )
    expect(bob.seen(key).sort()).toEqual([0, 0, 1, 1])
  })

  it('can be subscribed to from now, or from an entry on', async () => {
    await using peers = await Peers.start()
    const [alice, bob, carol, dave] = [peers.machine(), peers.machine().listen(), peers.machine().listen(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    await post(alice, 'mypool', upTo(20).map(String))
    const key = await alice.pool.pub({ path: 'mypool' })
    await bob.pool.sub({ path: key, from: 'now' })
    await carol.pool.sub({ path: key, from: 7 })
    await dave.pool.sub({ path: key, from: 22 })
    await until(
      () => bob.pool.status(),
      ([pool]) => (pool?.network?.peers ?? 0) > 0 && pool!.behind !== undefined,
    )
    await until(
      () => carol.seen(key),
      (seqs) => seqs.length === 13,
    )
    await until(
      () => dave.pool.status(),
      ([pool]) => pool?.behind === 0,
    )
    await until(
      async () => (await bob.pool.status())[0]!.begins,
      (begins) => begins !== undefined,
    )
    expect((await bob.pool.status())[0]).toMatchObject({ entries: 0, behind: 0 }) // the 20 entries before its beginning are none that it waits for
    await post(alice, 'mypool', ['20', '21', '22'])
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 3,
    )
    await until(
      () => carol.seen(key),
      (seqs) => seqs.length === 16,
    )
    await until(
      () => dave.seen(key),
      (seqs) => seqs.length === 1,
    )
    expect(bob.seen(key)).toEqual([20, 21, 22])
    expect(carol.seen(key)).toEqual(upTo(23, 7))
    expect(dave.seen(key)).toEqual([22])
    expect((await carol.pool.tail({ path: key, size: 2 })).map(({ seq }) => seq)).toEqual([21, 22])
  })

  it('that is empty begins with its first entry for a subscription from now', async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    await bob.pool.sub({ path: key, from: 'now' })
    await until(
      async () => (await bob.pool.status())[0]!.begins,
      (begins) => begins !== undefined,
    )
    await post(alice, 'mypool', ['first'])
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 1,
    )
    expect(bob.seen(key)).toEqual([0])
  })

  it('goes on by itself when either side has been offline', async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    await bob.pool.sub({ path: key })
    await post(alice, 'mypool', ['0', '1'])
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 2,
    )

    await bob.pool.close()
    await post(alice, 'mypool', ['2', '3'])
    await bob.restart()
    bob.listen()
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 4,
    )

    await alice.restart()
    await alice.pool.create({ path: 'mypool', port: false })
    await post(alice, 'mypool', ['4'])
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 5,
      40_000,
    )
    expect(bob.seen(key)).toEqual([0, 1, 2, 3, 4])
  })

  it('is reported with its known length by a subscriber that has lost its hypercore', async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    await bob.pool.sub({ path: key })
    await post(alice, 'mypool', upTo(3).map(String))
    const { network: before } = (
      await until(
        () => bob.pool.status(),
        ([pool]) => pool?.entries === 3 && pool.behind === 0 && pool.network?.remoteLength !== 0,
      )
    )[0]!
    await alice.pool.close()
    await bob.pool.close()
    rmSync(join(bob.dir, 'cores'), { recursive: true })
    const restarted = Date.now()
    await bob.restart()
    await bob.pool.status() // it opens with the first call
    const [status] = await until(
      () => bob.pool.status(),
      ([pool]) => pool!.network!.at >= restarted,
    )
    expect(status).toMatchObject({ behind: 0, network: { peers: 0, remoteLength: before!.remoteLength } })
  })

  it('whose hypercore was lost is rebuilt completely from the mirror, while subscribers connect at once', async () => {
    await using peers = await Peers.start()
    const bob = peers.machine().listen()
    await bob.pool.create({ path: 'bobs', port: false })
    await bob.pool.pub({ path: 'bobs' })
    const alice = peers.machine({ peers: [await bob.pool.id()] })
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    await bob.pool.sub({ path: key })
    await post(alice, 'mypool', upTo(COUNT).map(String))
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === COUNT,
      60_000,
    )
    await bob.pool.ready({ path: 'bobs', announced: true })

    await alice.pool.close()
    rmSync(join(alice.dir, 'cores'), { recursive: true })
    await alice.restart()
    await until(
      () => alice.pool.status(),
      ([pool]) => pool?.network?.peers === 1,
    )
    await alice.pool.close()
    await bob.pool.close()
    const cores = new CoreStore(join(alice.dir, 'cores'), readSeed(alice.dir, false), { readOnly: true })
    const core = await cores.read(key, undefined)
    const missing = []
    for (let n = 0; n < core.length; n++) if (!(await core.has(n))) missing.push(n)
    expect(core.length).toBeGreaterThan(COUNT / 2)
    expect(missing).toEqual([])
    await cores.close()
  })

  it('whose mirror was restored from an old backup halts when it signs other blocks in the place of newer ones, and its subscribers halt, too', async () => {
    const printed: unknown[] = []
    const record = (said: unknown) => void printed.push(said)
    subscribe('console.log', record)
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine().listen(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    await bob.pool.sub({ path: key })
    const arrived = (count: number) =>
      until(
        () => bob.seen(key),
        (seqs) => seqs.length === count,
      )
    await post(alice, 'mypool', ['0', '1'])
    await arrived(2)
    await alice.pool.close()
    const backup = `${alice.dir}-backup`
    cpSync(alice.dir, backup, { recursive: true })
    await alice.restart()
    for (const [i, text] of ['2', '3', '4'].entries()) {
      await post(alice, 'mypool', [text])
      await arrived(3 + i) // each in a block of its own
    }

    await alice.pool.close()
    rmSync(alice.dir, { recursive: true })
    renameSync(backup, alice.dir)
    rmSync(join(alice.dir, 'cores'), { recursive: true })
    await alice.restart()
    for (const text of ['a', 'b', 'c', 'd']) {
      await post(alice, 'mypool', [text])
      await alice.pool.tail({ path: 'mypool' }) // waits for the entry
    }
    const halted = async (machine: typeof alice) => (await machine.pool.status()).find((pool) => pool.key === key)?.halted
    for (const machine of [alice, bob])
      expect(
        await until(
          () => halted(machine),
          (why) => why !== undefined,
        ),
      ).toContain('conflict')
    expect(bob.seen(key)).toEqual([0, 1, 2, 3, 4])
    expect((await alice.pool.tail({ path: 'mypool' })).map(({ seq }) => seq)).toEqual([0, 1, 2, 3, 4, 5])
    unsubscribe('console.log', record)
    expect(printed, 'a program that uses the library has its standard output for itself').toEqual([])
  })

  it('stops reaching subscribers after unpub, and reaches them again after pub', async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    await alice.pool.create({ path: 'other', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    const other = await alice.pool.pub({ path: 'other' })
    await bob.pool.sub({ path: key })
    await bob.pool.sub({ path: other })
    await post(alice, 'mypool', ['0'])
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 1,
    )

    await alice.pool.unpub({ path: 'mypool' })
    await post(alice, 'mypool', ['1'])
    await post(alice, 'other', ['0', '1'])
    await until(
      () => bob.seen(other),
      (seqs) => seqs.length === 2,
      40_000,
    ) // the machines connect again for the pool that they still share
    expect(bob.seen(key)).toEqual([0])

    expect(await alice.pool.pub({ path: 'mypool' })).toBe(key)
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 2,
      40_000,
    )
  })

  it('has no subscription after unsub, and sub goes on where it was', async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    await bob.pool.sub({ path: key })
    await post(alice, 'mypool', ['0'])
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 1,
    )
    await bob.pool.unsub({ path: key })
    await post(alice, 'mypool', ['1'])
    expect((await bob.pool.status())[0]).toMatchObject({ subscribed: false, entries: 1 })
    expect(await bob.pool.tail({ path: key })).toHaveLength(1)
    await bob.pool.sub({ path: key })
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 2,
    )
    expect(bob.seen(key)).toEqual([0, 1])
  })
})

describe('the network', () => {
  it('reports when a pool is announced, and how it is connected', async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    await expect(alice.pool.ready({ path: 'mypool', announced: true })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    const key = await alice.pool.pub({ path: 'mypool' })
    await alice.pool.ready({ path: 'mypool', announced: true })
    await bob.pool.sub({ path: key })
    await post(alice, 'mypool', ['0'])
    await until(
      () => bob.seen(key),
      (seqs) => seqs.length === 1,
    )
    await until(
      () => alice.pool.status(),
      ([pool]) => pool?.network?.peers === 1,
    )
    expect((await alice.pool.status())[0]).toMatchObject({
      path: 'mypool',
      key,
      entries: 1,
      published: true,
      network: { announced: true, peers: 1 },
    })
    await until(
      () => bob.pool.status(),
      ([pool]) => pool?.network?.remoteLength === 1,
    )
    expect((await bob.pool.status())[0]).toMatchObject({ path: key, key, entries: 1, subscribed: true, behind: 0 })
  })

  it('refuses invalid calls with a sentence that says why', async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine()]
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    await bob.pool.sub({ path: key })
    await expect(bob.pool.post({ path: key, payment: sampleTransaction('x') })).rejects.toMatchObject({
      code: 'POOL_READ_ONLY',
      message: expect.stringContaining('only its publisher can post to it'),
    })
    await expect(alice.pool.sub({ path: key })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringContaining('own pool "mypool"'),
    })
    await expect(bob.pool.sub({ path: 'mypool' })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await expect(bob.pool.sub({ path: key, from: -1 })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await expect(bob.pool.sub({ path: key, peer: 'bob' })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await expect(bob.pool.sub(undefined as never)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await expect(bob.pool.pub({ path: key })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringContaining("a peer's pool"),
    })
    await expect(bob.pool.pub({ path: 'nothing' })).rejects.toMatchObject({ code: 'POOL_NOT_FOUND' })
    await expect(alice.pool.unsub({ path: 'mypool' })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await expect(alice.pool.unpub({ path: 'nothing' })).rejects.toMatchObject({ code: 'POOL_NOT_FOUND' })
    await expect(alice.pool.pub({ path: 'mypool', allow: ['bob'] })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await expect(alice.pool.pub({ path: 'mypool', encrypt: true })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringContaining('published in clear'),
    })
  })

  it('lets a loop run between two machines, with each step once and linked to its cause', async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine()]
    await alice.pool.create({ path: 'alice', port: false })
    await bob.pool.create({ path: 'bob', port: false })
    const keys = { alice: await alice.pool.pub({ path: 'alice' }), bob: await bob.pool.pub({ path: 'bob' }) }
    const STEPS = 6
    alice.pool.on('tx', async (e) => {
      if (e.path === keys.bob && e.hops < STEPS) await alice.pool.post({ path: 'alice', payment: sampleTransaction(`step ${e.hops + 1}`) })
    })
    bob.pool.on('tx', async (e) => {
      if (e.path === keys.alice && e.hops < STEPS) await bob.pool.post({ path: 'bob', payment: sampleTransaction(`step ${e.hops + 1}`) })
    })
    await alice.pool.sub({ path: keys.bob })
    await bob.pool.sub({ path: keys.alice })
    await post(alice, 'alice', ['step 0'])
    const last = await until(
      async () => (await alice.pool.tail({ path: 'alice' })).at(-1),
      (event) => event?.hops === STEPS,
    )
    expect((await alice.pool.tail({ path: 'alice' })).map(({ hops }) => hops)).toEqual([0, 2, 4, 6])
    expect((await bob.pool.tail({ path: 'bob' })).map(({ hops }) => hops)).toEqual([1, 3, 5])
    expect(last!.cause).toEqual({ key: keys.bob, seq: 2 })
    const trail = await Array.fromAsync(alice.pool.trail({ path: 'alice', hash: last!.hash }))
    expect(trail.map(({ hops, path }) => [hops, path === 'alice'])).toEqual([6, 5, 4, 3, 2, 1, 0].map((hops) => [hops, hops % 2 === 0]))
  })
})
