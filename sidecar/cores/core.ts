import { createHmac } from 'node:crypto'
import Corestore from 'corestore'
import Hypercore, { type Manifest } from 'hypercore'
import crypto, { type KeyPair } from 'hypercore-crypto'
import { OverpoolError } from '../../shared/errors.ts'
import type { Capability } from '../../shared/ledger/capability.ts'
import { discoveryKeyOf } from '../../shared/ledger/discovery-key.ts'
import type { Signed } from '../../shared/store/control.ts'
import { Fetcher } from './fetcher.ts'
import { type Tree, TreeHash } from './signed.ts'

/** Bytes of blocks that the cores' store holds in memory before it makes a file of them, all pools together. Its own 64 MB make nothing faster here. */
const WRITE_BUFFER = 4 * 1024 * 1024
/**
 * Blocks that are asked for at once: at least, and at most where answers take long. Hypercore's own least is 16; with 32 a reader on a fast line needs a tenth less
 * time, with more it needs more again.
 */
const IN_FLIGHT: [number, number] = [32, 512]

/** A hypercore, to be read. */
export interface ReadCore {
  /** blocks that its publisher has signed, as far as we have heard */
  readonly length: number
  /** Whether block n is here. */
  has(n: number): Promise<boolean>
  /** Block n; of a peer's core, when it has come. It fails when the core is closed. */
  get(n: number): Promise<Uint8Array>
  /** 64 hex */
  treeHash(length?: number): Promise<string>
  /** What the publisher has signed of the whole log as it stands here, if it has blocks. */
  signed(): Promise<Signed | undefined>
  close(): Promise<void>
}

/** The signed log of one pool of ours. It follows the mirror: block n of the core and item n of the mirror are the same bytes (Promise 1). */
export interface PoolCore extends Pick<ReadCore, 'length' | 'has' | 'get' | 'treeHash' | 'close'> {
  /** Appends blocks, the first of which is number `from`; refuses any other place than the end. */
  append(from: number, blocks: Uint8Array[]): Promise<void>
  /** An empty tree, to see what hash the core would have with other blocks. */
  tree(): Tree
}

/** The log of a pool that somebody else signs, as far as it has come here. */
export interface PeerCore extends ReadCore {
  /** how often the publisher has taken blocks back: never, if it keeps its promises */
  readonly fork: number
  /** Resolves when somebody who has it has told us how long it is; false if it was closed meanwhile. */
  heard(): Promise<boolean>
  /**
   * Has blocks from number n on fetched, those to come too: a live tail without it is one round trip a block.
   * @returns what is worth waiting for when many are missing: a good number of them is here
   */
  fetch(n: number): Promise<void> | undefined
}

/** What may happen to a core that somebody else signs. */
export interface PeerCoreEvents {
  /** the publisher has signed more */
  grew: () => void
  /** what must never happen: conflict, truncation, a closed core */
  alarm: (what: string) => void
}

/** The keys of a pool, made from the machine's seed and the pool's name: the same seed gives the same pool again on an empty disk. */
export interface PoolKeys {
  /** 64 hex, what others subscribe to */
  key: string
  discoveryKey: string
  /** 64 hex, what an encrypted pool's subscribers need besides */
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

/** All hypercores of a machine, in one folder. It holds no secret: blocks are signed with keys that stay in memory. */
export class CoreStore {
  readonly #store: Corestore
  readonly #seed: Uint8Array

  constructor(folder: string, seed: Uint8Array, options: { readOnly?: boolean } = {}) {
    // The store would refuse a folder that was copied or restored, lest it signs another ledger. It is the mirror that keeps us from that (Promise 1).
    this.#store = new Corestore(Hypercore.defaultStorage(folder, { ...options, allowBackup: true, writeBufferSize: WRITE_BUFFER }))
    this.#seed = seed
  }

