import { randomBytes } from 'node:crypto'
import { cpSync } from 'node:fs'
import { encode } from 'cborg'
import Hypercore from 'hypercore'
import type { Connection } from 'hyperswarm'
import { describe, expect, it } from 'vitest'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { MAX_PEER_BLOCK_BYTES } from '../../sidecar/peers/peer-block.ts'
import { largePayment, until } from '../machine/machine.ts'
import { random, seed } from '../random.ts'
import { type Machine, Peers } from './peers.ts'
import { blockBytes, blockOf, entryBytes, newKeyPair, RawPeer } from './raw-peer.ts'

async function statusOf({ pool }: Machine, path: string) {
  return (await pool.status()).find((each) => each.path === path)!
}

function textOf({ payment }: { payment: { transaction: string } }): string {
  return Buffer.from(payment.transaction.slice(36, -8), 'hex').toString()
}

async function create({ pool }: Machine, path: string, entries: number): Promise<string> {
  const { key } = await pool.create({ path, port: false })
  for (let i = 0; i < entries; i++) await pool.post({ path, payment: sampleTransaction(`${path} ${i}`) })
  await until(
    () => pool.tail({ path }),
    ({ length }) => length === entries,
  )
  return key
}

/** Publishes a pool; resolves to its key when others can find it. */
async function pub({ pool }: Machine, path: string, allow?: string[]): Promise<string> {
  const key = await pool.pub({ path, allow })
  await pool.ready({ path, announced: true })
  return key
}

/** Resolves when the machine has processed all earlier requests of a peer, which it answers in order. */
async function roundTrip({ pool }: Machine, path: string, replica: Hypercore): Promise<void> {
  await pool.post({ path, payment: sampleTransaction('round trip') })
  await until(
    () => replica.length,
    (length) => length > 0,
  )
  await replica.get(replica.length - 1)
  const { length } = replica
  await pool.post({ path, payment: sampleTransaction(`round trip ${length}`) })
  await until(
    () => replica.length,
    (now) => now > length,
  )
  await replica.get(length)
}

