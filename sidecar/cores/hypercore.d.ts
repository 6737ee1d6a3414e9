// hypercore and its family publish no types; these are the parts that are used here, and no more.

declare module 'hypercore-crypto' {
  export interface KeyPair {
    publicKey: Buffer
    secretKey: Buffer
  }
  /** a node of the Merkle tree; `index` in flat-tree numbering */
  export interface TreeNode {
    index: number
    size: number
    hash: Buffer
  }
  const crypto: {
    /** ed25519, from a seed of 32 bytes */
    keyPair(seed: Uint8Array): KeyPair
    sign(message: Uint8Array, secretKey: Uint8Array): Buffer
    verify(message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean
    randomBytes(length: number): Buffer
    discoveryKey(key: Uint8Array): Buffer
    data(block: Uint8Array): Buffer
    parent(left: TreeNode, right: TreeNode): Buffer
    tree(roots: TreeNode[]): Buffer
  }
  export default crypto
}

declare module 'hypercore' {
  import type { Duplex } from 'node:stream'
  import type { KeyPair, TreeNode } from 'hypercore-crypto'
  export interface Manifest {
    version: number
    signers: { publicKey: Uint8Array }[]
  }
  /** what runs side by side over one connection */
  export type Protomux = object
  export interface Download {
    /** fails when the core is closed */
    done(): Promise<void>
    destroy(): void
  }
  export interface Peer {
    remotePublicKey: Buffer
    remoteLength: number
    protomux: Protomux
    channel: { close(): void }
    /** answers a request of the peer */
    onrequest(message: { id: number }): Promise<void>
    /** sends a block without a request, where the peer takes that */
    push(index: number): Promise<void>
    wireNoData: { send(message: { request: number; reason: number }): void }
  }
  /** messages beside the replication, to peers of this core */
  export interface Extension {
    send(message: Uint8Array, peer: Peer): void
    broadcast(message: Uint8Array): void
  }
  /** where cores are kept; its options go on to the store beneath */
  export interface Storage {
    readonly path: string
    readonly db: { flush(): Promise<void> }
    close(): Promise<void>
  }
  export default class Hypercore {
    static defaultStorage(folder: string, options: { readOnly?: boolean; allowBackup?: boolean; writeBufferSize?: number }): Storage
    static key(manifest: Manifest): Buffer
    static treeHashFromStorage(core: Hypercore, length?: number): Promise<Buffer>
    static getProtocolMuxer(stream: Duplex): Protomux
    static createProtocolStream(stream: Duplex, options: { ondiscoverykey: (discoveryKey: Buffer) => void }): Duplex
    static DefaultEncryption: {
      PADDING: number
      new (
        key: Uint8Array,
        hypercoreKey: Uint8Array,
      ): { encrypt(n: number, padded: Uint8Array, fork: number, core: { compat: boolean }): void }
    }
    readonly key: Buffer
    readonly discoveryKey: Buffer
    readonly length: number
    readonly byteLength: number
    /** blocks from the first one on that are here, all of them */
    readonly contiguousLength: number
    readonly fork: number
    readonly manifest: Manifest | null
    readonly peers: Peer[]
    readonly state: {
      signature: Buffer | null
      /** reads that are sent to the disk together, by `tryFlush` */
      storage: { read(): { getTreeNode(index: number): Promise<TreeNode | null>; tryFlush(): void } }
    }
    /** shared by all sessions of it */
    readonly core: {
      replicator: { eagerUpgrade: boolean; detachFrom(protomux: Protomux): void; setInflightRange(least: number, most: number): void }
      storage: { core: object; store: { deleteCore(core: object): Promise<void> } }
      hasSession(): boolean
      close(): Promise<void>
    }
    ready(): Promise<void>
    append(blocks: Uint8Array[], options: { keyPair: KeyPair }): Promise<{ length: number }>
    truncate(length: number, options: { keyPair: KeyPair }): Promise<void>
    has(index: number): Promise<boolean>
    /** @param options `wait` false: null for a block that is not here; `timeout`: how long to wait for a peer that sends it, ms */
    get(index: number, options?: { wait?: boolean; timeout?: number }): Promise<Buffer>
    clear(index: number): Promise<unknown>
    update(options: { wait: boolean }): Promise<boolean>
    /** @param range `end` -1: no end, future blocks included */
    download(range: { start: number; end: number }): Download
    replicate(stream: Duplex): Duplex
    registerExtension(name: string, handlers: { onmessage(message: Buffer, peer: Peer): void }): Extension
    on(event: 'peer-add', listener: (peer: Peer) => void): this
    on(event: 'conflict' | 'truncate' | 'verification-error' | 'close' | 'append' | 'peer-add' | 'peer-remove', listener: () => void): this
    on(event: 'download' | 'upload', listener: (index: number, bytes: number) => void): this
    close(): Promise<void>
  }
}

declare module 'hypercore/lib/verifier.js' {
  import type { Manifest } from 'hypercore'
  export default class Verifier {
    static createManifest(manifest: Manifest): Manifest
    constructor(manifestHash: Uint8Array, manifest: Manifest)
    verify(tree: { length: number; fork: number; signable(manifestHash: Uint8Array): Uint8Array }, signature: Uint8Array): boolean
  }
}

declare module 'hypercore/lib/caps.js' {
  export function treeSignable(manifestHash: Uint8Array, treeHash: Uint8Array, length: number, fork: number): Buffer
}

declare module 'corestore' {
  import type Hypercore from 'hypercore'
  import type { Manifest, Storage } from 'hypercore'
  export default class Corestore {
    constructor(storage: Storage | string)
    ready(): Promise<void>
    /** the discovery keys of all cores that are stored */
    list(): AsyncIterable<Buffer>
    getAuth(discoveryKey: Uint8Array): Promise<{ key: Buffer } | null>
    get(options: { key: Uint8Array; manifest?: Manifest; encryption?: { key: Uint8Array }; inflightRange?: [number, number] }): Hypercore
    close(): Promise<void>
  }
}

declare module 'hyperdht' {
  import type { KeyPair } from 'hypercore-crypto'
  import type { Connection } from 'hyperswarm'
  export interface DhtOptions {
    /** `host:port` of nodes to begin with */
    bootstrap?: string[]
    /** UDP port to bind to, or a range of ports to try: from the first, before the second */
    port?: number | [number, number]
    /** false: fail if `port` cannot be bound */
    anyPort?: boolean
    /** address to bind to */
    host?: string
    ephemeral?: boolean
    firewalled?: boolean
  }
  export default class DHT {
    /** the nodes of the public DHT */
    static BOOTSTRAP: string[]
    /** a node that others can begin with, or one that knows its public address */
    static bootstrapper(port: number, host: string, options?: DhtOptions): DHT
    constructor(options?: DhtOptions)
    /** fails if the port cannot be bound */
    fullyBootstrapped(): Promise<void>
    connect(publicKey: Uint8Array, options: { keyPair: KeyPair }): Connection
    /** fails if there is no answer */
    ping(address: { host: string; port: number }, options?: { retry?: boolean }): Promise<unknown>
    /** the nodes that queries begin with while few others are known */
    bootstrapNodes: { host: string; port: number }[]
    /** what each node of the DHT says of a topic: machines that have announced it */
    lookup(topic: Uint8Array): AsyncIterable<{ peers: { publicKey: Buffer }[] }>
    /** what nodes of the DHT say of how to reach a machine */
    findPeer(publicKey: Uint8Array): AsyncIterable<{ peer: { publicKey: Buffer } }>
    address(): { host: string; port: number }
    /** the address of the socket that others reach */
    localAddress(): { host: string; port: number }
    destroy(options?: { force?: boolean }): Promise<void>
  }
}

declare module 'hyperdht/testnet.js' {
  import type DHT from 'hyperdht'
  import type { DhtOptions } from 'hyperdht'
  /** a DHT of `size` nodes on loopback */
  export default function createTestnet(size: number): Promise<{
    bootstrap: { host: string; port: number }[]
    createNode(options?: DhtOptions): DHT
    destroy(): Promise<void>
  }>
}

declare module 'hyperswarm' {
  import type { EventEmitter } from 'node:events'
  import type { Duplex } from 'node:stream'
  import type { KeyPair } from 'hypercore-crypto'
  import type DHT from 'hyperdht'
  export interface Discovery {
    /** asks the DHT again; false if it did not answer */
    refresh(): Promise<boolean>
    flushed(): Promise<boolean>
    destroy(): Promise<void>
  }
  export interface PeerInfo {
    publicKey: Buffer
    /** the topics under which it was found in the DHT */
    topics: Buffer[]
    /** it was named by `joinPeer` */
    explicit: boolean
    /** attempts to connect since its last connection that lasted */
    attempts: number
    ban(banned: boolean): void
  }
  export type Connection = Duplex & {
    remotePublicKey: Buffer
    destroying: boolean
    /** the UDP stream below; its packet count includes acknowledgements */
    rawStream: { packetsReceived?: number; remoteHost?: string; write(bytes: Uint8Array): boolean } | null
    /** resolves to whether it has been opened */
    opened: Promise<boolean>
    /** sends an empty message after `ms` without another one */
    setKeepAlive(ms: number): void
  }
  export default class Hyperswarm extends EventEmitter<{ connection: [Connection, PeerInfo]; ban: [PeerInfo]; update: [] }> {
    constructor(options: { dht: DHT; keyPair: KeyPair; firewall?: (remotePublicKey: Buffer) => boolean; maxPeers?: number })
    readonly dht: DHT
    /** `refresh` announces again how to reach this machine */
    readonly server: { refresh(): void }
    readonly keyPair: KeyPair
    readonly connections: Set<Connection>
    readonly peers: Map<string, PeerInfo>
    readonly stats: { connects: { client: { attempted: number; opened: number; closed: number } } }
    join(topic: Uint8Array, options: { server: boolean; client: boolean }): Discovery
    joinPeer(publicKey: Uint8Array): void
    leavePeer(publicKey: Uint8Array): void
    destroy(options?: { force?: boolean }): Promise<void>
  }
}
