import { createHmac } from 'node:crypto'
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import Corestore from 'corestore'
import Hypercore, { type Manifest, type Storage } from 'hypercore'
import crypto, { type KeyPair } from 'hypercore-crypto'
import { elapsed, unlessAborted } from '../../shared/clock.ts'
import { closed, OverpoolError, reasonOf } from '../../shared/errors.ts'
import { discoveryKeyOf } from '../../shared/ledger/discovery-key.ts'
import type { PoolAddress } from '../../shared/ledger/pool-address.ts'
import type { PoolControl, Signed, SignedText } from '../../shared/store/control.ts'
import { Fetcher, IN_FLIGHT } from './fetcher.ts'
import { signText, type Tree, TreeHash } from './signed.ts'

/** Bytes that the cores' store buffers in memory before it writes a file, all pools together. Its default of 64 MB makes nothing faster here. */
const WRITE_BUFFER = 4 * 1024 * 1024
/**
 * Hypercore prints a conflict to standard output, with no option to turn that off. There it would stand between a program's own lines, or in the JSON of the command line.
 * The event `conflict` reports it.
 */
const { log } = console
console.log = (...said: unknown[]) => {
  if (!String(said[0]).startsWith('[hypercore] conflict detected')) log.apply(console, said)
}

/** A hypercore for reading. */
export interface ReadCore {
  /** blocks that the publisher has signed, as far as we know */
  readonly length: number
  /** Whether block n is here. */
  has(n: number): Promise<boolean>
  /** Block n. Of a peer's core it waits until the block arrives. It fails when the core is closed. */
  get(n: number): Promise<Uint8Array>
  /** 64 hex */
  treeHash(length?: number): Promise<string>
  /** The publisher's signature over the whole log as it is here; undefined for an empty log. */
  signed(): Promise<Signed | undefined>
  close(): Promise<void>
}

/** The signed log of one pool of ours. It follows the mirror: block n of the core and item n of the mirror are the same bytes (Promise 1). */
export interface PoolCore extends Pick<ReadCore, 'length' | 'has' | 'get' | 'treeHash' | 'close'> {
  /** Appends blocks, the first of which is block `from`. It refuses any place but the end. */
  append(from: number, blocks: Uint8Array[]): Promise<void>
  /** An empty tree, to compute the hash that the core would have with other blocks. */
  tree(): Tree
}

/** The log of a peer's pool, as far as it has arrived. */
export interface PeerCore extends ReadCore {
  /** how often the publisher has taken blocks back; 0 for an honest one */
  readonly fork: number
  /** how many connections to machines that have it were lost */
  readonly losses: number
  /** The sizes of `count` blocks that are here, from number n on. */
  sizes(n: number, count: number): Promise<number[]>
  /** Resolves to true when a peer has told us the length; to false if the core was closed before. */
  heard(): Promise<boolean>
  /**
   * Downloads blocks from number n on, future ones included. Without it each live block costs a round trip.
   * @returns a promise to wait for when many blocks are missing: it resolves when a good number of them is here
   */
  fetch(n: number): Promise<void> | undefined
}

/** Events of a peer's core. */
export interface PeerCoreEvents {
  /** the publisher has signed more */
  grew: () => void
  /** called on events that must never happen: conflict, truncation, a closed core */
  alarm: (what: string) => void
}

/** The keys of a pool, derived from the machine's seed and the pool's name: the same seed gives the same pool on an empty disk. */
export interface PoolKeys {
  /** 64 hex: others subscribe to it */
  key: string
  discoveryKey: string
  /** 64 hex: subscribers of an encrypted pool need it as well */
  secret: string
  manifest: Manifest
  keyPair: KeyPair
}

/** @param seed 32 bytes, the machine's one secret */
export function poolKeys(seed: Uint8Array, path: string): PoolKeys {
  const keyPair = crypto.keyPair(derived(seed, `overpool pool\0${path}`))
  const manifest = { version: 1, signers: [{ publicKey: keyPair.publicKey }] }
  const key = Hypercore.key(manifest)
  const secret = derived(seed, `overpool encryption\0${path}`).toString('hex')
  return { key: key.toString('hex'), discoveryKey: discoveryKeyOf(key.toString('hex')), secret, manifest, keyPair }
}

