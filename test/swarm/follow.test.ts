import { describe, expect, it } from 'vitest'
import { OverpoolError } from '../../index.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { largePayment, payment, TestMachine, until } from '../machine/machine.ts'
import { type Machine, Peers } from './peers.ts'

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i)

/** Posts the texts `from` to `to`, a thousand at a time. */
async function post({ pool }: Machine, path: string, from: number, to: number): Promise<void> {
  const texts = upTo(to).slice(from).map(String)
  for (let i = 0; i < texts.length; i += 1_000)
    await Promise.all(texts.slice(i, i + 1_000).map((text) => pool.post({ path, payment: sampleTransaction(text) })))
}

function sees(machine: Machine, path: string, count: number, ms?: number): Promise<number[]> {
  return until(
    () => machine.seen(path),
    (seqs) => seqs.length >= count,
    ms,
  )
}

describe('a subscriber', () => {
  it('needs only the two lines of code in the article', async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine()]
    {
      const { pool } = alice
      void pool.create({ path: 'mypool', port: 0 })
      const key = await pool.pub({ path: 'mypool' })
      await post(alice, 'mypool', 0, 2)
      {
        const { pool } = bob
        await pool.sub({ path: key })
        const events: object[] = []
        pool.on('tx', (e) => {
          events.push({ path: e.path, key: e.key, hash: e.hash, payment: e.payment, text: e.parsed.out[0]!.tape[1]!.cell[0]!.s })
        })
        await until(
          () => events,
          ({ length }) => length >= 2,
        )
        const ours = await alice.pool.tail({ path: 'mypool' })
        expect(events).toEqual(ours.map(({ hash, payment }, i) => ({ path: key, key, hash, payment, text: String(i) })))
      }
    }
  })

  it('that subscribes after 10,000 entries gets each of them once, in order, from the first on', { timeout: 180_000 }, async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    await post(alice, 'mypool', 0, 10_000)
    await bob.pool.sub({ path: key })
    await sees(bob, key, 10_000, 120_000)
    await post(alice, 'mypool', 10_000, 10_001)
    await sees(bob, key, 10_001, 60_000)
    expect(bob.seen(key)).toEqual(upTo(10_001))
    const ids = async (machine: Machine, path: string) => (await Array.fromAsync(machine.pool.read({ path }))).map(({ id }) => id)
    expect(await ids(bob, key)).toEqual(await ids(alice, 'mypool'))
  })

  it('whose publisher dies while it catches up handles the entries that it has, and gets the rest when the publisher is back', {
    timeout: 180_000,
  }, async () => {
    await using peers = await Peers.start()
    const { network } = peers
    await using alice = await TestMachine.start({ mypool: {} }, { side: 'sqlite', network, idle: true })
    await using bob = await TestMachine.start({}, { side: 'sqlite', network })
    const key = await alice.call('pub', 'mypool')
    // Each payment is so large that it is a block of its own, and fetching all of them takes a while.
    await Promise.all(upTo(100).map((i) => alice.call('post', { path: 'mypool', payment: largePayment(200_000 + i) })))
    await alice.call('announced', 'mypool')
    await bob.call('sub', key)
    await until(
      () => bob.call('length', key),
      (length) => length > 0,
    )
    await alice.kill()

    const [before] = await until(
      () => bob.call('status'),
      ([pool]) => (pool?.behind ?? 0) > 0 && pool?.network?.peers === 0,
      60_000,
    )
    const has = await bob.call('length', key)
    expect(before).toMatchObject({ entries: has, subscribed: true })
    await until(
      () => bob.ended(key),
      (seqs) => seqs.length >= has,
      60_000,
    )
    await bob.stop()
    expect(await bob.verify(key)).toMatchObject({ entries: has, receipts: has, problems: 0 })

    await bob.start()
    await alice.start()
    await alice.call('post', { path: 'mypool', payment: payment('one more') })
    await until(
      () => bob.ended(key),
      (seqs) => seqs.length >= 101,
      60_000,
    )
    expect(bob.ended(key)).toEqual(upTo(101))
  })

  it('that was offline during thousands of posts and restarts of its publisher misses no entry', { timeout: 180_000 }, async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    await bob.pool.sub({ path: key })
    await post(alice, 'mypool', 0, 10)
    await sees(bob, key, 10)
    await bob.pool.close()

    for (let i = 0; i < 3; i++) {
      await post(alice, 'mypool', 10 + 1_000 * i, 10 + 1_000 * (i + 1))
      await alice.restart()
      await alice.pool.create({ path: 'mypool', port: false })
    }
    await bob.restart()
    bob.listen()
    await sees(bob, key, 3_010, 60_000)
    expect(bob.seen(key)).toEqual(upTo(3_010))
  })

  it('that subscribes while its publisher is offline gets the entries when the publisher returns', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine().listen()]
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    await post(alice, 'mypool', 0, 3)
    await alice.pool.close()

    await bob.pool.sub({ path: key })
    await until(
      () => bob.pool.status(),
      ([pool]) => pool?.network !== undefined, // it has looked for the publisher
    )
    expect((await bob.pool.status())[0]).toMatchObject({ entries: 0, network: { peers: 0 } })
    await alice.restart()
    await alice.pool.status() // the machine starts at its first call
    await sees(bob, key, 3, 60_000)
    expect(bob.seen(key)).toEqual([0, 1, 2])
  })

  it('gets every entry in order, beside nine others, also when it subscribes late', { timeout: 180_000 }, async () => {
    await using peers = await Peers.start()
    const alice = peers.machine()
    const subscribers = upTo(10).map(() => peers.machine().listen())
    await alice.pool.create({ path: 'mypool', port: false })
    const key = await alice.pool.pub({ path: 'mypool' })
    for (const [i, { pool }] of subscribers.entries()) {
      await pool.sub({ path: key })
      await post(alice, 'mypool', 20 * i, 20 * (i + 1))
    }
    for (const subscriber of subscribers) {
      await sees(subscriber, key, 200, 60_000)
      expect(subscriber.seen(key)).toEqual(upTo(200))
    }
    await until(
      () => alice.pool.status(),
      ([pool]) => pool?.network?.peers === 10,
    )
  })
})

