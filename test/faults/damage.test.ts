import { rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import Corestore from 'corestore'
import Hypercore from 'hypercore'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openFolder } from '../../client/folder.ts'
import { Overpool } from '../../index.ts'
import { folderLayout } from '../../local/folder.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { damageFile } from '../contract/sides.ts'
import { until } from '../machine/machine.ts'
import { Peers } from '../swarm/peers.ts'
import { tempDir } from './ledger.ts'

const ENTRIES = 5
const DAMAGED = 2

/** What the command line does with a pool of a machine that runs in this folder. */
async function command<T>(dir: string, does: (machine: ReturnType<typeof openFolder>) => Promise<T>): Promise<T> {
  const machine = openFolder(dir)
  try {
    return await does(machine)
  } finally {
    await machine.close()
  }
}

const repair = (dir: string, path: string) => command(dir, (machine) => machine.repair(path))
const verify = (dir: string, path: string) => command(dir, (machine) => machine.verify(path))
const damage = (dir: string, path: string) => damageFile(folderLayout(dir).ledger, path, DAMAGED)

/** Removes the block from the hypercore of a machine that is stopped. */
async function clearCore(dir: string, path: string): Promise<void> {
  const { key } = await command(dir, ({ pools }) => pools.control(path))
  const store = new Corestore(Hypercore.defaultStorage(folderLayout(dir).cores, { allowBackup: true }))
  const core = store.get({ key: Buffer.from(key, 'hex') })
  await core.ready()
  await core.clear(DAMAGED)
  await store.close()
}

/** A machine with a pool of one entry a block. */
async function filled(pool: Overpool): Promise<void> {
  await pool.create({ path: 'a', port: false })
  for (let i = 0; i < ENTRIES; i++) await pool.post({ path: 'a', payment: sampleTransaction(`entry ${i}`) })
}

const halted = async (pool: Overpool, path: string) => (await pool.status()).find((each) => each.path === path)?.halted

