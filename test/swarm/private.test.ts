import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { folderLayout } from '../../local/folder.ts'
import { type Block, decodeBlock, isBlockHead } from '../../shared/ledger/block.ts'
import type { TxEntry } from '../../shared/ledger/kinds.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { TreeHash } from '../../sidecar/cores/signed.ts'
import { Project } from '../cli/project.ts'
import { until } from '../machine/machine.ts'
import { type Machine, Peers } from './peers.ts'
import { RawPeer } from './raw-peer.ts'

const memos = (count: number) => Array.from({ length: count }, (_, i) => `for our eyes only ${i}`)

async function post({ pool }: Machine, path: string, texts: string[]): Promise<void> {
  for (const text of texts) await pool.post({ path, payment: { transaction: sampleTransaction(text), memo: text } })
}

/** Publishes a pool; resolves to the key for subscribers when they can find it. */
async function pub({ pool }: Machine, path: string, options: { encrypt?: boolean } = {}): Promise<string> {
  const address = await pool.pub({ path, ...options })
  await pool.ready({ path, announced: true })
  return address
}

async function reads(machine: Machine, key: string, texts: string[]): Promise<void> {
  await until(
    () => machine.seen(key),
    ({ length }) => length >= texts.length,
    60_000,
  )
  expect(machine.events.filter(({ path }) => path === key).map(({ payment: { memo } }) => memo)).toEqual(texts)
}

async function halted({ pool }: Machine, key: string): Promise<string> {
  const status = await until(
    () => pool.status().then((all) => all.find(({ path }) => path === key)!),
    (each) => each.halted !== undefined,
    60_000,
  )
  return status.halted!
}

/** The result of `overpool verify` for a pool. */
async function verify({ dir }: Machine, path: string) {
  await using project = new Project()
  const { out } = await project.result('--dir', dir, '--json', 'verify', path)
  return JSON.parse(out)
}

/** The same, after the hypercore has all blocks and the machine has been stopped. */
async function verified(machine: Machine, path: string) {
  await until(
    () => verify(machine, path),
    ({ blocks, coreLength }) => blocks === coreLength,
    60_000,
  )
  await machine.pool.close()
  return verify(machine, path)
}

