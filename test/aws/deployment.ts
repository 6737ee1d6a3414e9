import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import { type Program, readProgram } from '../../cdk/read.ts'
import type { EnvOf } from '../../shared/env.ts'
import { planMachine } from '../../shared/plan.ts'
import { Task } from '../machine/task.ts'
import { awsClients, queueUrl } from './clients.ts'
import { Emulators } from './emulators.ts'

/** What Node takes for itself in a container of 512 MB, which it does not find here: half of it for old objects, 1 MB for each space of new ones. */
const AS_IN_512_MB = ['--max-old-space-size=256', '--max-semi-space-size=1']
const HANDLER = 'export function onTx() {\n  globalThis.handled = (globalThis.handled ?? 0) + 1\n}\n'
/** As the stack sets them (cdk/ingress.ts, cdk/handlers.ts), s. */
const INGRESS_VISIBILITY = '60'
const BELLS_VISIBILITY = '180'

/**
 * A machine in the shape in which it is deployed, over an AWS in memory: the sidecar's own entry file in a process, and the bundles that `cdk deploy` uploads, to be
 * run by who starts this (test/bench/programs/lambda.ts).
 */
export class Deployment {
  readonly dir = mkdtempSync(join(tmpdir(), 'overpool-deployment-'))
  readonly emulators: Emulators
  readonly program: Program
  #sidecar: Task | undefined

  /** @param pools all of them with a handler that counts its entries and does nothing */
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
  }

  get bellsUrl(): string {
    return queueUrl(this.emulators.place, 'tx-main.fifo')
  }

  async #makeQueues(): Promise<void> {
    const { sqs, close } = awsClients(this.emulators.place.endpoint)
    await sqs.send(new CreateQueueCommand({ QueueName: 'ingress', Attributes: { VisibilityTimeout: INGRESS_VISIBILITY } }))
    const Attributes = { VisibilityTimeout: BELLS_VISIBILITY, FifoQueue: 'true' }
    await sqs.send(new CreateQueueCommand({ QueueName: 'tx-main.fifo', Attributes }))
    close()
  }

  /** What every process of it is told of AWS. */
  get #aws(): Record<string, string> {
    return {
      AWS_ENDPOINT_URL: this.emulators.place.endpoint,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    }
  }

  /** The environment of a function. */
  environment(part: 'payments' | 'handler'): Record<string, string> {
    const { table, bucket } = this.emulators.place
    const both: EnvOf<'payments'> = { INGRESS_URLS: queueUrl(this.emulators.place, 'ingress'), BUCKET: bucket, NAMESPACE: 'Overpool' }
    const handler: EnvOf<'handler'> = { ...both, HANDLER: 'main', BELLS_URL: this.bellsUrl, TABLE: table }
    return { ...this.#aws, ...(part === 'handler' ? handler : both) }
  }

  /** Starts the sidecar; resolves when it works. */
  async startSidecar(): Promise<void> {
    const { table, bucket } = this.emulators.place
    const { config, handlers } = this.program
    const rung = handlers.map(({ name, pools, notPeers }) => ({ name, url: this.bellsUrl, pools, notPeers }))
    const environment: EnvOf<'sidecar'> = {
      TABLE: table,
      BUCKET: bucket,
      INGRESS_URL: queueUrl(this.emulators.place, 'ingress'),
      SHARD: '0',
      SHARDS: '1',
      SEED_ARN: 'seed',
      MACHINE: JSON.stringify(planMachine(config, rung)),
    }
    this.#sidecar = Task.process(this.dir, { ...this.#aws, ...environment }, AS_IN_512_MB)
    await this.#sidecar.said('working')
  }

  /** Bytes that the sidecar has written to its log. */
  get logged(): number {
    return this.#sidecar!.lines.reduce((sum, line) => sum + line.length + 1, 0)
  }

  /** Resident memory of the sidecar, bytes: now, and the most that it ever was. */
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
