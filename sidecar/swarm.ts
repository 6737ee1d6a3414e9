import Hypercore from 'hypercore'
import type { KeyPair } from 'hypercore-crypto'
import DHT from 'hyperdht'
import Hyperswarm, { type Connection, type Discovery } from 'hyperswarm'
import type { Clock } from '../shared/clock.ts'
import type { NetworkSettings } from '../shared/config.ts'
import { OverpoolError } from '../shared/errors.ts'
import { hex } from '../shared/ledger/entry.ts'
import { backoff } from '../shared/retry.ts'

/** Machines connected at once at most; those beyond are let go, and come again. */
const MAX_CONNECTIONS = 256
/** A machine that asks for more pools than this that are none of its business is let go. */
const MAX_STRANGE_ASKS = 1_000
/** A pool that nobody is connected for is looked for again after this time, ms; then after twice as long, and so on to the most. */
const LOOK_MS = 500
const LOOK_MOST_MS = 30_000
/** Leaving takes about 30 ms a pool; after this time the rest is left to time-outs at the other side, ms. */
const LEAVE_MS = 3_000

/** A pool that is shared with the network. */
export interface Share {
  core: Hypercore
  /** we have it: others find us; else we look for others that have it */
  announce: boolean
  /** only these machines get it, by their public keys (64 hex) */
  allow?: string[]
}

interface Place extends Share {
  discovery: Discovery
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
  #dht: DHT | undefined
  #swarm: Hyperswarm | undefined

  /** @param failed is told when there is no network to be had with these settings */
  constructor(keyPair: KeyPair, network: NetworkSettings, clock: Clock, failed: (error: OverpoolError) => void) {
    this.#keyPair = keyPair
    this.#network = network
    this.#clock = clock
    this.#failed = failed
  }

  /** Shares a pool: on the connections that there are at once, and with those that find us from now on. The announcement goes on in the background. */
  share(share: Share): void {
    const swarm = this.#open()
    const { core, announce } = share
    const discovery = swarm.join(core.discoveryKey, { server: announce, client: !announce })
    const place: Place = { ...share, discovery, announced: false, left: new AbortController() }
    this.#places.set(hex(core.discoveryKey), place)
    for (const info of swarm.peers.values()) if (info.banned && !this.#refuses(info.publicKey)) info.ban(false) // it was refused for another pool's sake
    for (const connection of swarm.connections) if (allows(place, connection)) core.replicate(connection)
    void (announce ? this.#announce(place) : this.#lookFor(place))
  }

  /** Shares it no more. Connections on which it was replicated are closed; they come again for what else is shared. */
  async leave(core: Hypercore): Promise<void> {
    const name = hex(core.discoveryKey)
    const place = this.#places.get(name)
    if (!place) return
    this.#places.delete(name)
    place.left.abort()
    const had = new Set(core.peers.map(({ remotePublicKey }) => hex(remotePublicKey)))
    for (const connection of this.#swarm!.connections) if (had.has(hex(connection.remotePublicKey))) connection.destroy()
    await within(LEAVE_MS, place.discovery.destroy())
  }

  /** How a shared pool stands. */
  state(core: Hypercore): { announced: boolean; peers: number } {
    return { announced: this.#places.get(hex(core.discoveryKey))?.announced ?? false, peers: core.peers.length }
  }

  #open(): Hyperswarm {
    if (!this.#swarm) {
      this.#dht = createDht(this.#network)
      this.#dht.fullyBootstrapped().catch((cause) => this.#failed(noNetwork(this.#network, cause)))
      this.#swarm = new Hyperswarm({ dht: this.#dht, keyPair: this.#keyPair, firewall: (peer) => this.#refuses(peer) })
      this.#swarm.on('connection', (connection) => this.#connected(connection))
      for (const peer of this.#network.peers ?? []) this.goTo(peer)
    }
    return this.#swarm
  }

  /** Connects to a machine straight, by its public key (64 hex), and again when the connection breaks. */
  goTo(peer: string): void {
    this.#open().joinPeer(Buffer.from(peer, 'hex'))
  }

  #connected(connection: Connection): void {
    connection.on('error', () => {}) // its close follows, and the swarm tries again
    if (this.#swarm!.connections.size > MAX_CONNECTIONS) return void connection.destroy()
    let strange = 0
    const asked = (discoveryKey: Uint8Array) => {
      const place = this.#places.get(hex(discoveryKey))
      if (place && allows(place, connection)) place.core.replicate(connection)
      else if (++strange > MAX_STRANGE_ASKS) connection.destroy()
    }
    Hypercore.createProtocolStream(connection, { ondiscoverykey: asked })
    for (const place of this.#places.values()) if (allows(place, connection)) place.core.replicate(connection)
  }

  /** A machine that none of our pools is for does not get as far as a connection. */
  #refuses(peer: Uint8Array): boolean {
    const places = [...this.#places.values()]
    return places.length > 0 && places.every(({ announce, allow }) => announce && allow && !allow.includes(hex(peer)))
  }

  // Without a network the query ends too, having asked nobody: an announcement is one that some node has taken.
  async #announce(place: Place): Promise<void> {
    for (let attempt = 1; !place.left.signal.aborted; attempt++) {
      const answered = await (attempt === 1 ? place.discovery.flushed() : place.discovery.refresh()).catch(() => false)
      place.announced = answered && this.#dht!.toArray({ limit: 1 }).length > 0
      if (place.announced) return
      await this.#clock.sleep(backoff(attempt, 1_000, 30_000), place.left.signal)
    }
  }

  // The network is asked again every ten minutes by itself: too long for who came before his publisher, or has lost him.
  async #lookFor(place: Place): Promise<void> {
    const { signal } = place.left
    await place.discovery.flushed().catch(() => false)
    for (let attempt = 1; !signal.aborted; attempt++) {
      place.announced = this.#dht!.toArray({ limit: 1 }).length > 0
      await this.#clock.sleep(backoff(attempt, LOOK_MS, LOOK_MOST_MS), signal)
      if (place.core.peers.length) attempt = 0
      else if (!signal.aborted) await place.discovery.refresh().catch(() => false)
    }
  }

  /** Leaves the network; who follows us hears of it, if there is time. */
  async close(): Promise<void> {
    for (const place of this.#places.values()) place.left.abort()
    this.#places.clear()
    if (!this.#swarm) return
    if (!(await within(LEAVE_MS, this.#swarm.destroy()))) await within(LEAVE_MS, this.#swarm.destroy({ force: true }))
  }
}

function allows({ allow }: Place, { remotePublicKey }: Connection): boolean {
  return !allow || allow.includes(hex(remotePublicKey))
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
  return new OverpoolError('UNAVAILABLE', `${why}; change \`network\`, until then nothing is published or followed`, { cause })
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