describe('a pool with a damaged block', () => {
  let dir: string
  let pool: Overpool
  const handled: number[] = []
  /** Starts the machine again, with a handler that begins with the first entry. */
  const restart = async () => {
    handled.length = 0
    pool = new Overpool({ dir }).on('error', () => {})
    pool.on('tx', ({ seq }) => void handled.push(seq), { name: 'late' })
    await pool.create({ path: 'a', port: false })
  }
  beforeEach(async () => {
    dir = tempDir()
    pool = new Overpool({ dir })
    await filled(pool)
    await pool.close()
  })
  afterEach(async () => {
    await pool.close()
    rmSync(dir, { recursive: true })
  })

  it('halts before it, and is repaired from its hypercore', async () => {
    damage(dir, 'a')
    await restart()
    const sentence = await until(
      () => halted(pool, 'a'),
      (why) => why !== undefined,
    )
    expect(sentence).toContain(`block ${DAMAGED} of "a" is damaged`)
    await until(
      () =>
        pool.post({ path: 'a', payment: sampleTransaction('refused') }).then(
          () => 'taken',
          ({ code }) => code,
        ),
      (code) => code === 'POOL_HALTED',
    )
    expect(handled).toEqual([0, 1])
    await pool.close()
    await restart()
    expect(await halted(pool, 'a'), 'after a restart, too').toBe(sentence)

    expect(await repair(dir, 'a')).toEqual({ repaired: 1, lost: [] })
    const { hash } = await pool.post({ path: 'a', payment: sampleTransaction('goes on') })
    const seqs = await until(
      () => handled,
      ({ length }) => length >= 4,
    )
    expect(seqs, 'no entry is skipped or handled twice').toEqual([2, 3, 4, (await pool.get({ path: 'a', hash })).seq])
    expect(await repair(dir, 'a')).toEqual({ repaired: 0, lost: [] })
    await pool.close()
    expect(await verify(dir, 'a')).toMatchObject({ problems: 0, signedBlocks: expect.any(Number) })
  })

  it('that nobody has any more passes over its entry as a dead letter, and goes on', async () => {
    damage(dir, 'a')
    await clearCore(dir, 'a')
    await restart()
    await until(
      () => halted(pool, 'a'),
      (why) => why !== undefined,
    )
    const ledger = folderLayout(dir).ledger
    expect(await repair(dir, 'a')).toEqual({ repaired: 0, lost: [DAMAGED], aside: `the table "damaged" of ${ledger}` })
    const db = new DatabaseSync(ledger)
    expect(db.prepare('SELECT pool, n FROM damaged').all()).toEqual([{ pool: 'a', n: DAMAGED }])
    db.close()
    await pool.post({ path: 'a', payment: sampleTransaction('goes on') })
    const seqs = await until(
      () => handled,
      (all) => all.length >= ENTRIES,
    )
    expect(seqs).toEqual([0, 1, 3, 4, expect.any(Number)])
    const dead = await command(dir, ({ stores }) => stores.progress.listDead('late', 'a'))
    expect(dead).toMatchObject([{ seq: DAMAGED, block: DAMAGED, error: expect.stringContaining('could not be had anywhere') }])
    expect((await pool.tail({ path: 'a', size: 100 })).map(({ seq }) => seq)).toEqual(seqs)
  })

  it('that was written without a checksum, and cannot be read, is repaired, too', async () => {
    const db = new DatabaseSync(folderLayout(dir).ledger)
    db.prepare('UPDATE blocks SET bytes = ?, checksum = NULL WHERE n = ?').run(new Uint8Array(100), DAMAGED)
    db.close()
    await restart()
    expect(
      await until(
        () => halted(pool, 'a'),
        (why) => why !== undefined,
      ),
    ).toContain(`block ${DAMAGED} of "a" is damaged`)
    expect(await repair(dir, 'a')).toEqual({ repaired: 1, lost: [] })
    await until(
      () => handled,
      (all) => all.length === ENTRIES,
    )
    expect(handled).toEqual([0, 1, 2, 3, 4])
  })

  it('that is missing altogether is repaired, too', async () => {
    const db = new DatabaseSync(folderLayout(dir).ledger)
    db.prepare('DELETE FROM blocks WHERE n = ?').run(DAMAGED)
    db.close()
    await restart()
    await until(
      () => halted(pool, 'a'),
      (why) => why !== undefined,
    )
    expect(await repair(dir, 'a')).toEqual({ repaired: 1, lost: [] })
    await until(
      () => handled,
      (all) => all.length === ENTRIES,
    )
    expect(handled).toEqual([0, 1, 2, 3, 4])
  })

  it('that is the newest one opens halted, and is repaired', async () => {
    damageFile(folderLayout(dir).ledger, 'a', ENTRIES - 1)
    await restart()
    expect(
      await until(
        () => command(dir, async ({ pools }) => (await pools.control('a')).halted),
        (why) => why !== undefined,
      ),
    ).toContain(`block ${ENTRIES - 1} of "a" is damaged`)
    expect(await repair(dir, 'a')).toEqual({ repaired: 1, lost: [] })
    await pool.post({ path: 'a', payment: sampleTransaction('goes on') })
    expect(await pool.tail({ path: 'a' })).toHaveLength(ENTRIES + 1)
  })

  it('keeps its hypercore when an operator resumes it before the repair', async () => {
    damage(dir, 'a')
    await restart()
    await until(
      () => halted(pool, 'a'),
      (why) => why !== undefined,
    )
    await command(dir, ({ control }) => control.resume('a'))
    await pool.close()
    await restart()
    expect(await halted(pool, 'a')).toContain(`block ${DAMAGED} of "a" is damaged`)
    expect(await repair(dir, 'a')).toEqual({ repaired: 1, lost: [] })
  })
})