describe('an invalid block of a publisher', () => {
  const entry = (changed: object) =>
    encode({ id: new Uint8Array(32), at: 1, tx: Buffer.from('01000000000000000000', 'hex'), payment: {}, source: 'api', ...changed })

  function nested(next: number, levels: number): Uint8Array {
    const [text, bytes] = [encode('deep'), Buffer.from(entry({ payment: { merchantData: 'deep' } }))]
    const at = bytes.indexOf(text)
    const deep = Buffer.concat([Buffer.alloc(levels, 0x81), Buffer.of(0)])
    return blockOf(next, [Buffer.concat([bytes.subarray(0, at), deep, bytes.subarray(at + text.length)])])
  }

  // The bytes that are signed in the place of entry `next`, and the problem that the machine reports.
  const WRONG: [what: string, bytes: (next: number) => Uint8Array, says: RegExp][] = [
    ['text', () => Buffer.from('hello, this is no block'), /not CBOR/],
    ['no bytes', () => new Uint8Array(0), /not CBOR/],
    ['a block that is cut off', (next) => blockBytes(next, 'a').subarray(0, -1), /not CBOR/],
    ['a block with something behind it', (next) => Buffer.concat([blockBytes(next, 'a'), Buffer.of(0)]), /not CBOR/],
    ['a key twice', (next) => Buffer.concat([blockBytes(next, 'a').fill(0xa4, 0, 1), Buffer.of(0x61, 0x76, 0x01)]), /not CBOR/],
    ['another version', (next) => encode({ v: 2, first: next, entries: [] }), /version 2/],
    ['a version that is a long text', (next) => encode({ v: '\u001b[2J'.repeat(100_000), first: next, entries: [] }), /version nonsense/],
    ['no entries', (next) => blockOf(next, []), /no entries/],
    ['too many bytes', (next) => Buffer.concat([blockBytes(next, 'a'), Buffer.alloc(MAX_PEER_BLOCK_BYTES)]), /bytes; \d+ are allowed/],
    ['257 entries', (next) => blockBytes(next, ...Array.from({ length: 257 }, (_, i) => `${i}`)), /257 entries/],
    ['a first entry before the next', (next) => blockBytes(next - 1, 'a'), /begins with entry \d+, and \d+ comes next/],
    ['a first entry after the next', (next) => blockBytes(next + 7, 'a'), /begins with entry \d+, and \d+ comes next/],
    ['a sequence number beyond 2^53', () => encode({ v: 1, first: 2 ** 53 - 1, entries: [0] }), /no number can hold/],
    ['a bad transaction', (next) => blockOf(next, [entry({}), entry({ tx: Buffer.from('01000000feffffffff', 'hex') })]), /bad transaction/],
    ['an entry with half an id', (next) => blockOf(next, [entry({ id: new Uint8Array(16) })]), /id of 32 bytes/],
    ['an entry with a time beyond every calendar', (next) => blockOf(next, [entry({ at: 2 ** 53 - 1 })]), /time/],
    ['an invalid cause', (next) => blockOf(next, [entry({ cause: [new Uint8Array(32), -1] })]), /cause/],
    ['values nested deeper than the call stack', (next) => nested(next, 100_000), /not CBOR/],
    ['values nested deeper than a handler can post', (next) => nested(next, 1_000), /nested/],
    [
      'a longer memo than a wallet may send',
      (next) => blockOf(next, [entryBytes('a', { payment: { memo: 'm'.repeat(10_001) } })]),
      /"memo" may have/,
    ],
    ['a longer refundTo', (next) => blockOf(next, [entryBytes('a', { payment: { refundTo: 'r'.repeat(101) } })]), /"refundTo" may have/],
    [
      'a long field that nobody knows',
      (next) => blockOf(next, [entry({ payment: { more: 'm'.repeat(70_000) } })]),
      /fields of a payment have/,
    ],
    ['a number that JSON does not have', (next) => blockOf(next, [entry({ payment: { merchantData: 2n ** 63n } })]), /bigint/],
  ]

  it('is named, counted and passed over, whatever is wrong with it, and all valid blocks arrive in order', async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const publisher = await mallory.publish(newKeyPair())
    const bob = peers.machine().listen()
    await publisher.append(blockBytes(0, 'good 0'), ...WRONG.flatMap(([, bytes], i) => [bytes(i + 1), blockBytes(i + 1, `good ${i + 1}`)]))
    await bob.pool.sub({ path: publisher.key })
    await until(
      () => bob.seen(publisher.key),
      (seqs) => seqs.length > WRONG.length,
      60_000,
    )
    await publisher.append(blockBytes(WRONG.length + 1, 'one', 'more'))
    await until(
      () => bob.seen(publisher.key),
      (seqs) => seqs.length > WRONG.length + 2,
      60_000,
    )
    const good = WRONG.map((_, i) => [i + 1, `good ${i + 1}`])
    expect(bob.events.map((event) => [event.seq, textOf(event)])).toEqual([
      [0, 'good 0'],
      ...good,
      [WRONG.length + 1, 'one'],
      [WRONG.length + 2, 'more'],
    ])
    const passedOver = bob.errors.map(({ report }) => report)
    expect(passedOver).toEqual(
      WRONG.map(([, , says], i) => ({ kind: 'passed-over', pool: publisher.key, n: 2 * i + 1, problem: expect.stringMatching(says) })),
    )
    const { network, halted, entries } = await until(
      () => statusOf(bob, publisher.key),
      ({ network }) => network?.skipped === WRONG.length,
    )
    expect({ halted, entries }).toEqual({ halted: undefined, entries: WRONG.length + 3 })
    expect(network!.lastSkipped).toMatch(WRONG.at(-1)![2])
    expect(network!.lastSkipped!.length).toBeLessThan(200)
  })

  it('leaves a gap, and everything after the gap can be read', async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const publisher = await mallory.publish(newKeyPair())
    const bob = peers.machine().listen()
    // The first 30 entries, and those from 40 to 59, are unknown: their blocks are invalid.
    await publisher.append(
      blockBytes(0, 'a').subarray(0, -1),
      blockBytes(30, ...Array.from({ length: 10 }, (_, i) => `${30 + i}`)),
      Buffer.from('not a block'),
    )
    await publisher.append(blockBytes(60, 'sixty'))
    await bob.pool.sub({ path: publisher.key })
    const seqs = [...Array.from({ length: 10 }, (_, i) => 30 + i), 60]
    await until(
      () => bob.seen(publisher.key),
      ({ length }) => length >= seqs.length,
    )
    expect(bob.seen(publisher.key)).toEqual(seqs)
    for (const from of [0, 30, 35, 40, 55, 60, 61]) {
      const read = await Array.fromAsync(bob.pool.read({ path: publisher.key, from }))
      expect(
        read.map(({ seq }) => seq),
        `from ${from}`,
      ).toEqual(seqs.filter((seq) => seq >= from))
    }
    expect(
      (await bob.pool.tail({ path: publisher.key })).map(({ seq }) => seq),
      'the ten newest',
    ).toEqual(seqs.slice(-10))
    const found = await bob.pool.get({ path: publisher.key, hash: bob.events.at(-1)!.hash })
    expect(found.seq).toBe(60)
  })
})