  /**
   * Opens the core of one of our pools.
   * @param alarm is told of what must never happen to a core and what nobody can do who has not its key: conflict, truncation
   */
  async open(
    path: string,
    { encrypted = false, alarm = () => {} }: { encrypted?: boolean; alarm?: (what: string) => void } = {},
  ): Promise<PoolCore> {
    const { key, manifest, keyPair, secret } = poolKeys(this.#seed, path)
    const core = this.#get(key, encrypted ? secret : undefined, manifest)
    for (const event of ['conflict', 'truncate'] as const) core.on(event, () => alarm(event))
    await core.ready()
    growsByUsAlone(core)
    return new OurCore(core, path, keyPair, { key, ...(encrypted && { secret }) })
  }

  /** Opens the core of a peer's pool. */
  async openPeer(key: string, secret: string | undefined, { grew, alarm }: PeerCoreEvents): Promise<PeerCore> {
    const core = this.#get(key, secret)
    const opened = new TheirCore(core)
    core.on('append', grew)
    core.on('conflict', () => alarm('the publisher has signed two different ledgers under one key (conflict)'))
    core.on('truncate', () => alarm('the publisher has taken back what it had signed (truncate)'))
    core.on('close', () => opened.closing || alarm('its hypercore was closed'))
    await core.ready()
    return opened
  }

  /** Opens a core to read what is here of it. */
  async read(key: string, secret: string | undefined): Promise<ReadCore> {
    const core = this.#get(key, secret)
    await core.ready()
    return new OpenCore(core)
  }

  /** A core as the swarm replicates it: a session of its own, to be closed by who asked. */
  async replica(key: string, { isOurs }: { isOurs: boolean }): Promise<Hypercore> {
    const core = this.#get(key)
    await core.ready()
    if (isOurs) growsByUsAlone(core)
    return core
  }

  /**
   * Removes a hypercore that is to be made again: one of ours, which nobody may have seen, from the mirror; a peer's, from the network. All who had it open have
   * closed it. (Hypercore's own `purge` calls a method that its version 11 has lost.)
   */
  async purge(key: string): Promise<void> {
    const session = this.#get(key)
    await session.ready()
    const { core } = session
    const { storage } = core
    await session.close()
    if (core.hasSession()) throw new OverpoolError('UNAVAILABLE', `the hypercore ${key} is still open`, { retryable: true })
    await core.close() // the store would keep it in memory for some seconds more
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

  close(): Promise<void> {
    return this.#store.close()
  }
}

/**
 * Nobody else signs it, so it takes its length from nobody: one that is behind the mirror, its disk having been lost, would take it from those who follow it, and go on after
 * blocks that it lacks. (An option of hypercore's that Corestore does not pass on.)
 */
function growsByUsAlone(core: Hypercore): void {
  core.core.replicator.eagerUpgrade = false
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
    // `core.treeHash` would first have the newest block fetched, for as long as its publisher is away: its hash is here as soon as its length is known.
    return (await Hypercore.treeHashFromStorage(this.core, length)).toString('hex')
  }

  async signed(): Promise<Signed | undefined> {
    const { length, manifest, state } = this.core
    const { signature } = state // of this length, read in the same moment
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
  readonly #capability: Capability

  constructor(core: Hypercore, path: string, keyPair: KeyPair, capability: Capability) {
    super(core)
    this.#path = path
    this.#keyPair = keyPair
    this.#capability = capability
  }

  tree(): TreeHash {
    return new TreeHash(this.#capability)
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
  readonly #fetcher: Fetcher

  constructor(core: Hypercore) {
    super(core)
    this.#fetcher = new Fetcher(core)
  }

  get fork(): number {
    return this.core.fork
  }

  async heard(): Promise<boolean> {
    const { core } = this
    if (!core.peers.length && !core.length) await new Promise<void>((resolve) => core.on('peer-add', resolve).on('close', resolve))
    await core.update({ wait: true }).catch(() => {})
    return !this.closing
  }

  fetch(n: number): Promise<void> | undefined {
    return this.#fetcher.fetch(n)
  }

  override close(): Promise<void> {
    this.closing = true
    return super.close()
  }
}