describe('an encrypted pool', () => {
  it('is readable with the full key that `pub` printed, and can be stored with the public key alone', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    await using holder = new RawPeer(peers)
    const [alice, bob, carol] = [peers.machine(), peers.machine().listen(), peers.machine().listen()]
    await alice.pool.create({ path: 'ours', port: false, encrypt: true })
    await post(alice, 'ours', memos(3))
    const address = await pub(alice, 'ours')
    expect(address).toMatch(/^[0-9a-f]{64}\.[0-9a-f]{64}$/)
    const [key, secret] = address.split('.') as [string, string]

    expect(await bob.pool.sub({ path: address })).toEqual({ path: key, key })
    await reads(bob, key, memos(3))
    // A peer with the public key alone gets the encrypted blocks.
    const held = await holder.ask(key)
    await until(
      () => held.length,
      (length) => length > 0,
    )
    for (let n = 0; n < held.length; n++) {
      const bytes = await held.get(n)
      expect(isBlockHead(bytes)).toBe(false)
      expect(bytes.includes('eyes')).toBe(false)
    }
    // A subscriber can get them from that peer while the publisher is offline.
    await bob.pool.close()
    await alice.pool.close()
    await holder.announce(held)
    await carol.pool.sub({ path: address })
    await reads(carol, key, memos(3))
    expect((await carol.pool.status())[0]).toMatchObject({ path: key, encrypted: true, entries: 3 })
    expect(JSON.stringify(await carol.pool.status())).not.toContain(secret)
  })

  it('tells a subscriber that its key does not open the pool, and the subscription goes on with the right key', {
    timeout: 120_000,
  }, async () => {
    await using peers = await Peers.start()
    const [alice, bob, carol, dave] = [peers.machine(), peers.machine().listen(), peers.machine().listen(), peers.machine().listen()]
    await alice.pool.create({ path: 'ours', port: false, encrypt: true })
    await alice.pool.create({ path: 'clear', port: false })
    await post(alice, 'ours', memos(2))
    await post(alice, 'clear', memos(1))
    const address = await pub(alice, 'ours')
    const clear = await pub(alice, 'clear')
    const [key] = address.split('.') as [string]
    const wrong = randomBytes(32).toString('hex')
    await bob.pool.sub({ path: key })
    await carol.pool.sub({ path: `${key}.${wrong}` })
    await dave.pool.sub({ path: `${clear}.${wrong}` })
    expect(await halted(bob, key)).toMatch(/subscribe with both keys/)
    expect(await halted(carol, key)).toMatch(/encryption key does not open this pool/)
    expect(await halted(dave, clear)).toMatch(/encryption key does not open this pool/)
    for (const machine of [bob, carol]) await machine.pool.sub({ path: address })
    await dave.pool.sub({ path: clear })
    for (const machine of [bob, carol]) await reads(machine, key, memos(2))
    await reads(dave, clear, memos(1))
  })

  it('can be made from a pool that has entries and was never published: its hypercore is rebuilt', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'ours', port: false })
    await post(alice, 'ours', memos(5))
    const inClear = await verified(alice, 'ours')
    expect(inClear).toMatchObject({ entries: 5, problems: 0, coreLength: inClear.blocks, signedBlocks: inClear.blocks })

    await alice.restart()
    const address = await pub(alice, 'ours', { encrypt: true })
    const [key] = address.split('.') as [string]
    expect(key).toBe(inClear.key)
    await bob.pool.sub({ path: address })
    await reads(bob, key, memos(5))
    await post(alice, 'ours', ['and on'])
    await reads(bob, key, [...memos(5), 'and on'])
    expect(await alice.pool.pub({ path: 'ours' })).toBe(address)

    const theirs = await verified(bob, key)
    const encrypted = await verified(alice, 'ours')
    expect(encrypted).toMatchObject({ entries: 6, problems: 0, coreLength: encrypted.blocks, signedBlocks: encrypted.blocks })
    expect(theirs).toMatchObject({ key, entries: 6, problems: 0, treeHash: encrypted.treeHash, signedBlocks: encrypted.blocks })
    // The mirror still has the same blocks, but their encrypted form, which is signed, has another tree hash.
    expect(encrypted.treeHash).not.toBe(inClear.treeHash)

    // The rebuild on an empty disk gives the same hypercore, bit for bit.
    rmSync(folderLayout(alice.dir).cores, { recursive: true })
    await alice.restart()
    await alice.pool.status()
    expect(await verified(alice, 'ours')).toEqual(encrypted)
  })

  it('cannot be made from a pool that was published in clear, nor be published in clear', async () => {
    await using peers = await Peers.start()
    const alice = peers.machine()
    await alice.pool.create({ path: 'clear', port: false })
    await alice.pool.pub({ path: 'clear' })
    await alice.pool.unpub({ path: 'clear' })
    const inClear = { code: 'BAD_ARGUMENT', message: expect.stringMatching(/has been published in clear/) }
    await expect(alice.pool.pub({ path: 'clear', encrypt: true })).rejects.toMatchObject(inClear)
    await expect(alice.pool.create({ path: 'clear', port: false, encrypt: true })).rejects.toMatchObject(inClear)

    await alice.pool.create({ path: 'ours', port: false })
    const address = await alice.pool.pub({ path: 'ours', encrypt: true })
    const encrypted = { code: 'BAD_ARGUMENT', message: expect.stringMatching(/has been published encrypted/) }
    await expect(alice.pool.pub({ path: 'ours', encrypt: false })).rejects.toMatchObject(encrypted)
    await alice.pool.unpub({ path: 'ours' })
    await expect(alice.pool.create({ path: 'ours', port: false, encrypt: false })).rejects.toMatchObject(encrypted)
    expect(await alice.pool.create({ path: 'ours', port: false })).toMatchObject({ path: 'ours' })
    expect(await alice.pool.pub({ path: 'ours' })).toBe(address)
  })
})