describe('a publisher of too much', () => {
  it('that signs many bytes of invalid blocks halts the subscription, `sub` takes as many again, and others go on', {
    timeout: 120_000,
  }, async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const [bad, good] = [await mallory.publish(newKeyPair()), await mallory.publish(newKeyPair())]
    const bob = peers.machine().listen()
    await bad.append(blockBytes(0, 'a'))
    for (let i = 0; i < 6; i++) await bad.append(Buffer.alloc(7_000_000, i))
    await bob.pool.sub({ path: bad.key })
    const halt = () =>
      until(
        () => statusOf(bob, bad.key),
        ({ halted }) => halted !== undefined,
        60_000,
      )
    expect((await halt()).halted).toMatch(/signed 21000000 bytes of invalid blocks/)
    expect(bob.errors.filter(({ report }) => report.kind === 'passed-over')).toHaveLength(3)
    await bob.pool.sub({ path: bad.key })
    await until(
      () => bob.errors.filter(({ report }) => report.kind === 'passed-over').length,
      (count) => count === 6,
      60_000,
    )
    await halt()
    await good.append(blockBytes(0, 'x'))
    await bob.pool.sub({ path: good.key })
    await until(
      () => bob.seen(good.key),
      ({ length }) => length === 1,
    )
  })

  it('whose block is too large to cross halts the subscription, and the status says why', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const publisher = await mallory.publish(newKeyPair())
    const bob = peers.machine().listen()
    await publisher.append(blockBytes(0, 'a'), blockBytes(1, 'b'))
    await publisher.appendLarge(Buffer.alloc(50_000_000))
    await bob.pool.sub({ path: publisher.key })
    const { halted } = await until(
      () => statusOf(bob, publisher.key),
      (status) => status.halted !== undefined,
      60_000,
    )
    expect(halted).toMatch(/block 2 of its publisher has 50000000 bytes, and at most \d+ can cross the network/)
    expect(bob.seen(publisher.key)).toEqual([0, 1])
  })
})

describe('an entry that names itself as its cause', () => {
  it('has a trail that ends', async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const publisher = await mallory.publish(newKeyPair())
    const [bob, key] = [peers.machine().listen(), publisher.key]
    const causes = [0, 2, 1] // entry 0 names itself, entries 1 and 2 name each other
    await publisher.append(
      blockOf(
        0,
        causes.map((seq, i) => entryBytes(`${i}`, { source: 'handler', hops: 1, cause: { key, seq } })),
      ),
    )
    await bob.pool.sub({ path: key })
    await until(
      () => bob.events.length,
      (count) => count === 3,
    )
    const trail = async (seq: number) =>
      (await Array.fromAsync(bob.pool.trail({ path: key, hash: bob.events[seq]!.hash }))).map((event) => event.seq)
    expect(await trail(0)).toEqual([0])
    expect(await trail(1)).toEqual([1, 2])
    expect(await trail(2)).toEqual([2, 1])
  })
})

