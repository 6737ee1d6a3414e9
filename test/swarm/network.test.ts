import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import DHT from 'hyperdht'
import { describe, expect, it } from 'vitest'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { createDht } from '../../sidecar/peers/swarm.ts'
import { until } from '../machine/machine.ts'
import { type Machine, Peers } from './peers.ts'
import { blockBytes, newKeyPair, RawPeer } from './raw-peer.ts'

/** A UDP port that is in use until the socket is closed. */
async function takenPort(): Promise<{ port: number; socket: Socket }> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { port: socket.address().port, socket }
}

async function statusOf({ pool }: Machine, path: string) {
  return (await pool.status()).find((each) => each.path === path)!
}

/** Makes a machine publish `mypool`; resolves to the key when a first post has been handled. */
async function publisher(machine: Machine): Promise<string> {
  await machine.listen().pool.create({ path: 'mypool', port: false })
  const key = await machine.pool.pub({ path: 'mypool' })
  await handles(machine, 1)
  return key
}

/** Posts entry number `count`; resolves when the handler has been called with it. */
async function handles(machine: Machine, count: number): Promise<void> {
  await machine.pool.post({ path: 'mypool', payment: sampleTransaction(`entry ${count}`) })
  await until(
    () => machine.seen('mypool').length,
    (length) => length === count,
  )
}

async function closesSoon(machine: Machine): Promise<void> {
  const begun = performance.now()
  await machine.pool.close()
  expect(performance.now() - begun).toBeLessThan(15_000) // the machine waits at most 6 s for the network
}

describe('a machine without a network', () => {
  it('takes payments, runs handlers, and publishes by itself when the network appears', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    const { port, socket } = await takenPort()
    let asked = 0
    socket.on('message', () => asked++)
    const network = { bootstrap: [`127.0.0.1:${port}`] } // this port never answers
    const [alice, bob] = [peers.machine(network), peers.machine(network).listen()]
    const key = await publisher(alice)
    await bob.pool.sub({ path: key })
    expect(await statusOf(alice, 'mypool')).toMatchObject({ published: true, entries: 1 })
    await until(
      () => asked,
      (count) => count > 6,
      60_000,
    ) // both machines have asked, and have found nobody
    expect((await statusOf(alice, 'mypool')).network?.announced).toBe(false)

    socket.close()
    await once(socket, 'close')
    const node = DHT.bootstrapper(port, '127.0.0.1', { host: '127.0.0.1', bootstrap: [] })
    await node.fullyBootstrapped()
    await alice.pool.ready({ path: 'mypool', announced: true })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 1,
      90_000,
    )
    await handles(alice, 2)
    await until(
      () => bob.seen(key),
      ({ length }) => length === 2,
    )
    expect([...alice.errors, ...bob.errors]).toEqual([])
    await closesSoon(alice)
    await closesSoon(bob)
    await node.destroy()
  })

  it('closes soon, whether or not it has begun to announce a pool', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    const { port, socket } = await takenPort()
    const early = peers.machine({ bootstrap: [`127.0.0.1:${port}`] })
    await publisher(early)
    await closesSoon(early)
    const late = peers.machine({ bootstrap: [`127.0.0.1:${port}`] })
    await publisher(late)
    await late.pool.sub({ path: 'f'.repeat(64) })
    await until(
      () => statusOf(late, 'mypool'),
      ({ network }) => network !== undefined,
    )
    await closesSoon(late)
    socket.close()
  })

  it('whose UDP port is taken reports so once, works on, and uses the port when it is free', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    const { port, socket } = await takenPort()
    const [alice, bob] = [peers.machine({ port }), peers.machine().listen()]
    const key = await publisher(alice)
    await bob.pool.sub({ path: key })
    await until(
      () => alice.errors.length,
      (count) => count > 0,
    )
    await handles(alice, 2)
    expect(await statusOf(alice, 'mypool')).toMatchObject({ published: true, entries: 2, network: { announced: false, peers: 0 } })
    socket.close()
    await alice.pool.ready({ path: 'mypool', announced: true })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 2,
      60_000,
    )
    expect(alice.errors.map(({ report, message }) => [report.kind, message])).toEqual([
      ['no-network', expect.stringContaining(`UDP port ${port} is taken by another program`)],
    ])
    await closesSoon(alice)
  })

  it('whose UDP port stays taken closes soon; an address of another host fails in the same way', { timeout: 120_000 }, async () => {
    await using peers = await Peers.start()
    const { port, socket } = await takenPort()
    for (const network of [{ port }, { host: '192.0.2.1' }]) {
      const machine = peers.machine(network)
      await publisher(machine)
      await until(
        () => machine.errors.length,
        (count) => count === 1,
      )
      expect(machine.errors[0]!.report.kind).toBe('no-network')
      await closesSoon(machine)
    }
    socket.close()
  })
})

describe('a machine that starts', () => {
  it('reaches several publishers at once', async () => {
    // All connections but the first hung for 15 s when they began before the DHT node knew which of its sockets can be reached.
    await using peers = await Peers.start()
    await using first = new RawPeer(peers)
    await using second = new RawPeer(peers)
    await using third = new RawPeer(peers)
    const publishers = await Promise.all([first, second, third].map((peer) => peer.publish(newKeyPair())))
    for (const each of publishers) await each.append(blockBytes(0, 'a'))
    const bob = peers.machine().listen()
    for (const { key } of publishers) await bob.pool.sub({ path: key })
    await until(
      () => bob.events.length,
      (count) => count === 3,
      12_000,
    )
  })
})

