import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Corestore from 'corestore'
import Hypercore from 'hypercore'
import crypto, { type KeyPair } from 'hypercore-crypto'
import DHT from 'hyperdht'
import Hyperswarm, { type Connection } from 'hyperswarm'
import { encodeBlock } from '../../shared/ledger/block.ts'
import { encodeEntry } from '../../shared/ledger/entry-codec.ts'
import type { EntryId, TxEntry } from '../../shared/ledger/kinds.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { until } from '../machine/machine.ts'
import type { Peers } from './peers.ts'

/** A hyperswarm and a corestore without a machine: a test can sign, serve and request anything with it. */
export class RawPeer {
  readonly swarm: Hyperswarm
  readonly store: Corestore
  readonly #folder: string

  constructor({ network }: Pick<Peers, 'network'>, keyPair: KeyPair = newKeyPair()) {
    this.#folder = mkdtempSync(join(tmpdir(), 'overpool-raw-'))
    this.swarm = new Hyperswarm({ dht: new DHT({ ...network, ephemeral: true }), keyPair })
    this.swarm.on('connection', (connection) => connection.on('error', () => {}))
    this.store = new Corestore(this.#folder)
  }

  /** The key by which other machines know it. */
  get id(): string {
    return this.swarm.keyPair.publicKey.toString('hex')
  }

  /** Publishes a hypercore, which this key pair signs. */
  async publish(keyPair: KeyPair, options: { encryption?: { key: Buffer } } = {}): Promise<RawPublisher> {
    const manifest = { version: 1, signers: [{ publicKey: keyPair.publicKey }] }
    const core = this.store.get({ key: Hypercore.key(manifest), manifest, ...options })
    await core.ready()
    this.offer(core)
    await this.announce(core)
    return new RawPublisher(core, keyPair)
  }

  /** Resolves when others can find the hypercore here. */
  async announce(core: Hypercore): Promise<void> {
    await this.swarm.join(core.discoveryKey, { server: true, client: false }).flushed()
  }

  /** Requests a hypercore on every connection, and looks for peers that have it. */
  async ask(key: string, { look = true, ...options }: { encryption?: { key: Buffer }; look?: boolean } = {}): Promise<Hypercore> {
    const core = this.store.get({ key: Buffer.from(key, 'hex'), ...options })
    await core.ready()
    this.offer(core)
    if (look) this.swarm.join(core.discoveryKey, { server: false, client: true })
    return core
  }

  /** Looks for peers again at once. Hyperswarm does so every ten minutes. */
  async lookAgain(core: Hypercore): Promise<void> {
    await this.swarm.join(core.discoveryKey, { server: false, client: true }).refresh()
  }

  offer(core: Hypercore): void {
    this.swarm.on('connection', (connection) => core.replicate(connection))
    for (const connection of this.swarm.connections) core.replicate(connection)
  }

  /** Resolves to the connection with this machine when it is open. */
  async connectionTo(machine: string): Promise<Connection> {
    const find = () => [...this.swarm.connections].find(({ remotePublicKey }) => remotePublicKey.toString('hex') === machine)
    return (await until(find, (connection) => connection !== undefined, 60_000))!
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.swarm.destroy({ force: true })
    await this.store.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Writes any bytes to a hypercore, as its publisher. */
export class RawPublisher {
  readonly core: Hypercore
  readonly #keyPair: KeyPair

  constructor(core: Hypercore, keyPair: KeyPair) {
    this.core = core
    this.#keyPair = keyPair
  }

  get key(): string {
    return this.core.key.toString('hex')
  }

  async append(...blocks: Uint8Array[]): Promise<void> {
    await this.core.append(blocks, { keyPair: this.#keyPair })
  }

  /** The same for a block that Hypercore itself would refuse as too large. */
  async appendLarge(block: Uint8Array): Promise<void> {
    const state = this.core.state as unknown as { append(blocks: Uint8Array[], options: { keyPair: KeyPair }): Promise<void> }
    await state.append([block], { keyPair: this.#keyPair })
  }

  /** Removes the blocks after the first `length`. */
  async truncate(length: number): Promise<void> {
    await this.core.truncate(length, { keyPair: this.#keyPair })
  }
}

export function newKeyPair(): KeyPair {
  return crypto.keyPair(crypto.randomBytes(32))
}

/** An entry of an honest publisher, with changed fields. */
export function entryBytes(text: string, changed: Partial<TxEntry> = {}): Uint8Array {
  return encodeEntry({
    kind: 'tx',
    id: crypto.randomBytes(32).toString('hex') as EntryId,
    at: 1_700_000_000_000,
    tx: Buffer.from(sampleTransaction(text), 'hex'),
    payment: {},
    source: 'api',
    hops: 0,
    ...changed,
  })
}

/** A block of an honest publisher, with one entry for each text. */
export function blockBytes(first: number, ...texts: string[]): Uint8Array {
  return blockOf(
    first,
    texts.map((text) => entryBytes(text)),
  )
}

export function blockOf(first: number, entries: Uint8Array[]): Uint8Array {
  return encodeBlock(0, first, entries).bytes
}