describe('a publisher', () => {
  it('that truncates its ledger ends the subscription to it, also after restarts; other subscriptions go on', async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    await using carol = new RawPeer(peers)
    const [bad, good] = [await mallory.publish(newKeyPair()), await carol.publish(newKeyPair())]
    const bob = peers.machine().listen()
    await bad.append(blockBytes(0, 'a'), blockBytes(1, 'b'), blockBytes(2, 'c'))
    await good.append(blockBytes(0, 'x'))
    await bob.pool.sub({ path: bad.key })
    await bob.pool.sub({ path: good.key })
    await until(
      () => bob.events,
      ({ length }) => length === 4,
    )
    await bad.truncate(1)
    await bad.append(blockBytes(1, 'd'), blockBytes(2, 'e'), blockBytes(3, 'f'))
    const { halted } = await until(
      () => statusOf(bob, bad.key),
      ({ halted }) => halted !== undefined,
    )
    expect(halted).toMatch(/taken back what it had signed/)
    expect(bob.errors.map(({ report }) => report.kind)).toEqual(['halted'])

    await bob.restart()
    bob.listen()
    await good.append(blockBytes(1, 'y'))
    await until(
      () => bob.seen(good.key),
      ({ length }) => length === 2,
    )
    expect((await statusOf(bob, bad.key)).halted).toBe(halted)
    expect(bob.seen(bad.key)).toEqual([0, 1, 2])
    // A new subscription halts again.
    await bob.pool.sub({ path: bad.key })
    await until(
      () => bob.errors.length,
      (length) => length === 2,
    )
    await until(
      () => statusOf(bob, bad.key),
      (status) => status.halted !== undefined,
    )
    expect(bob.seen(bad.key)).toEqual([0, 1, 2])
    await good.append(blockBytes(2, 'z'))
    await until(
      () => bob.seen(good.key),
      ({ length }) => length === 3,
    )
  })

  it('that signs two ledgers under one key halts the subscription; when it serves the first ledger again, `sub` goes on where it was', {
    timeout: 180_000,
  }, async () => {
    await using peers = await Peers.start()
    const key = newKeyPair()
    const one = ['a', 'b', 'c', 'd', 'e'].map((text, i) => blockBytes(i, text))
    const other = [one[0]!, blockBytes(1, 'another'), one[2]!, blockBytes(3, 'one'), blockBytes(4, 'too')]
    const bob = peers.machine().listen()
    const subscribed = async (blocks: Uint8Array[], settled: (path: string) => Promise<unknown>) => {
      await using mallory = new RawPeer(peers)
      const publisher = await mallory.publish(key)
      await publisher.append(...blocks)
      await bob.pool.sub({ path: publisher.key })
      await settled(publisher.key)
      return publisher.key
    }
    const received = (count: number) => (path: string) =>
      until(
        () => bob.seen(path),
        ({ length }) => length === count,
        60_000,
      )
    const halted = (why: RegExp) => (path: string) =>
      until(
        () => statusOf(bob, path),
        (status) => why.test(status.halted ?? ''),
        60_000,
      )

    const path = await subscribed(one.slice(0, 3), received(3))
    // Hypercore notices the second ledger at the first block that this machine lacks.
    await subscribed(other, halted(/two different ledgers under one key \(conflict\)/))
    // A new subscription drops the newer blocks, and finds that block 1 of the other ledger differs, though its block 2 is the same.
    await subscribed(other, halted(/block 2, or one before it, is not the one that was received before/))
    expect(bob.seen(path)).toEqual([0, 1, 2])
    await subscribed(one, received(5))
    expect(bob.events.map(textOf)).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect((await statusOf(bob, path)).halted).toBeUndefined()
    expect(bob.errors.map(({ report }) => report.kind)).toEqual(['halted', 'halted'])
  })
})

