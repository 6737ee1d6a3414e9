import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Program, readProgram } from '../../cdk/read.ts'
import { Task } from '../machine/task.ts'
import { awsClients } from './clients.ts'
import { Emulators } from './emulators.ts'
import { Shape } from './shape.ts'

/** The memory that Node chooses in a container of 512 MB: half of it for old objects, and 1 MB for each space of new ones. Here there is no such container. */
const AS_IN_512_MB = ['--max-old-space-size=256', '--max-semi-space-size=1']
const HANDLER = 'export function onTx() {\n  globalThis.handled = (globalThis.handled ?? 0) + 1\n}\n'

/**
 * A machine as it is deployed, over an AWS in memory: the sidecar's own entry file in a process, and the bundles that `cdk deploy` uploads. The caller runs the
 * bundles (test/bench/programs/lambda.ts).
 */
export class Deployment {
  readonly dir = mkdtempSync(join(tmpdir(), 'overpool-deployment-'))
  readonly emulators: Emulators
  readonly program: Program
  readonly #shape: Shape
  #sidecar: Task | undefined

  /** @param pools their handler only counts its entries */
  static async start(pools: string[]): Promise<Deployment> {
    const dir = mkdtempSync(join(tmpdir(), 'overpool-program-'))
    try {
      const config = { handler: './main.ts', pools: Object.fromEntries(pools.map((path) => [path, {}])) }
      writeFileSync(join(dir, 'overpool.config.ts'), `export default ${JSON.stringify(config)}\n`)
      writeFileSync(join(dir, 'main.ts'), HANDLER)
      const [program, emulators] = await Promise.all([readProgram(join(dir, 'overpool.config.ts')), Emulators.start()])
      const deployment = new Deployment(program, emulators)
      await deployment.#makeQueues()
      await deployment.startSidecar()
      return deployment
    } finally {
      rmSync(dir, { recursive: true })
    }
  }

  private constructor(program: Program, emulators: Emulators) {
    this.program = program
    this.emulators = emulators
    this.#shape = new Shape(emulators.place, program)
  }

  get bellsUrl(): string {
    return this.#shape.bellsUrl('main')
  }

  async #makeQueues(): Promise<void> {
    const { sqs, close } = awsClients(this.emulators.place.endpoint)
    await this.#shape.make(sqs)
    close()
  }

  /** The environment of a function. */
  environment(part: 'payments' | 'handler'): Record<string, string> {
    return { ...this.#shape.aws, ...(part === 'handler' ? this.#shape.handler('main') : this.#shape.payments) }
  }

  /** Starts the sidecar; resolves when it works. */
  async startSidecar(): Promise<void> {
    this.#sidecar = Task.process(this.dir, { ...this.#shape.aws, ...this.#shape.sidecar(0) }, AS_IN_512_MB)
    await this.#sidecar.said('working')
  }

  /** The size of the sidecar's log, bytes. */
  get logged(): number {
    return this.#sidecar!.lines.reduce((sum, line) => sum + line.length + 1, 0)
  }

  /** Resident memory of the sidecar, bytes: now, and its maximum until now. */
  get sidecarMemory(): { now: number; most: number } {
    const status = readFileSync(`/proc/${this.#sidecar!.pid}/status`, 'utf8')
    const kb = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)![1])
    return { now: kb('VmRSS') * 1024, most: kb('VmHWM') * 1024 }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sidecar?.ended('SIGKILL')
    await this.emulators[Symbol.asyncDispose]()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