describe('a loop over the wire', () => {
  it('is ended by the machine whose pool allows no more hops, with an error that names the pool; everything else goes on', {
    timeout: 120_000,
  }, async () => {
    await using peers = await Peers.start()
    const [alice, bob] = [peers.machine(), peers.machine()]
    await alice.pool.create({ path: 'alice', port: false })
    await bob.pool.create({ path: 'bob', port: false, maxHops: 3 })
    const keys = { alice: await alice.pool.pub({ path: 'alice' }), bob: await bob.pool.pub({ path: 'bob' }) }
    await alice.pool.sub({ path: keys.bob })
    await bob.pool.sub({ path: keys.alice })
    alice.pool.on('tx', async (e) => {
      if (e.path === keys.bob) await alice.pool.post({ path: 'alice', payment: sampleTransaction(`step ${e.hops + 1}`) })
    })
    bob.pool.on('tx', async (e) => {
      if (e.path === keys.alice) await bob.pool.post({ path: 'bob', payment: sampleTransaction(`step ${e.hops + 1}`) })
    })

    await alice.pool.post({ path: 'alice', payment: sampleTransaction('step 0') })
    const { report } = await until(
      () => bob.errors.find((error) => error.report.kind === 'given-up')!,
      (error) => error !== undefined,
      60_000,
    )
    const refused = new OverpoolError(
      'LOOP_TOO_DEEP',
      'this post is 5 posts away from the one that began the loop; "bob" allows 3 (maxHops)',
    )
    expect(report).toMatchObject({ pool: keys.alice, seq: 2, error: refused })
    expect(bob.errors.map(({ message }) => message)).toContainEqual(
      expect.stringContaining('LOOP_TOO_DEEP'), // the terminal shows the code, too
    )
    expect((await alice.pool.tail({ path: 'alice' })).map(({ hops }) => hops)).toEqual([0, 2, 4])
    expect((await bob.pool.tail({ path: 'bob' })).map(({ hops }) => hops)).toEqual([1, 3])

    await alice.pool.post({ path: 'alice', payment: sampleTransaction('another') })
    await until(
      () => bob.pool.tail({ path: 'bob' }),
      (events) => events.length === 4,
    )
    expect((await bob.pool.tail({ path: 'bob' })).map(({ hops }) => hops)).toEqual([1, 3, 1, 3])
  })
})