describe('a machine whose folder was copied and that signs another ledger', () => {
  it('loses its subscribers, and notices the fork itself: its pool halts', async () => {
    await using peers = await Peers.start()
    const [alice, copy, bob] = [peers.machine(), peers.machine(), peers.machine().listen()]
    await create(alice, 'mypool', 2)
    await create(alice, 'other', 1)
    const key = await pub(alice, 'mypool')
    await bob.pool.sub({ path: key })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 2,
    )
    await alice.pool.close()
    cpSync(alice.dir, copy.dir, { recursive: true })
    await alice.restart()
    await alice.pool.post({ path: 'mypool', payment: sampleTransaction('here') })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 3,
    )
    await alice.pool.close()

    await copy.pool.post({ path: 'mypool', payment: sampleTransaction('there') })
    await copy.pool.tail({ path: 'mypool' })
    await copy.pool.post({ path: 'mypool', payment: sampleTransaction('and there') })
    expect(await copy.pool.tail({ path: 'mypool' })).toHaveLength(4)
    const status = await until(
      () => statusOf(bob, key),
      ({ halted }) => halted !== undefined,
      60_000,
    )
    expect(status.halted).toMatch(/conflict/)
    const ours = await until(
      () => statusOf(copy, 'mypool'),
      ({ halted }) => halted !== undefined,
    )
    expect(ours.halted).toMatch(/another ledger/)
    await expect(copy.pool.post({ path: 'mypool', payment: sampleTransaction('no more') })).rejects.toMatchObject({ code: 'POOL_HALTED' })
    await until(
      () => statusOf(copy, 'mypool'),
      ({ network }) => network?.announced === false,
    )
    // Its other pools go on; the pool stays halted after a restart.
    await copy.restart()
    await copy.pool.post({ path: 'other', payment: sampleTransaction('goes on') })
    expect(await copy.pool.tail({ path: 'other' })).toHaveLength(2)
    expect((await statusOf(copy, 'mypool')).halted).toBe(ours.halted)
  })
})