describe('machines of one host that meet for the first time', () => {
  it('connect at the first attempt, however late the answer to the local probe comes', async () => {
    // This test fails with hyperdht 6.33 and 6.34. They start hole punching while the local probe runs; on a network of one DHT node each of the two then ends the other,
    // and the next attempt comes 5 to 15 s later.
    const { port, socket } = await takenPort()
    socket.close()
    await once(socket, 'close')
    const host = '127.0.0.1'
    const node = createDht({ port, host, announce: host, bootstrap: [] })
    await node.fullyBootstrapped()
    {
      const network = { host, bootstrap: [`${host}:${port}`] }
      await using publisher = new RawPeer({ network })
      await using subscriber = new RawPeer({ network })
      const published = await publisher.publish(newKeyPair())
      const { dht, stats } = subscriber.swarm
      await dht.fullyBootstrapped()
      const ping = dht.ping.bind(dht)
      dht.ping = async (address) => {
        for (let answers = 1; answers < 100; answers++) await ping(address)
        return ping(address)
      }
      const met = Promise.all([publisher, subscriber].map(({ swarm }) => once(swarm, 'connection')))
      await subscriber.ask(published.key)
      await met
      expect(stats.connects.client).toMatchObject({ attempted: 1, opened: 1, closed: 0 })
    }
    await node.destroy()
  })
})

describe('an announcement', () => {
  it('that the DHT has forgotten is made again, so that a stranger finds the pool; the status says when it was verified', async () => {
    await using peers = await Peers.start()
    const { port, socket } = await takenPort()
    socket.close()
    await once(socket, 'close')
    const host = '127.0.0.1'
    const network = { bootstrap: [`${host}:${port}`] }
    const startNode = async () => {
      const node = createDht({ port, host, announce: host, bootstrap: [] })
      await node.fullyBootstrapped()
      return node
    }
    const before = await startNode()
    const [alice, bob] = [peers.machine(network), peers.machine(network).listen()]
    const key = await publisher(alice)
    await alice.pool.ready({ path: 'mypool', announced: true })
    await until(
      () => statusOf(alice, 'mypool'),
      (status) => status.network?.verifiedAt !== undefined,
    )
    await before.destroy()
    const restarted = Date.now()
    const after = await startNode()
    await bob.pool.sub({ path: key })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 1,
      50_000,
    )
    await until(
      () => statusOf(alice, 'mypool'),
      ({ network }) => network!.announced && network!.verifiedAt! > restarted,
    )
    for (const machine of [alice, bob]) await machine.pool.close()
    await after.destroy()
  })
})

describe('the settings of the network', () => {
  it('can be the same on several machines of one host, each on a free port', async () => {
    await using peers = await Peers.start()
    const { bootstrap } = peers.network
    const [alice, bob] = [peers.machine({ bootstrap, host: undefined }), peers.machine({ bootstrap, host: undefined }).listen()]
    const key = await publisher(alice)
    await bob.pool.sub({ path: key })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 1,
      60_000,
    )
    expect([...alice.errors, ...bob.errors]).toEqual([])
  })

  it('may name bootstrap nodes that are down: queries do not wait for them', async () => {
    await using peers = await Peers.start()
    let asked = 0
    const silent = await Promise.all([takenPort(), takenPort()])
    for (const { socket } of silent) socket.on('message', () => asked++)
    const network = { bootstrap: [...silent.map(({ port }) => `127.0.0.1:${port}`), peers.network.bootstrap![0]!] }
    const [alice, bob] = [peers.machine(network), peers.machine(network).listen()]
    const key = await publisher(alice)
    await bob.pool.sub({ path: key })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 1,
      60_000,
    )
    expect(asked, 'each of the two machines asked each of the two nodes once, whether it is up').toBe(4)
    for (const { socket } of silent) socket.close()
  })

  it('without a port let the system choose one, and leave 49737 to `overpool dht`', async () => {
    const network = { host: '127.0.0.1', bootstrap: [] }
    const nodes = [createDht(network), createDht(network)]
    for (const node of nodes) {
      await node.fullyBootstrapped()
      const { port } = node.localAddress()
      expect(port < 49_737 || port > 49_741, `UDP port ${port} is none of those that a node tries by default`).toBe(true)
    }
    for (const node of nodes) await node.destroy()
  })

  it('set the address and port that a machine announces', async () => {
    await using peers = await Peers.start()
    const { port, socket } = await takenPort()
    socket.close()
    await once(socket, 'close')
    const [alice, bob] = [peers.machine({ port, announce: '127.0.0.1' }), peers.machine().listen()]
    const key = await publisher(alice)
    await bob.pool.sub({ path: key })
    await until(
      () => bob.seen(key),
      ({ length }) => length === 1,
      60_000,
    )
    expect([...alice.errors, ...bob.errors]).toEqual([])
  })

  it('let machines connect by public key alone', { timeout: 180_000 }, async () => {
    // Hyperswarm gives up after some attempts, but the machine finds a peer again that was offline for longer.
    await using peers = await Peers.start()
    await using mallory = new RawPeer(peers)
    const alice = peers.machine()
    const key = await publisher(alice)
    const id = await alice.pool.id()
    await alice.pool.unpub({ path: 'mypool' })
    await alice.pool.close()

    const [byPeer, byPeers] = [peers.machine().listen(), peers.machine({ peers: [id] }).listen()]
    await byPeer.pool.sub({ path: key, peer: id })
    await byPeers.pool.sub({ path: key })
    mallory.swarm.joinPeer(Buffer.from(id, 'hex'))
    await until(
      () => mallory.swarm.peers.get(id)?.attempts ?? 0,
      (attempts) => attempts >= 4,
      90_000,
    )
    await alice.restart()
    await alice.pool.pub({ path: 'mypool' })
    for (const machine of [byPeer, byPeers]) {
      await until(
        () => machine.seen(key),
        ({ length }) => length === 1,
        60_000,
      )
    }
    expect(mallory.swarm.connections.size).toBe(0)
  })
})
