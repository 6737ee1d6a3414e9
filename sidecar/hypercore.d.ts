// hypercore and its family publish no types; these are the parts that are used here, and no more.

declare module 'hypercore-crypto' {
  export interface KeyPair {
    publicKey: Buffer
    secretKey: Buffer
  }
  const crypto: {
    /** ed25519, from a seed of 32 bytes */
    keyPair(seed: Uint8Array): KeyPair
    discoveryKey(key: Uint8Array): Buffer
  }
  export default crypto
}

declare module 'hypercore' {
  import type { KeyPair } from 'hypercore-crypto'
  export interface Manifest {
    version: number
    signers: { publicKey: Uint8Array }[]
  }
  /** where cores are kept; its options go on to the store beneath */
  export interface Storage {
    readonly path: string
  }
  export default class Hypercore {
    static key(manifest: Manifest): Buffer
    static defaultStorage(folder: string, options: { readOnly?: boolean; writeBufferSize?: number }): Storage
    readonly length: number
    ready(): Promise<void>
    append(blocks: Uint8Array[], options: { keyPair: KeyPair }): Promise<{ length: number }>
    get(index: number): Promise<Buffer>
    treeHash(length?: number): Promise<Buffer>
    on(event: 'conflict' | 'truncate' | 'verification-error' | 'close', listener: (...details: unknown[]) => void): this
    close(): Promise<void>
  }
}

declare module 'corestore' {
  import type Hypercore from 'hypercore'
  import type { Manifest, Storage } from 'hypercore'
  export default class Corestore {
    constructor(storage: Storage)
    ready(): Promise<void>
    get(options: { key: Uint8Array; manifest?: Manifest }): Hypercore
    close(): Promise<void>
  }
}