describe('a pool', () => {
  it('that is not published is not served to a peer that knows its key, whenever the peer asks', async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const alice = peers.machine()
    await create(alice, 'open', 1)
    const secret = await create(alice, 'secret', 3)
    const wasOpen = await create(alice, 'was-open', 3)
    await pub(alice, 'was-open')
    const open = await mallory.ask(await pub(alice, 'open'))
    await mallory.connectionTo(await alice.pool.id())
    await alice.pool.unpub({ path: 'was-open' })

    // The peer is connected for one pool, and asks for the others on the same connection.
    const replicas = [await mallory.ask(secret, { look: false }), await mallory.ask(wasOpen, { look: false })]
    await roundTrip(alice, 'open', open)
    expect(replicas.map(({ length, peers }) => [length, peers.length])).toEqual([
      [0, 0],
      [0, 0],
    ])
    // It asks on a new connection as well.
    for (const connection of mallory.swarm.connections) connection.destroy()
    await until(
      () => open.peers.length,
      (count) => count === 0,
    )
    await mallory.connectionTo(await alice.pool.id())
    await roundTrip(alice, 'open', open)
    expect(replicas.map(({ length, peers }) => [length, peers.length])).toEqual([
      [0, 0],
      [0, 0],
    ])
    // The requests were valid: once the pool is published, its blocks come.
    await alice.pool.pub({ path: 'secret' })
    await until(
      () => replicas[0]!.length,
      (length) => length === 3,
    )
  })

  it('is not served after unpub, while the connection stays open for another pool', async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const alice = peers.machine()
    await create(alice, 'open', 1)
    await create(alice, 'closed', 2)
    const open = await mallory.ask(await pub(alice, 'open'))
    const closed = await mallory.ask(await pub(alice, 'closed'))
    await until(
      () => closed.length,
      (length) => length === 2,
    )
    const connection = await mallory.connectionTo(await alice.pool.id())
    await alice.pool.unpub({ path: 'closed' })
    await alice.pool.post({ path: 'closed', payment: sampleTransaction('one more') })
    await until(
      () => alice.pool.tail({ path: 'closed' }),
      ({ length }) => length === 3,
    )
    await roundTrip(alice, 'open', open)
    expect([closed.length, closed.peers.length]).toEqual([2, 0])
    await expect(Promise.race([closed.get(1), roundTrip(alice, 'open', open)])).resolves.toBeUndefined()
    expect(connection.destroyed).toBe(false)
  })

  it('is served only to the machines that the newest `allow` names', async () => {
    await using peers = await Peers.start()
    await using bob = new RawPeer(peers)
    await using mallory = new RawPeer(peers)
    const alice = peers.machine()
    const key = await create(alice, 'consortium', 2)
    await create(alice, 'open', 1)
    await pub(alice, 'consortium', [bob.id])
    const open = await mallory.ask(await pub(alice, 'open'))
    await roundTrip(alice, 'open', open)
    const [bobs, mallorys] = [await bob.ask(key), await mallory.ask(key)]
    await until(
      () => bobs.length,
      (length) => length === 2,
    )
    await roundTrip(alice, 'open', open)
    expect([mallorys.length, mallorys.peers.length]).toEqual([0, 0])

    await alice.pool.pub({ path: 'consortium', allow: [mallory.id] })
    await until(
      () => mallorys.length,
      (length) => length === 2,
    )
    await until(
      () => bobs.peers.length,
      (count) => count === 0,
    )
    await alice.pool.post({ path: 'consortium', payment: sampleTransaction('not for bob') })
    await until(
      () => mallorys.length,
      (length) => length === 3,
    )
    expect(bobs.length).toBe(2)

    await alice.pool.pub({ path: 'consortium' })
    expect((await statusOf(alice, 'consortium')).allow).toBeUndefined()
    await until(
      () => bobs.length,
      (length) => length === 3,
    )
  })

  /** A peer that goes straight to a machine and asks for a pool; resolves when the machine has answered. */
  async function asksAt(machine: Machine, open: string, peer: RawPeer, key: string): Promise<Hypercore> {
    const core = await peer.ask(key, { look: false })
    core.get(0).catch(() => {})
    peer.swarm.joinPeer(Buffer.from(await machine.pool.id(), 'hex'))
    await roundTrip(machine, 'open', await peer.ask(open, { look: false }))
    return core
  }

  it.each([false, true])(
    'that is allowed to few is not served by their machines to others, but to one another while the publisher is away (encrypted: %s)',
    {
      timeout: 180_000,
    },
    async (encrypt) => {
      await using peers = await Peers.start()
      await using dave = new RawPeer(peers)
      const alice = peers.machine()
      const followers = [peers.machine().listen(), peers.machine().listen()]
      await alice.pool.create({ path: 'consortium', port: false, encrypt })
      for (let i = 0; i < 10; i++) await alice.pool.post({ path: 'consortium', payment: sampleTransaction(`for few ${i}`) })
      const allow = [dave.id, ...(await Promise.all(followers.map(({ pool }) => pool.id())))]
      const capability = await alice.pool.pub({ path: 'consortium', allow })
      await alice.pool.ready({ path: 'consortium', announced: true })
      const [key] = capability.split('.') as [string]
      for (const follower of followers) {
        await follower.pool.sub({ path: capability })
        await until(
          () => follower.seen(key),
          ({ length }) => length === 10,
          60_000,
        )
        await create(follower, 'open', 1)
      }
      const opens = await Promise.all(followers.map((follower) => pub(follower, 'open')))
      const isRefused = async () => {
        for (const [i, follower] of followers.entries()) {
          await using mallory = new RawPeer(peers)
          const core = await asksAt(follower, opens[i]!, mallory, key)
          expect(core.peers.length, 'it is connected for this pool').toBe(1)
          expect([core.length, await core.has(0)]).toEqual([0, false])
        }
      }
      await isRefused()
      await alice.pool.close()
      for (const follower of followers) {
        await follower.restart()
        follower.listen()
      }
      await isRefused()
      const davids = await asksAt(followers[0]!, opens[0]!, dave, key)
      await until(
        () => davids.length,
        (length) => length > 0,
        60_000,
      )
      for (let n = 0; n < davids.length; n++) expect((await davids.get(n)).length).toBeGreaterThan(0)
      // The newest list counts, also for those who have dropped off it.
      await alice.restart()
      await alice.pool.pub({ path: 'consortium', allow: allow.slice(1) })
      const newest = async (follower: Machine) => {
        const eve = new RawPeer(peers, dave.swarm.keyPair)
        await using _ = eve
        return (await asksAt(follower, opens[followers.indexOf(follower)]!, eve, key)).length
      }
      await dave[Symbol.asyncDispose]()
      for (const follower of followers)
        await until(
          () => newest(follower),
          (length) => length === 0,
          60_000,
        )
    },
  )

  it('that is open to all is served by its followers while the publisher is away', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await create(alice, 'mypool', 3)
    const key = await pub(alice, 'mypool')
    await create(bob, 'open', 1)
    const open = await pub(bob, 'open')
    await bob.pool.sub({ path: key })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 3,
    )
    await alice.pool.close()
    const core = await asksAt(bob, open, mallory, key)
    await until(
      () => core.length,
      (length) => length === 3,
    )
    expect((await core.get(2)).length).toBeGreaterThan(0)
  })

  it('that is the only published one makes the machine refuse connections of machines that `allow` does not name', async () => {
    await using peers = await Peers.start()
    await using bob = new RawPeer(peers)
    await using carol = new RawPeer(peers)
    const alice = peers.machine()
    const key = await create(alice, 'consortium', 2)
    await pub(alice, 'consortium', [bob.id])
    const [bobs, carols] = [await bob.ask(key), await carol.ask(key)]
    await until(
      () => bobs.length,
      (length) => length === 2,
    )
    const tried = await until(
      () => carol.swarm.stats.connects.client,
      ({ closed }) => closed > 0,
      60_000,
    )
    expect(tried.opened).toBe(0)
    // A new `allow` closes the connections of machines that it does not name.
    await alice.pool.pub({ path: 'consortium', allow: [carol.id] })
    await until(
      () => bob.swarm.connections.size,
      (count) => count === 0,
    )
    await until(
      () => carol.lookAgain(carols).then(() => carols.length),
      (length) => length === 2,
      60_000,
    )
  }, 120_000)
})