/** The key pair by which other machines know this one, or one of its shards: the same seed gives the same. */
export function machineKeyPair(seed: Uint8Array, shard = 0): KeyPair {
  return crypto.keyPair(derived(seed, shard ? `overpool machine\0${shard}` : 'overpool machine'))
}

function derived(seed: Uint8Array, purpose: string): Buffer {
  return createHmac('sha256', seed).update(purpose).digest()
}

/** All hypercores of a machine, in one folder. The folder holds no secret: the signing keys stay in memory. */
export class CoreStore {
  readonly #storage: Storage
  readonly #store: Corestore
  readonly #seed: Uint8Array

  constructor(folder: string, seed: Uint8Array, options: { readOnly?: boolean } = {}) {
    if (!options.readOnly) mkdirSync(folder, { recursive: true, mode: 0o700 })
    // Corestore refuses a copied or restored folder, since it could sign a second ledger. Here the mirror prevents that (Promise 1).
    this.#storage = Hypercore.defaultStorage(folder, { ...options, allowBackup: true, writeBufferSize: WRITE_BUFFER })
    this.#store = new Corestore(this.#storage)
    this.#seed = seed
  }

  /**
   * Opens the folder. It is a cache of the mirror (Promise 1): if it cannot be opened, and a new one can, it is set aside as `cores.damaged` and made again.
   * @param setAside called with the reason
   */
  static async open(folder: string, seed: Uint8Array, setAside: (error: unknown) => void): Promise<CoreStore> {
    try {
      return await ready(new CoreStore(folder, seed))
    } catch (error) {
      const fresh = `${folder}.new`
      rmSync(fresh, { recursive: true, force: true })
      try {
        await (await ready(new CoreStore(fresh, seed))).close()
      } catch {
        throw new OverpoolError(
          'UNAVAILABLE',
          `the hypercores in ${folder} cannot be opened, nor others made beside them: ${reasonOf(error)}`,
          {
            cause: error,
          },
        )
      }
      rmSync(`${folder}.damaged`, { recursive: true, force: true })
      renameSync(folder, `${folder}.damaged`)
      renameSync(fresh, folder)
      setAside(error)
      return ready(new CoreStore(folder, seed))
    }
  }

  /** Resolves when it is open. */
  ready(): Promise<void> {
    return this.#store.ready()
  }

