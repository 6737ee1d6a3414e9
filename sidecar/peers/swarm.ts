import { once } from 'node:events'
import Hypercore from 'hypercore'
import type { KeyPair } from 'hypercore-crypto'
import DHT from 'hyperdht'
import Hyperswarm, { type Connection, type Discovery } from 'hyperswarm'
import type { Clock } from '../../shared/clock.ts'
import type { NetworkSettings } from '../../shared/config/config.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { hex } from '../../shared/ledger/values.ts'
import { backoff } from '../../shared/retry.ts'

/** Machines connected at once at most. Those beyond are let go, unless one that has nothing to do with us can go in their place. */
const MAX_CONNECTIONS = 256
/** A machine that asks for more pools than this that are none of its business is let go. */
const MAX_STRANGE_ASKS = 1_000
/** A machine that answers nothing for so long is taken for dead, ms: the transport by itself would wait for up to 18 s until its next process is seen. */
const SILENT_MS = 4_000
/** Between two looks whether connected machines still answer, and the longest time in which they are asked nothing, ms. */
const PULSE_MS = 1_000
/** Leaving takes about 30 ms a pool; after this time the rest is left to time-outs at the other side, ms. */
const LEAVE_MS = 3_000
/** What is not there (a network, a publisher, a machine) is tried again after so long, ms, doubling up to the most. */
const TRY_MS = 500
const TRY_MOST_MS = 30_000

/** A pool that is shared with the network. */
export interface Share {
  core: Hypercore
  /** we have it: others find us; else we look for others that have it */
  announce: boolean
  /** only these machines get it, by their public keys (64 hex) */
  allow?: string[]
  /** a machine to go to straight for it, by its public key (64 hex) */
  peer?: string
}

interface Place extends Share {
  /** undefined until there is a network */
  discovery?: Discovery
  announced: boolean
  left: AbortController
}

/**
 * This machine in the peer-to-peer network. On each connection it replicates the pools that were shared, and no others; a pool that was not is never
 * offered, whoever asks for it. It begins with the first share: a machine that shares nothing opens no socket.
 */
export class Swarm {
  readonly #keyPair: KeyPair
  readonly #network: NetworkSettings
  readonly #clock: Clock
  readonly #failed: (error: OverpoolError) => void
  readonly #places = new Map<string, Place>()
  readonly #closed = new AbortController()
  #dht: DHT | undefined
  #swarm: Hyperswarm | undefined
  /** why there is no network, if there is none */
  #problem: string | undefined
  /** when there is a network, or at the end */
  readonly #opened = Promise.withResolvers<void>()

  /** @param failed is told when there is no network to be had with these settings */
  constructor(keyPair: KeyPair, network: NetworkSettings, clock: Clock, failed: (error: OverpoolError) => void) {
    this.#keyPair = keyPair
    this.#network = network
    this.#clock = clock
    this.#failed = failed
  }

