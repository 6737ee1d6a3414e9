import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import createTestnet from 'hyperdht/testnet.js'
import { createDht } from '../../../sidecar/peers/swarm.ts'
import { Program } from '../program.ts'

/** A DHT on loopback, with the programs of a bench. Disposing of it ends them all. */
export class World implements AsyncDisposable {
  readonly bootstrap: string
  readonly #dht: { destroy(): Promise<void> }
  readonly #dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  readonly #programs: Program[] = []

  static async start(): Promise<World> {
    const testnet = await createTestnet(4)
    return new World(testnet, testnet.bootstrap[0]!)
  }

  /** With a DHT of one node, as `overpool dht` runs it: there machines learn the least about their own addresses. */
  static async withOneNode(): Promise<World> {
    const host = '127.0.0.1'
    const socket = createSocket('udp4').bind(0, host)
    await once(socket, 'listening')
    const { port } = socket.address()
    await new Promise<void>((resolve) => socket.close(resolve))
    const node = createDht({ port, host, announce: host, bootstrap: [] })
    await node.fullyBootstrapped()
    return new World(node, { host, port })
  }

  private constructor(dht: { destroy(): Promise<void> }, { host, port }: { host: string; port: number }) {
    this.#dht = dht
    this.bootstrap = `${host}:${port}`
  }

  /** Starts a machine over the folder of this name. The folder outlives the machine. */
  peer(name: string): Promise<Program> {
    return this.program('peer', this.dir(name), this.bootstrap)
  }

  async program(...program: [name: string, ...args: string[]]): Promise<Program> {
    const started = await Program.start(...program)
    this.#programs.push(started)
    return started
  }

  dir(name: string): string {
    return join(this.#dir, name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.kill()))
    await this.#dht.destroy()
    rmSync(this.#dir, { recursive: true, force: true })
  }
}

/** A row of the table. */
export interface Line {
  what: string
  ours: number
  /** the figure for comparison, and its name */
  reference?: number
  referenceName?: string
}