describe('a damaged block that the own hypercore has not, either', () => {
  it('is waited for while other pools are published and the repair of this one ends with the machine', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    const alice = peers.machine()
    await filled(alice.pool)
    await alice.pool.pub({ path: 'a' })
    await alice.pool.close()
    damage(alice.dir, 'a')
    await clearCore(alice.dir, 'a')
    await alice.restart()
    await alice.pool.create({ path: 'b', port: false })
    await command(alice.dir, ({ control }) => control.repair('a')) // it waits a minute for a peer, and none comes
    await alice.pool.pub({ path: 'b' })
    await alice.pool.ready({ path: 'b', announced: true })
    const repairOf = () => command(alice.dir, async ({ pools }) => (await pools.control('a')).repair)
    expect(await repairOf()).toEqual({ at: expect.any(Number) })
    await alice.pool.close()
    expect((await repairOf())?.done, 'the next start begins it again').toBeUndefined()
  })

  it('and that nobody gives stays in the hypercore of a published pool as it was signed: its followers go on', {
    timeout: 120_000,
  }, async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await filled(alice.pool)
    const key = await alice.pool.pub({ path: 'a' })
    await bob.pool.sub({ path: key, peer: await alice.pool.id() })
    const bobHas = (count: number) =>
      until(
        () => bob.seen(key).length,
        (length) => length === count,
        60_000,
      )
    await bobHas(ENTRIES)
    await alice.pool.unpub({ path: 'a' }) // so that the repair asks nobody
    await alice.pool.close()
    damage(alice.dir, 'a')
    await clearCore(alice.dir, 'a')
    await alice.restart()
    await alice.pool.status()
    expect(await repair(alice.dir, 'a')).toMatchObject({ repaired: 0, lost: [DAMAGED] })
    await alice.pool.pub({ path: 'a' })
    await alice.pool.create({ path: 'a', port: false })
    await alice.pool.post({ path: 'a', payment: sampleTransaction('goes on') })
    await bobHas(ENTRIES + 1)
    expect(await halted(bob.pool, key)).toBeUndefined()
  })

  it('and that is the newest of a subscription halts nothing: it comes from the publisher again', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await filled(alice.pool)
    const key = await alice.pool.pub({ path: 'a' })
    await bob.pool.sub({ path: key, peer: await alice.pool.id() })
    await until(
      () => bob.seen(key).length,
      (length) => length === ENTRIES,
      60_000,
    )
    const before = await bob.pool.tail({ path: key })
    await bob.pool.close()
    const newest = ENTRIES - 1
    await command(bob.dir, ({ stores }) => stores.blocks.lose(key, { n: newest, first: newest, count: 1 }))
    await bob.restart()
    bob.listen()
    await alice.pool.post({ path: 'a', payment: sampleTransaction('goes on') })
    await until(
      () => bob.seen(key).length,
      (length) => length === ENTRIES + 1,
      60_000,
    )
    expect(await halted(bob.pool, key)).toBeUndefined()
    expect((await bob.pool.tail({ path: key })).slice(0, ENTRIES)).toEqual(before)
  })

  it('comes from a peer: that of a publisher from its follower, that of a follower from its publisher', { timeout: 240_000 }, async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await filled(alice.pool)
    const key = await alice.pool.pub({ path: 'a' })
    const peer = await alice.pool.id()
    await bob.pool.sub({ path: key, peer })
    await until(
      () => bob.seen(key).length,
      (count) => count === ENTRIES,
      60_000,
    )
    for (const [machine, path] of [
      [alice, 'a'],
      [bob, key],
    ] as const) {
      await machine.pool.close()
      damage(machine.dir, path)
      await clearCore(machine.dir, path)
      await machine.restart()
      await machine.pool.status()
      expect(await repair(machine.dir, path)).toEqual({ repaired: 1, lost: [] })
      expect(await machine.pool.tail({ path })).toHaveLength(ENTRIES)
    }
    await alice.pool.close()
    expect(await verify(alice.dir, 'a')).toMatchObject({ problems: 0, signedBlocks: ENTRIES })
  })
})