  /** Shares a pool: on the connections that there are at once, and with those that find us from now on. The announcement goes on in the background. */
  share(share: Share): void {
    const place: Place = { ...share, announced: false, left: new AbortController() }
    this.#places.set(hex(share.core.discoveryKey), place)
    if (!this.#swarm) {
      void this.#open()
      for (const peer of this.#network.peers ?? []) void this.#goTo(peer, this.#closed.signal)
    }
    void this.#enter(place)
  }

  async #enter(place: Place): Promise<void> {
    await this.#opened.promise
    const { core, announce, peer, left } = place
    if (left.signal.aborted) return
    const discovery = this.#swarm!.join(core.discoveryKey, { server: announce, client: !announce })
    place.discovery = discovery
    this.#review()
    if (peer !== undefined) void this.#goTo(peer, left.signal)
    if (announce) await this.#announce(place, discovery)
    else
      await this.#insist(
        () => this.#hasPublisher(place),
        () => discovery.refresh(),
        left.signal,
      )
  }

  /** Shares a pool with these machines only from now on, or with all. Who has blocks of it keeps them. */
  restrict(core: Hypercore, allow: string[] | undefined): void {
    const place = this.#places.get(hex(core.discoveryKey))
    if (!place) return
    place.allow = allow
    this.#review()
  }

  /** Shares it no more. What else goes over the connections goes on. */
  async leave(core: Hypercore): Promise<void> {
    const name = hex(core.discoveryKey)
    const place = this.#places.get(name)
    if (!place) return
    this.#places.delete(name)
    place.left.abort()
    for (const connection of this.#swarm!.connections) withhold(core, connection)
    if (place.peer !== undefined && !this.#isNamed(place.peer)) this.#swarm!.leavePeer(Buffer.from(place.peer, 'hex'))
    this.#review()
    if (place.discovery) await within(LEAVE_MS, place.discovery.destroy())
  }

  /** How a shared pool stands. */
  state(core: Hypercore): { announced: boolean; peers: number; problem?: string } {
    const announced = this.#places.get(hex(core.discoveryKey))?.announced ?? false
    return { announced, peers: core.peers.length, ...(this.#problem !== undefined && { problem: this.#problem }) }
  }

  async #open(attempt = 1): Promise<void> {
    const dht = createDht(this.#network)
    const firewall = (peer: Uint8Array) => this.#refuses(hex(peer))
    // Hyperswarm's own bound, 64, counts those who come to us and then lets us go to nobody any more.
    const swarm = new Hyperswarm({ dht, keyPair: this.#keyPair, firewall, maxPeers: 4 * MAX_CONNECTIONS })
    swarm.setMaxListeners(0) // one a followed pool
    swarm.on('connection', (connection) => this.#connected(connection))
    swarm.on('ban', (info) => {
      // It would be refused for ever, and kept in memory for ever: what our firewall says of it may change.
      info.ban(false)
      if (!info.explicit) swarm.leavePeer(info.publicKey)
    })
    this.#dht = dht
    this.#swarm = swarm
    try {
      // A connection that is begun while the node finds out which of its sockets can be reached may hang for 15 s.
      await dht.fullyBootstrapped()
      this.#problem = undefined
      this.#opened.resolve()
      void this.#watch()
    } catch (cause) {
      await this.#openLater(noNetwork(this.#network, cause as NodeJS.ErrnoException), attempt)
    }
  }

  /** Perhaps there is a network later, when the port is free. */
  async #openLater(error: OverpoolError, attempt: number): Promise<void> {
    const { signal } = this.#closed
    if (attempt === 1 && !signal.aborted) this.#failed(error)
    this.#problem = error.message
    await within(LEAVE_MS, this.#swarm!.destroy({ force: true }))
    await this.#clock.sleep(backoff(attempt, TRY_MS, TRY_MOST_MS), signal)
    if (!signal.aborted) await this.#open(attempt + 1)
  }

  /** Goes to a machine straight, and again whenever it is not connected. */
  async #goTo(peer: string, signal: AbortSignal): Promise<void> {
    await this.#opened.promise
    const join = () => this.#swarm!.joinPeer(Buffer.from(peer, 'hex'))
    if (!signal.aborted) join()
    await this.#insist(() => this.#isConnected((name) => name === peer), join, signal)
  }

  #connected(connection: Connection): void {
    connection.on('error', () => {}) // its close follows, and the swarm tries again
    connection.setKeepAlive(PULSE_MS)
    if (this.#connections().length > MAX_CONNECTIONS && !this.#makeRoom(connection)) return void connection.destroy()
    let strange = 0
    const asked = (discoveryKey: Uint8Array) => {
      const place = this.#places.get(hex(discoveryKey))
      if (place && allows(place, connection)) place.core.replicate(connection)
      else if (++strange > MAX_STRANGE_ASKS) connection.destroy()
    }
    Hypercore.createProtocolStream(connection, { ondiscoverykey: asked })
    for (const place of this.#places.values()) if (allows(place, connection)) place.core.replicate(connection)
  }

  #connections(): Connection[] {
    return [...this.#swarm!.connections].filter(({ destroying }) => !destroying)
  }

  /** Lets the oldest machine go that shares no pool with us; for one that we have named, any that we have not. */
  #makeRoom(newcomer: Connection): boolean {
    const busy = new Set([...this.#places.values()].flatMap(({ core }) => core.peers.map(({ remotePublicKey }) => hex(remotePublicKey))))
    const others = this.#connections().filter((other) => other !== newcomer && !this.#isNamed(hex(other.remotePublicKey)))
    const idle = others.find(({ remotePublicKey }) => !busy.has(hex(remotePublicKey)))
    const goes = idle ?? (this.#isNamed(hex(newcomer.remotePublicKey)) ? others[0] : undefined)
    goes?.destroy()
    return goes !== undefined
  }

  #isNamed(peer: string): boolean {
    const { peers = [] } = this.#network
    return peers.includes(peer) || [...this.#places.values()].some((place) => place.peer === peer || place.allow?.includes(peer))
  }

  /** A machine that none of our pools is for does not get as far as a connection. */
  #refuses(peer: string): boolean {
    return [...this.#places.values()].every(({ announce, allow }) => announce && allow && !allow.includes(peer))
  }

  /** Makes the connections that there are follow what is shared now. */
  #review(): void {
    for (const connection of this.#connections()) {
      if (this.#refuses(hex(connection.remotePublicKey))) {
        connection.destroy()
        continue
      }
      for (const place of this.#places.values()) {
        if (allows(place, connection)) place.core.replicate(connection)
        else withhold(place.core, connection)
      }
    }
  }

  // Without a network the query ends too, having asked nobody: an announcement is one that some node has taken.
  async #announce(place: Place, discovery: Discovery): Promise<void> {
    const { signal } = place.left
    for (let attempt = 1; !signal.aborted; attempt++) {
      const answered = await (attempt === 1 ? discovery.flushed() : discovery.refresh()).catch(() => false)
      place.announced = answered && this.#dht!.toArray({ limit: 1 }).length > 0
      if (place.announced) return
      await this.#clock.sleep(backoff(attempt, TRY_MS, TRY_MOST_MS), signal)
    }
  }

  /** Whether a machine is connected that announces this pool, or is named for it. Others that have it may be behind. */
  #hasPublisher({ core, peer }: Place): boolean {
    const announces = (name: string) => this.#swarm!.peers.get(name)?.topics.some((topic) => hex(topic) === hex(core.discoveryKey))
    return this.#isConnected((name) => name === peer || announces(name))
  }

  #isConnected(wanted: (peer: string) => boolean | undefined): boolean {
    return this.#connections().some(({ remotePublicKey }) => wanted(hex(remotePublicKey)))
  }

  /**
   * Tries for as long as it is not there: at once when it has gone, then less and less often. The swarm by itself gives up after 20 s, and asks the DHT again after
   * ten minutes.
   */
  async #insist(there: () => boolean, tryAgain: () => unknown, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; !signal.aborted; attempt++) {
      if (there()) {
        attempt = 0
        await once(this.#swarm!, 'update', { signal }).catch(() => {})
        continue
      }
      await this.#clock.sleep(backoff(attempt, TRY_MS, TRY_MOST_MS), signal)
      try {
        if (!signal.aborted && !there()) await tryAgain()
      } catch {} // there is no network: it is tried again
    }
  }

  /** Lets go of machines that answer nothing any more. Looks are counted, not time: while this process itself was held up, nobody was silent. */
  async #watch(): Promise<void> {
    const heard = new WeakMap<Connection, { packets: number; silent: number }>()
    while (!this.#closed.signal.aborted) {
      await this.#clock.sleep(PULSE_MS, this.#closed.signal)
      for (const connection of this.#connections()) {
        const packets = connection.rawStream?.packetsReceived ?? Number.NaN
        const before = heard.get(connection)
        const silent = before?.packets === packets ? before.silent + 1 : 0
        heard.set(connection, { packets, silent })
        if (silent * PULSE_MS >= SILENT_MS) connection.destroy()
      }
    }
  }

  /** Leaves the network; who follows us hears of it, if there is time. */
  async close(): Promise<void> {
    this.#closed.abort()
    this.#opened.resolve()
    for (const place of this.#places.values()) place.left.abort()
    this.#places.clear()
    if (!this.#swarm) return
    if (!(await within(LEAVE_MS, this.#swarm.destroy()))) await within(LEAVE_MS, this.#swarm.destroy({ force: true }))
  }
}

function allows({ allow }: Place, { remotePublicKey }: Connection): boolean {
  return !allow || allow.includes(hex(remotePublicKey))
}

/**
 * Stops replicating a core on a connection, and answers no later wish for it there. Hypercore offers this only for the whole connection, which others need:
 * so we do what its replicator does when it closes.
 */
function withhold(core: Hypercore, connection: Connection): void {
  const muxer = Hypercore.getProtocolMuxer(connection)
  core.core.replicator.detachFrom(muxer)
  for (const { protomux, channel } of Array.from(core.peers)) if (protomux === muxer) channel.close()
}

/** A node of the DHT. With an address to announce it does not find out for itself whether it can be reached. */
export function createDht({ bootstrap, port, host, announce }: NetworkSettings): DHT {
  const options = { bootstrap, host, ...(port !== undefined && { port, anyPort: false }) }
  return announce === undefined
    ? new DHT(options)
    : DHT.bootstrapper(port!, announce, { ...options, bootstrap: bootstrap ?? DHT.BOOTSTRAP })
}

function noNetwork({ port, host }: NetworkSettings, cause: NodeJS.ErrnoException): OverpoolError {
  const why =
    cause.code === 'EADDRINUSE'
      ? `UDP port ${port} is taken by another program`
      : `no UDP port can be had${host ? ` on ${host}` : ''}: ${cause.code ?? cause.message}`
  return new OverpoolError('UNAVAILABLE', `${why}; it is tried again, and until then nothing is published or followed`, { cause })
}

/** Whether it is over in time; a failure counts as over. */
async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, ms, false)))
  const over = work.then(
    () => true,
    () => true,
  )
  return Promise.race([over, late]).finally(() => clearTimeout(timer))
}
