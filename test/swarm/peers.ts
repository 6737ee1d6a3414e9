import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import createTestnet from 'hyperdht/testnet.js'
import { type MachineError, Overpool, type TxEvent } from '../../index.ts'
import type { NetworkSettings } from '../../shared/config/config.ts'

/** A DHT on loopback, with the machines of a test. Disposing of it closes them all. */
export class Peers {
  readonly network: NetworkSettings
  readonly #testnet: Awaited<ReturnType<typeof createTestnet>>
  readonly #machines: Machine[] = []

  static async start(): Promise<Peers> {
    return new Peers(await createTestnet(4))
  }

  private constructor(testnet: Awaited<ReturnType<typeof createTestnet>>) {
    this.#testnet = testnet
    this.network = { host: '127.0.0.1', bootstrap: testnet.bootstrap.map(({ host, port }) => `${host}:${port}`) }
  }

  machine(network: NetworkSettings = {}): Machine {
    const machine = new Machine(mkdtempSync(join(tmpdir(), 'overpool-peer-')), { ...this.network, ...network })
    this.#machines.push(machine)
    return machine
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const machine of this.#machines) await machine.end()
    await this.#testnet.destroy()
  }
}

/** A machine over a folder that outlives its restarts, and the events of its handler. */
export class Machine {
  readonly dir: string
  readonly events: TxEvent[] = []
  readonly errors: MachineError[] = []
  pool: Overpool
  readonly #network: NetworkSettings

  constructor(dir: string, network: NetworkSettings) {
    this.dir = dir
    this.#network = network
    this.pool = this.#open()
  }

  #open(): Overpool {
    return new Overpool({ dir: this.dir, network: this.#network }).on('error', (error) => this.errors.push(error))
  }

  /** Registers a handler that records its events. */
  listen(): this {
    this.pool.on('tx', (event) => void this.events.push(event))
    return this
  }

  /** Sequence numbers of a pool's entries, in the order in which the handler saw them. */
  seen(path: string): number[] {
    return this.events.filter((event) => event.path === path).map(({ seq }) => seq)
  }

  async restart(): Promise<void> {
    await this.pool.close()
    this.pool = this.#open()
  }

  async end(): Promise<void> {
    await this.pool.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