  /**
   * Opens the core of one of our pools.
   * @param alarm called on conflict and truncation: they must never happen, and only the key's holder can cause them
   */
  async open(
    path: string,
    { encrypted = false, alarm = () => {} }: { encrypted?: boolean; alarm?: (what: string) => void } = {},
  ): Promise<PoolCore> {
    const { key, manifest, keyPair, secret } = poolKeys(this.#seed, path)
    const core = this.#get(key, encrypted ? secret : undefined, manifest)
    for (const event of ['conflict', 'truncate'] as const) core.on(event, () => alarm(event))
    await core.ready().catch((cause) => {
      const folder = this.#storage.path
      const why = `the hypercore of "${path}" cannot be read: stop the machine, remove ${folder}, and start it again, so that it is made again from the ledger`
      throw new OverpoolError('UNAVAILABLE', why, { cause })
    })
    growsByUsAlone(core)
    return new OurCore(core, path, keyPair, { key, ...(encrypted && { secret }) })
  }

  /** Opens the core of a peer's pool. */
  async openPeer(key: string, secret: string | undefined, { grew, alarm }: PeerCoreEvents): Promise<PeerCore> {
    const core = this.#get(key, secret)
    const opened = new TheirCore(core, this.#storage)
    core.on('append', grew)
    core.on('conflict', () => alarm('the publisher has signed two different ledgers under one key (conflict)'))
    core.on('truncate', () => alarm('the publisher has taken back what it had signed (truncate)'))
    core.on('close', () => opened.closing || alarm('its hypercore was closed'))
    await core.ready()
    return opened
  }

  /** The public keys of all cores in the folder, 64 hex. */
  async keys(): Promise<string[]> {
    await this.ready()
    const keys: string[] = []
    for await (const discoveryKey of this.#store.list()) {
      const auth = await this.#store.getAuth(discoveryKey)
      if (auth) keys.push(auth.key.toString('hex'))
    }
    return keys
  }

  /** Opens a core to read the blocks that are here. */
  async read(key: string, secret: string | undefined): Promise<ReadCore> {
    await this.ready().catch((cause) => {
      const why = 'the hypercores cannot be opened to be read; the machine makes them again at its next start'
      throw new OverpoolError('UNAVAILABLE', `${why}: ${reasonOf(cause)}`, { cause })
    })
    const core = this.#get(key, secret)
    await core.ready()
    return new OpenCore(core)
  }

  /**
   * The blocks of a pool as its key has signed them, for their repair: from its hypercore here, or from peers if it is shared with them meanwhile.
   * @param peersMs give up on peers when none has sent a block for this time
   */
  async source({ path, key, kind, desired }: PoolControl, peersMs: number, signal: AbortSignal): Promise<CoreSource> {
    const isOurs = kind !== 'peer'
    const secret = isOurs ? desired?.encrypt && poolKeys(this.#seed, path).secret : desired?.secret
    const core = this.#get(key, secret || undefined)
    await core.ready()
    if (isOurs) core.core.replicator.eagerUpgrade = peersMs > 0 // the only time that a core of ours asks others for its length: it may be lost, too
    return new CoreSource(core, peersMs, signal, isOurs)
  }

  /** A text, signed with the key of one of our pools. */
  signText(path: string, text: string): SignedText {
    const { key, keyPair } = poolKeys(this.#seed, path)
    return signText(key, text, keyPair)
  }

  /** A core for the swarm to replicate: a session of its own, which the caller closes. */
  async replica(key: string, { isOurs }: { isOurs: boolean }): Promise<Hypercore> {
    const core = this.#get(key)
    await core.ready()
    if (isOurs) growsByUsAlone(core)
    return core
  }

  /**
   * Removes a hypercore that will be rebuilt: one of ours from the mirror, a peer's from the network. Every session of it is closed before.
   * (Hypercore's own `purge` calls a method that version 11 no longer has.)
   */
  async purge(key: string): Promise<void> {
    const session = this.#get(key)
    await session.ready()
    const { core } = session
    const { storage } = core
    await session.close()
    if (core.hasSession()) throw new OverpoolError('UNAVAILABLE', `the hypercore ${key} is still open`, { retryable: true })
    await core.close() // otherwise the store keeps it in memory for some seconds
    await storage.store.deleteCore(storage.core)
  }

  #get(key: string, secret?: string, manifest?: Manifest): Hypercore {
    return this.#store.get({
      key: Buffer.from(key, 'hex'),
      manifest,
      inflightRange: IN_FLIGHT,
      ...(secret !== undefined && { encryption: { key: Buffer.from(secret, 'hex') } }),
    })
  }

  /** Closes it. A damaged store that cannot be closed in order stops nothing else: it is a cache of the mirror. */
  async close(): Promise<void> {
    await this.#store.close().catch(() => {})
    await this.#storage.close().catch(() => {}) // a store that could not be opened leaves it open, and locked
  }
}

/** An open store; one that cannot be opened is closed. */
async function ready(cores: CoreStore): Promise<CoreStore> {
  try {
    await cores.ready()
    return cores
  } catch (error) {
    await cores.close().catch(() => {})
    throw error
  }
}

/**
 * A core of ours never takes its length from peers. After a lost disk it is behind the mirror; with its subscribers' length it would append after blocks that it
 * lacks. (An option of hypercore that Corestore does not pass on.)
 */
function growsByUsAlone(core: Hypercore): void {
  core.core.replicator.eagerUpgrade = false
}

/** See `CoreStore.source`. */
export class CoreSource {
  readonly #core: Hypercore
  readonly #peersMs: number
  readonly #isOurs: boolean
  readonly #signal: AbortSignal
  #giveUpAt: number

  constructor(core: Hypercore, peersMs: number, signal: AbortSignal, isOurs: boolean) {
    this.#core = core
    this.#peersMs = peersMs
    this.#isOurs = isOurs
    this.#giveUpAt = elapsed() + peersMs
    this.#signal = signal
  }