describe('verify', () => {
  /** Changes a mirror by hand, as somebody with write access to the folder can. */
  function byHand(machine: Machine, change: (db: DatabaseSync) => void): void {
    const db = new DatabaseSync(folderLayout(machine.dir).ledger)
    change(db)
    db.close()
  }

  function blocksOf(db: DatabaseSync, pool: string): Block[] {
    return db.prepare('SELECT n, first, count, bytes FROM blocks WHERE pool = ? ORDER BY n').all(pool) as unknown as Block[]
  }

  /** Writes another amount into the first entry of block 0. */
  function falsify(db: DatabaseSync, pool: string): void {
    const [{ bytes }] = blocksOf(db, pool) as [Block]
    const { tx } = decodeBlock(bytes).entries[0] as TxEntry
    const at = Buffer.from(bytes).indexOf(tx) + 6 // the satoshis follow the version, the count of inputs (0) and the count of outputs (1)
    bytes[at] = 21
    expect((decodeBlock(bytes).entries[0] as TxEntry).tx[6]).toBe(21)
    db.prepare('UPDATE blocks SET bytes = ?, checksum = NULL WHERE pool = ? AND n = 0').run(bytes, pool)
  }

  async function followed(
    peers: Peers,
    options: { encrypt?: boolean } = {},
  ): Promise<[bob: Machine, key: string, secret: string | undefined]> {
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false, ...options })
    await post(alice, 'mypool', memos(4))
    const [key, secret] = (await pub(alice, 'mypool')).split('.') as [string, string | undefined]
    await bob.pool.sub({ path: secret ? `${key}.${secret}` : key })
    await reads(bob, key, memos(4))
    const honest = await verified(bob, key)
    expect(honest).toMatchObject({ entries: 4, receipts: 4, problems: 0, signedBlocks: honest.blocks })
    return [bob, key, secret]
  }

  it('proves what the publisher of a subscribed pool signed, and finds a changed block', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    const [bob, key] = await followed(peers)
    byHand(bob, (db) => falsify(db, key))
    const found = await verify(bob, key)
    expect(found).toMatchObject({ signedBlocks: 0, problems: expect.any(Number) })
    expect(found.listed.join('\n')).toMatch(/block 0 of the hypercore is not that of the mirror/)
    expect(found.listed.join('\n')).toMatch(/are not those that were signed/)
    // Removing the hypercore's folder does not hide the change.
    rmSync(join(folderLayout(bob.dir).cores), { recursive: true })
    const again = await verify(bob, key)
    expect(again).toMatchObject({ signedBlocks: 0, coreLength: 0 })
    expect(again.listed.join('\n')).toMatch(/are not those that were signed/)
  })

  it.each([false, true])('finds a signature that is not the publisher’s (encrypted: %s)', { timeout: 120_000 }, async (encrypt) => {
    await using peers = await Peers.start()
    const [bob, key, secret] = await followed(peers, { encrypt })
    rmSync(folderLayout(bob.dir).cores, { recursive: true })
    // The changed block has its own tree hash, under the old signature.
    byHand(bob, (db) => {
      falsify(db, key)
      const tree = new TreeHash({ key, ...(secret && { secret }) })
      for (const { bytes } of blocksOf(db, key)) tree.add(bytes)
      const { signed } = db.prepare('SELECT signed FROM pools WHERE path = ?').get(key) as { signed: string }
      db.prepare('UPDATE pools SET signed = ? WHERE path = ?').run(JSON.stringify({ ...JSON.parse(signed), treeHash: tree.value }), key)
    })
    const forged = await verify(bob, key)
    expect(forged.signedBlocks).toBe(0)
    expect(forged.listed.join('\n')).toMatch(/signature over the first \d+ blocks is not one of the pool's key/)
    // This signature names another key as its signer.
    byHand(bob, (db) => {
      const { signed } = db.prepare('SELECT signed FROM pools WHERE path = ?').get(key) as { signed: string }
      db.prepare('UPDATE pools SET signed = ? WHERE path = ?').run(JSON.stringify({ ...JSON.parse(signed), signer: '11'.repeat(32) }), key)
    })
    const another = await verify(bob, key)
    expect(another.signedBlocks).toBe(0)
    expect(another.listed.join('\n')).toMatch(/signature over the first/)
  })
})
