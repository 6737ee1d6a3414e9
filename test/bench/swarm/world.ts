import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import createTestnet from 'hyperdht/testnet.js'
import { Program } from '../program.ts'

/** A DHT on loopback, with the programs of a bench. Disposing of it ends them all. */
export class World implements AsyncDisposable {
  readonly bootstrap: string
  readonly #testnet: Awaited<ReturnType<typeof createTestnet>>
  readonly #dir = mkdtempSync(join(tmpdir(), 'overpool-bench-'))
  readonly #programs: Program[] = []

  static async start(): Promise<World> {
    return new World(await createTestnet(4))
  }

  private constructor(testnet: Awaited<ReturnType<typeof createTestnet>>) {
    this.#testnet = testnet
    const { host, port } = testnet.bootstrap[0]!
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
    await this.#testnet.destroy()
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