  /** Block n; undefined if it cannot be had. */
  async get(n: number): Promise<Uint8Array | undefined> {
    return (await this.#here(n)) ?? this.#fromPeers(n)
  }

  async #here(n: number): Promise<Uint8Array | undefined> {
    try {
      return (await this.#core.get(n, { wait: false })) ?? undefined
    } catch {
      if (this.#peersMs > 0) await this.#core.clear(n).catch(() => {}) // it is damaged here, too: without it, peers are asked
      return undefined
    }
  }

  async #fromPeers(n: number): Promise<Uint8Array | undefined> {
    const timeout = this.#giveUpAt - elapsed()
    if (timeout <= 0) return undefined
    try {
      const block = await unlessAborted(this.#signal, this.#core.get(n, { timeout }))
      this.#giveUpAt = elapsed() + this.#peersMs
      return block
    } catch {
      if (this.#signal.aborted) throw closed()
      return undefined
    }
  }

  /** Whether the hypercore here has every block. */
  get isWhole(): boolean {
    return this.#core.contiguousLength === this.#core.length
  }

  async close(): Promise<void> {
    if (this.#isOurs) growsByUsAlone(this.#core)
    await this.#core.close()
  }
}

class OpenCore implements ReadCore {
  protected readonly core: Hypercore

  constructor(core: Hypercore) {
    this.core = core
  }

  get length(): number {
    return this.core.length
  }

  has(n: number): Promise<boolean> {
    return this.core.has(n)
  }

  get(n: number): Promise<Uint8Array> {
    return this.core.get(n)
  }

  async treeHash(length?: number): Promise<string> {
    // `core.treeHash` would first download the newest block, and wait while the publisher is away. Its hash is known as soon as the length is.
    return (await Hypercore.treeHashFromStorage(this.core, length)).toString('hex')
  }

  async signed(): Promise<Signed | undefined> {
    const { length, manifest, state } = this.core
    const { signature } = state // read at the same moment as the length
    const signer = manifest?.signers[0]?.publicKey
    if (!length || !signature || !signer) return undefined
    return {
      length,
      treeHash: await this.treeHash(length),
      signature: signature.toString('hex'),
      signer: Buffer.from(signer).toString('hex'),
    }
  }

  close(): Promise<void> {
    return this.core.close()
  }
}

class OurCore extends OpenCore implements PoolCore {
  readonly #path: string
  readonly #keyPair: KeyPair
  readonly #address: PoolAddress

  constructor(core: Hypercore, path: string, keyPair: KeyPair, address: PoolAddress) {
    super(core)
    this.#path = path
    this.#keyPair = keyPair
    this.#address = address
  }

  tree(): TreeHash {
    return new TreeHash(this.#address)
  }

  async append(from: number, blocks: Uint8Array[]): Promise<void> {
    const { length } = this.core
    if (from !== length)
      throw new OverpoolError('POOL_HALTED', `the core of ${this.#path} has ${length} blocks; block ${from} cannot follow`)
    await this.core.append(blocks, { keyPair: this.#keyPair })
  }
}

class TheirCore extends OpenCore implements PeerCore {
  closing = false
  losses = 0
  readonly #fetcher: Fetcher
  readonly #storage: Storage

  constructor(core: Hypercore, storage: Storage) {
    super(core)
    this.#storage = storage
    this.#fetcher = new Fetcher(core)
    core.on('peer-remove', () => this.losses++)
  }

  get fork(): number {
    return this.core.fork
  }

  override async get(n: number): Promise<Uint8Array> {
    const block = await super.get(n)
    // The store has it in memory, too, and would write it to its file before the next write only.
    if (block.length >= WRITE_BUFFER) await this.#storage.db.flush().catch(() => {}) // the next write meets what is wrong with the disk
    return block
  }

  async heard(): Promise<boolean> {
    const { core } = this
    if (!core.peers.length && !core.length) await new Promise<void>((resolve) => core.on('peer-add', resolve).on('close', resolve))
    await core.update({ wait: true }).catch(() => {})
    return !this.closing
  }

  async sizes(n: number, count: number): Promise<number[]> {
    const read = this.core.state.storage.read()
    const leaves = Array.from({ length: count }, (_, i) => read.getTreeNode(2 * (n + i)))
    read.tryFlush()
    return (await Promise.all(leaves)).map((leaf) => leaf?.size ?? 0)
  }

  fetch(n: number): Promise<void> | undefined {
    return this.#fetcher.fetch(n)
  }

  override close(): Promise<void> {
    this.closing = true
    return super.close()
  }
}
