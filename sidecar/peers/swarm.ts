import { once } from 'node:events'
import Hypercore from 'hypercore'
import type { KeyPair } from 'hypercore-crypto'
import DHT, { type DhtOptions } from 'hyperdht'
import Hyperswarm, { type Connection, type Discovery } from 'hyperswarm'
import type { Clock } from '../../shared/clock.ts'
import type { NetworkSettings } from '../../shared/config/config.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { hex } from '../../shared/ledger/values.ts'
import { backoff } from '../../shared/retry.ts'
import type { Network } from '../../shared/store/control.ts'
import { Wake } from '../../shared/wake.ts'
import { addressOf, answeringNodes } from './bootstrap.ts'

/** At most this many machines are connected. For a further one, another one is disconnected. */
const MAX_CONNECTIONS = 256
/** Room for newcomers when all connected machines share a pool with us: of the machines that came last, so many give way, the oldest of them first. */
const NEWCOMERS = 32
/** A machine that asks for more than this many pools that it may not have is disconnected. */
const MAX_STRANGE_ASKS = 1_000
/** A machine that does not answer for this time counts as dead, ms. The transport alone would take up to 18 s to notice its next process. */
const SILENT_MS = 4_000
/** How often it checks that connected machines answer, and the longest time without asking them, ms. */
const PULSE_MS = 1_000
/** Leaving takes about 30 ms a pool. After this time, ms, the other side's time-outs do the rest. */
const LEAVE_MS = 3_000
/** A network, publisher or machine that cannot be reached is tried again after this time, ms, doubling up to the most. */
const TRY_MS = 500
const TRY_MOST_MS = 30_000

/** How often it is verified that others find an announced pool, and that the DHT knows how to reach this machine, ms. */
const VERIFY_MS = 5 * 60_000
const REACH_MS = 10_000
/** How often the bootstrap nodes are asked whether they are up, ms. */
const NODES_MS = 30_000

/** An empty range of ports to try first, so that the system chooses a free one. By default a node tries 49737, on which `overpool dht` runs. */
const ANY_PORT: [number, number] = [0, 0]

/** A pool that this machine shares. */
export interface Share {
  core: Hypercore
  /** true: announce it, so that others find us; false: look for machines that have it */
  announce: boolean
  /** only these machines may get it: public keys, 64 hex */
  allow?: string[]
  /** a machine to connect to directly for it: public key, 64 hex */
  peer?: string
}

interface Place extends Share {
  /** undefined until the swarm has joined the DHT */
  discovery?: Discovery
  announced: boolean
  /** when a search last found the announcement, ms since 1970 */
  verifiedAt?: number
  /** the announcement is to be verified now */
  readonly doubt: Wake
  left: AbortController
}

