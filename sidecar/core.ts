import { createHmac } from 'node:crypto'
import Corestore from 'corestore'
import Hypercore, { type Manifest } from 'hypercore'
import crypto, { type KeyPair } from 'hypercore-crypto'
import { OverpoolError } from '../shared/errors.ts'

/** Bytes of blocks that the cores' store holds in memory before it makes a file of them, all pools together. Its own 64 MB make nothing faster here. */
const WRITE_BUFFER = 8 * 1024 * 1024

/** The signed log of one pool. It follows the mirror: block n of the core and item n of the mirror are the same bytes (Promise 1). */
export interface PoolCore {
  readonly length: number
  /** Appends blocks, the first of which is number `from`; refuses any other place than the end. */
  append(from: number, blocks: Uint8Array[]): Promise<void>
  get(n: number): Promise<Uint8Array>
  /** 64 hex */
  treeHash(length?: number): Promise<string>
  close(): Promise<void>
}

/** The keys of a pool, made from the machine's seed and the pool's name: the same seed gives the same pool again on an empty disk. */
export interface PoolKeys {
  /** 64 hex, what others subscribe to */
  key: string
  discoveryKey: string
  manifest: Manifest
  keyPair: KeyPair
}

/** @param seed 32 bytes, the machine's one secret */
export function poolKeys(seed: Uint8Array, path: string): PoolKeys {
  const keyPair = crypto.keyPair(createHmac('sha256', seed).update(`overpool pool\0${path}`).digest())
  const manifest = { version: 1, signers: [{ publicKey: keyPair.publicKey }] }
  const key = Hypercore.key(manifest)
  return { key: key.toString('hex'), discoveryKey: crypto.discoveryKey(key).toString('hex'), manifest, keyPair }
}

/** All hypercores of a machine, in one folder. It holds no secret: blocks are signed with keys that stay in memory. */
export class CoreStore {
  readonly #store: Corestore
  readonly #seed: Uint8Array

  constructor(folder: string, seed: Uint8Array, options: { readOnly?: boolean } = {}) {
    this.#store = new Corestore(Hypercore.defaultStorage(folder, { ...options, writeBufferSize: WRITE_BUFFER }))
    this.#seed = seed
  }

  /** @param alarm is told of what must never happen to a core: conflict, truncation, a failed verification */
  async open(path: string, alarm: (what: string) => void = () => {}): Promise<PoolCore> {
    const { key, manifest, keyPair } = poolKeys(this.#seed, path)
    const core = this.#store.get({ key: Buffer.from(key, 'hex'), manifest })
    for (const event of ['conflict', 'truncate', 'verification-error'] as const) core.on(event, () => alarm(event))
    await core.ready()
    return {
      get length() {
        return core.length
      },
      async append(from, blocks) {
        if (from !== core.length)
          throw new OverpoolError('POOL_HALTED', `the core of ${path} has ${core.length} blocks; block ${from} cannot follow`)
        await core.append(blocks, { keyPair })
      },
      get: (n) => core.get(n),
      treeHash: async (length) => (await core.treeHash(length)).toString('hex'),
      close: () => core.close(),
    }
  }

  close(): Promise<void> {
    return this.#store.close()
  }
}