describe('a machine', () => {
  /** Opens connections to a machine, each under another key; resolves when each is open or has failed. */
  async function strangers({ swarm }: RawPeer, machine: string, count: number): Promise<Connection[]> {
    const connections: Connection[] = []
    while (connections.length < count) {
      const some = Array.from({ length: Math.min(50, count - connections.length) }, () =>
        swarm.dht.connect(Buffer.from(machine, 'hex'), { keyPair: newKeyPair() }),
      )
      for (const connection of some) connection.on('error', () => {})
      await Promise.all(some.map(({ opened }) => opened))
      connections.push(...some)
    }
    return connections
  }

  const nonsense = (length: number) => Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)))

  it('keeps at most 256 connections when a thousand strangers connect, and prefers machines that share a pool with it', {
    timeout: 120_000,
  }, async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const [alice, bob, carol] = [peers.machine(), peers.machine().listen(), peers.machine().listen()]
    await create(alice, 'mypool', 1)
    const key = await pub(alice, 'mypool')
    await bob.pool.sub({ path: key })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 1,
    )
    const connections = await strangers(mallory, await alice.pool.id(), 1_000)
    const open = await until(
      () => connections.filter(({ destroyed }) => !destroyed).length,
      (count) => count < 256,
    )
    expect(open).toBeGreaterThan(200)
    await alice.pool.post({ path: 'mypool', payment: sampleTransaction('goes on') })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 2,
    )
    await carol.pool.sub({ path: key })
    await until(
      () => carol.seen(key),
      ({ length }) => length === 2,
      60_000,
    )
    expect(bob.errors).toEqual([])
    expect(alice.errors).toEqual([])
  })

  it('makes room for the machines that it names when all its connections share a pool with it', {
    timeout: 120_000,
  }, async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const bob = peers.machine().listen()
    const alice = peers.machine({ peers: [await bob.pool.id()] })
    await create(alice, 'mypool', 1)
    const key = await pub(alice, 'mypool')
    const core = await mallory.ask(key, { look: false })
    const machine = await alice.pool.id()
    const connections = await strangers(mallory, machine, 256)
    for (const connection of connections) core.replicate(connection)
    await until(
      () => core.peers.length,
      (count) => count === 256,
    )
    await bob.pool.sub({ path: key })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 1,
      60_000,
    )
    await until(
      () => core.peers.length,
      (count) => count === 255,
    )
  })

  it('has room for newcomers when all its connections share a pool with it, and those that came first stay', {
    timeout: 120_000,
  }, async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const [alice, bob, carol] = [peers.machine(), peers.machine().listen(), peers.machine().listen()]
    await create(alice, 'mypool', 1)
    const key = await pub(alice, 'mypool')
    await bob.pool.sub({ path: key })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 1,
    )
    const core = await mallory.ask(key, { look: false })
    const connections = await strangers(mallory, await alice.pool.id(), 253)
    for (const connection of connections) core.replicate(connection)
    await until(
      () => core.peers.length,
      (count) => count >= 250,
    )
    await carol.pool.sub({ path: key })
    await until(
      () => carol.seen(key),
      ({ length }) => length === 1,
      60_000,
    )
    // More strangers come, one after the other: each takes the place of another one.
    for (let i = 0; i < 20; i++) {
      const [stranger] = await strangers(mallory, await alice.pool.id(), 1)
      core.replicate(stranger!)
    }
    await alice.pool.post({ path: 'mypool', payment: sampleTransaction('goes on') })
    for (const machine of [bob, carol])
      await until(
        () => machine.seen(key),
        ({ length }) => length === 2,
        60_000,
      )
    expect((await statusOf(bob, key)).network!.peers).toBe(1)
  })

  it('closes the connection of a peer that asks for more than a thousand unknown pools', async () => {
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await create(alice, 'mypool', 1)
    const key = await pub(alice, 'mypool')
    const core = await mallory.ask(key)
    const connection = await mallory.connectionTo(await alice.pool.id())
    const ask = (count: number) => {
      const muxer = Hypercore.getProtocolMuxer(connection) as { createChannel(of: { protocol: string; id: Buffer }): { open(): void } }
      for (let i = 0; i < count; i++) muxer.createChannel({ protocol: 'hypercore/alpha', id: randomBytes(32) }).open()
    }
    ask(1_000)
    await roundTrip(alice, 'mypool', core)
    expect(connection.destroyed).toBe(false)
    ask(1)
    await until(
      () => connection.destroyed,
      (destroyed) => destroyed,
    )
    await bob.pool.sub({ path: key })
    await until(
      () => bob.seen(key),
      ({ length }) => length >= 3,
    )
  })

  it('works on when peers send nonsense', { timeout: 120_000 }, async () => {
    console.log(`nonsense, seed ${seed}`)
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await create(alice, 'mypool', 3)
    const key = await pub(alice, 'mypool')
    await bob.pool.sub({ path: key })
    const core = await mallory.ask(key, { look: false })
    const connections = await strangers(mallory, await alice.pool.id(), 150)
    for (const [i, connection] of connections.entries()) {
      if (i % 3) core.replicate(connection)
      else if (i % 2) connection.rawStream!.write(nonsense(1 + Math.floor(random() * 2_000)))
    }
    await until(
      () => core.peers.length,
      (count) => count === 100,
    )
    for (const connection of connections) {
      for (let k = 0; k < 20 && !connection.destroying; k++) {
        // As in the replication protocol: the channel, the kind of message, and then random bytes.
        const head = random() < 0.9 ? [Math.floor(random() * 3), Math.floor(random() * 11)] : []
        connection.write(Buffer.concat([Buffer.from(head), nonsense(Math.floor(random() * 60))]))
      }
    }
    await until(
      () => connections.filter(({ destroyed }) => destroyed).length,
      (count) => count > 100,
      60_000,
    )
    for (const connection of connections) connection.destroy()
    await alice.pool.post({ path: 'mypool', payment: sampleTransaction('goes on') })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 4,
    )
    expect(bob.seen(key)).toEqual([0, 1, 2, 3])
    expect([...alice.errors, ...bob.errors]).toEqual([])
    expect(await statusOf(alice, 'mypool')).toMatchObject({ entries: 4, published: true })
  })

  it('gets every entry once, in order, when connections break in the middle of blocks', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    await using carol = new RawPeer(peers)
    const publisher = await carol.publish(newKeyPair())
    const bob = peers.machine().listen()
    const large = Array.from({ length: 48 }, (_, i) =>
      blockOf(i, [entryBytes(`${i}`, { tx: Buffer.from(largePayment(250_000 + i).transaction, 'hex') })]),
    )
    await publisher.append(...large)
    await bob.pool.sub({ path: publisher.key })
    for (const least of [1, 12, 24, 36]) {
      await until(
        () => bob.events.length,
        (count) => count >= least,
        60_000,
      )
      for (const connection of carol.swarm.connections) connection.destroy()
    }
    await until(
      () => bob.events.length,
      (count) => count >= large.length,
      60_000,
    )
    expect(bob.seen(publisher.key)).toEqual(large.map((_, i) => i))
    expect(bob.events.map(({ payment: { transaction } }) => transaction)).toEqual(
      large.map((_, i) => largePayment(250_000 + i).transaction),
    )
    expect(bob.errors).toEqual([])
  })
})