/**
 * This machine in the peer-to-peer network. On each connection it replicates the shared pools and no others, whatever the other side asks for. It starts with the first
 * share: a machine that shares nothing opens no socket.
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
  #isBegun = false
  /** why there is no network, if there is none */
  #problem: string | undefined
  /** resolves when there is a network, or at the end */
  readonly #opened = Promise.withResolvers<void>()

  /** @param failed called when the network cannot be joined with these settings */
  constructor(keyPair: KeyPair, network: NetworkSettings, clock: Clock, failed: (error: OverpoolError) => void) {
    this.#keyPair = keyPair
    this.#network = network
    this.#clock = clock
    this.#failed = failed
  }

  /** The public key by which other machines know this one, 64 hex. */
  get id(): string {
    return hex(this.#keyPair.publicKey)
  }

  /** Shares a pool, on current connections and on later ones. The announcement goes on in the background. */
  share(share: Share): void {
    const place: Place = { ...share, announced: false, doubt: new Wake(), left: new AbortController() }
    this.#places.set(hex(share.core.discoveryKey), place)
    if (!this.#isBegun) {
      this.#isBegun = true
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

  /** Shares a pool with these machines only, or with all. Machines that have blocks of it keep them. */
  restrict(core: Hypercore, allow: string[] | undefined): void {
    const place = this.#places.get(hex(core.discoveryKey))
    if (!place) return
    place.allow = allow
    this.#review()
  }

  /** Stops sharing it. Other pools on the same connections go on. */
  async leave(core: Hypercore): Promise<void> {
    const name = hex(core.discoveryKey)
    const place = this.#places.get(name)
    if (!place) return
    this.#places.delete(name)
    place.left.abort()
    for (const connection of this.#swarm?.connections ?? []) withhold(core, connection)
    if (place.peer !== undefined && !this.#isNamed(place.peer)) this.#swarm?.leavePeer(Buffer.from(place.peer, 'hex'))
    this.#review()
    if (place.discovery) await within(LEAVE_MS, place.discovery.destroy())
  }

  /** The state of a shared pool. */
  state(core: Hypercore): Pick<Network, 'announced' | 'verifiedAt' | 'peers' | 'problem'> {
    const { announced = false, verifiedAt } = this.#places.get(hex(core.discoveryKey)) ?? {}
    return {
      announced,
      ...(verifiedAt !== undefined && { verifiedAt }),
      peers: core.peers.length,
      ...(this.#problem !== undefined && { problem: this.#problem }),
    }
  }

  async #open(attempt = 1): Promise<void> {
    const network = await this.#reachable()
    if (this.#closed.signal.aborted) return
    const dht = createDht(network)
    const firewall = (peer: Uint8Array) => this.#refuses(hex(peer))
    // Hyperswarm's own limit, 64, counts incoming connections, and then makes no outgoing ones.
    const swarm = new Hyperswarm({ dht, keyPair: this.#keyPair, firewall, maxPeers: 4 * MAX_CONNECTIONS })
    swarm.setMaxListeners(0) // one for each subscription
    swarm.on('connection', (connection) => this.#connected(connection))
    swarm.on('ban', (info) => {
      // Hyperswarm would remember a refused machine permanently, but our firewall's answer may change.
      info.ban(false)
      if (!info.explicit) swarm.leavePeer(info.publicKey)
    })
    this.#dht = dht
    this.#swarm = swarm
    try {
      // A connection begun while the node still finds out which of its sockets is reachable may hang for 15 s.
      await dht.fullyBootstrapped()
      this.#problem = undefined
      this.#opened.resolve()
      void this.#watch()
      void this.#watchNodes(dht)
      void this.#watchAnnouncements()
    } catch (cause) {
      await this.#openLater(noNetwork(this.#network, cause as NodeJS.ErrnoException), attempt)
    }
  }

  /** The settings, with the bootstrap nodes that answer. */
  async #reachable(): Promise<NetworkSettings> {
    const { bootstrap, host } = this.#network
    if (!bootstrap || bootstrap.length < 2) return this.#network
    const probe = createDht({ host, bootstrap: [] })
    try {
      await probe.fullyBootstrapped()
      return { ...this.#network, bootstrap: await answeringNodes(bootstrap, probe) }
    } catch {
      return this.#network // the address is not ours: the node itself reports that
    } finally {
      await probe.destroy()
    }
  }

  /** Asks the bootstrap nodes again and again: one that is up now is used, one that is down is not waited for. */
  async #watchNodes(dht: DHT): Promise<void> {
    const { bootstrap = [] } = this.#network
    while (bootstrap.length > 1) {
      await this.#clock.sleep(NODES_MS, this.#closed.signal)
      if (this.#closed.signal.aborted) return
      dht.bootstrapNodes = (await answeringNodes(bootstrap, dht)).map(addressOf)
    }
  }

  /** Tries later: the port may be free then. */
  async #openLater(error: OverpoolError, attempt: number): Promise<void> {
    const { signal } = this.#closed
    if (attempt === 1 && !signal.aborted) this.#failed(error)
    this.#problem = error.message
    await within(LEAVE_MS, this.#swarm!.destroy({ force: true }))
    await this.#clock.sleep(backoff(attempt, TRY_MS, TRY_MOST_MS), signal)
    if (!signal.aborted) await this.#open(attempt + 1)
  }

  /** Connects to a machine directly, and again whenever it is not connected. */
  async #goTo(peer: string, signal: AbortSignal): Promise<void> {
    await this.#opened.promise
    const join = () => this.#swarm!.joinPeer(Buffer.from(peer, 'hex'))
    if (!signal.aborted) join()
    await this.#insist(() => this.#isConnected((name) => name === peer), join, signal)
  }

  #connected(connection: Connection): void {
    connection.on('error', () => {}) // 'close' follows, and the swarm reconnects
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
    return [...(this.#swarm?.connections ?? [])].filter(({ destroying }) => !destroying)
  }

  /**
   * Disconnects the oldest machine that shares no pool with us. If all do, it is one that we did not name: of the address that has clearly more connections than the newcomer's, or
   * else one of those that came last. So machines that have followed a pool for long stay, and newcomers take turns.
   */
  #makeRoom(newcomer: Connection): boolean {
    const busy = new Set([...this.#places.values()].flatMap(({ core }) => core.peers.map(({ remotePublicKey }) => hex(remotePublicKey))))
    const others = this.#connections().filter((other) => other !== newcomer && !this.#isNamed(hex(other.remotePublicKey)))
    const idle = others.find(({ remotePublicKey }) => !busy.has(hex(remotePublicKey)))
    const goes = idle ?? (this.#crowd(others, newcomer) ?? others).at(-NEWCOMERS) ?? others[0]
    goes?.destroy()
    return goes !== undefined
  }

  /** The connections of the address that has most, if these are twice as many as those of the newcomer's address. */
  #crowd(others: Connection[], newcomer: Connection): Connection[] | undefined {
    const addresses = Map.groupBy(others, hostOf)
    const [crowd] = [...addresses.values()].sort((one, other) => other.length - one.length)
    return crowd && crowd.length >= 2 * ((addresses.get(hostOf(newcomer))?.length ?? 0) + 1) ? crowd : undefined
  }

  #isNamed(peer: string): boolean {
    const { peers = [] } = this.#network
    return peers.includes(peer) || [...this.#places.values()].some((place) => place.peer === peer || place.allow?.includes(peer))
  }

  /** Refuses a machine that may have none of our pools, before it is connected. */
  #refuses(peer: string): boolean {
    return [...this.#places.values()].every(({ announce, allow }) => announce && allow && !allow.includes(peer))
  }

  /** Brings the current connections in line with what is shared now. */
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

  /**
   * Announces a pool, and verifies that others find it: at first, every few minutes, and when it is in doubt. An announcement that is not found is made again. (That the
   * announcement was sent proves nothing: without a network it also ends, and a node of the DHT that restarts has forgotten it.)
   */
  async #announce(place: Place, discovery: Discovery): Promise<void> {
    const { signal } = place.left
    signal.addEventListener('abort', () => place.doubt.wake())
    await discovery.flushed().catch(() => false)
    for (let attempt = 1; !signal.aborted; attempt++) {
      place.announced = await this.#isFound(place.core.discoveryKey)
      if (place.announced) {
        attempt = 0
        place.verifiedAt = this.#clock.now()
        await place.doubt.sleep(this.#clock, VERIFY_MS)
        continue
      }
      if (attempt > 1) await this.#clock.sleep(backoff(attempt - 1, TRY_MS, TRY_MOST_MS), signal)
      if (signal.aborted) return
      this.#swarm!.server.refresh() // how to reach this machine is an announcement of its own
      await discovery.refresh().catch(() => false)
    }
  }

  /** Searches as a stranger does: some node of the DHT must name this machine for the topic, and some node must know how to reach it. */
  async #isFound(topic: Uint8Array): Promise<boolean> {
    try {
      for await (const { peers } of this.#dht!.lookup(topic))
        if (peers.some(({ publicKey }) => this.#isOurs(publicKey))) return await this.#isReachable()
    } catch {} // there is no network
    return false
  }

  async #isReachable(): Promise<boolean> {
    try {
      for await (const { peer } of this.#dht!.findPeer(this.#keyPair.publicKey)) if (this.#isOurs(peer.publicKey)) return true
    } catch {}
    return false
  }

  #isOurs(publicKey: Uint8Array): boolean {
    return Buffer.compare(publicKey, this.#keyPair.publicKey) === 0
  }

  /** If no node knows how to reach this machine any more, the nodes have forgotten its pools as well. One search for all pools costs little. */
  async #watchAnnouncements(): Promise<void> {
    const { signal } = this.#closed
    while (!signal.aborted) {
      await this.#clock.sleep(REACH_MS, signal)
      const announced = [...this.#places.values()].filter((place) => place.announced)
      if (announced.length && !(await this.#isReachable())) for (const { doubt } of announced) doubt.wake()
    }
  }

  /** Whether a machine that announces this pool, or is named for it, is connected. Other machines that have it may be behind. */
  #hasPublisher({ core, peer }: Place): boolean {
    const announces = (name: string) => this.#swarm!.peers.get(name)?.topics.some((topic) => hex(topic) === hex(core.discoveryKey))
    return this.#isConnected((name) => name === peer || announces(name))
  }

  #isConnected(wanted: (peer: string) => boolean | undefined): boolean {
    return this.#connections().some(({ remotePublicKey }) => wanted(hex(remotePublicKey)))
  }

  /**
   * Retries until it is connected: at once after a loss, then less and less often. The swarm by itself gives up after 20 s, and asks the DHT again after ten minutes.
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
      } catch {} // there is no network; it retries
    }
  }

  /** Disconnects machines that do not answer. It counts checks, not time: a pause of this process is no silence of the others. */
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

  /** Leaves the network, and tells subscribers if there is time. */
  async close(): Promise<void> {
    this.#closed.abort()
    this.#opened.resolve()
    for (const place of this.#places.values()) place.left.abort()
    this.#places.clear()
    if (!this.#swarm) return
    if (!(await within(LEAVE_MS, this.#swarm.destroy()))) await within(LEAVE_MS, this.#swarm.destroy({ force: true }))
  }
}

function hostOf({ rawStream }: Connection): string | undefined {
  return rawStream?.remoteHost
}

function allows({ allow }: Place, { remotePublicKey }: Connection): boolean {
  return !allow || allow.includes(hex(remotePublicKey))
}

/**
 * Stops replicating a core on a connection, and refuses later requests for it there. Hypercore can do so only for a whole connection, which other pools need. So this does
 * what its replicator does when it closes.
 */
function withhold(core: Hypercore, connection: Connection): void {
  const muxer = Hypercore.getProtocolMuxer(connection)
  core.core.replicator.detachFrom(muxer)
  for (const { protomux, channel } of Array.from(core.peers)) if (protomux === muxer) channel.close()
}

/** Makes a node of the DHT. With an `announce` address the node takes itself as reachable there, and does not test whether it is. */
export function createDht({ bootstrap, port, host, announce }: NetworkSettings): DHT {
  const options: DhtOptions = { bootstrap, host, ...(port === undefined ? { port: ANY_PORT } : { port, anyPort: false }) }
  return announce === undefined
    ? new DHT(options)
    : DHT.bootstrapper(port!, announce, { ...options, bootstrap: bootstrap ?? DHT.BOOTSTRAP })
}

function noNetwork({ port, host }: NetworkSettings, cause: NodeJS.ErrnoException): OverpoolError {
  const why =
    cause.code === 'EADDRINUSE'
      ? `UDP port ${port} is taken by another program`
      : `no UDP port can be had${host ? ` on ${host}` : ''}: ${cause.code ?? cause.message}`
  return new OverpoolError('UNAVAILABLE', `${why}; it retries, and until then nothing is published and no subscription goes on`, { cause })
}

/** Whether the work ends in time; a failure counts as its end. */
async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, ms, false)))
  const over = work.then(
    () => true,
    () => true,
  )
  return Promise.race([over, late]).finally(() => clearTimeout(timer))
}
