import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CloudFormationClient, paginateListStackResources } from '@aws-sdk/client-cloudformation'
import { CloudWatchLogsClient, paginateFilterLogEvents } from '@aws-sdk/client-cloudwatch-logs'
import type { EnvOf } from '../../shared/env.ts'
import { AwsProxy } from '../aws/proxy.ts'
import { Task } from '../machine/task.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Runs cdklocal on the emulator that is named in the environment, without a word as long as all is well. */
export function cdkLocal(env: NodeJS.ProcessEnv, ...args: string[]): void {
  const { status } = spawnSync('npx', ['cdklocal', ...args, '-c', 'local=true', '--no-notices', '--ci', '--progress', 'events'], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (status !== 0) throw new Error(`cdklocal ${args[0]} has failed, and says above why`)
}

/**
 * A sidecar's task beside an emulator, which runs none. Emulators hand messages to a client that has gone, and a sidecar that was stopped or killed has: the proxy does the waiting.
 * @param output of the stack, with its environment
 * @param more of that
 */
export function sidecarBeside(endpoint: string, proxy: AwsProxy, output: string, dir: string, more: Partial<EnvOf<'sidecar'>> = {}): Task {
  const environment = JSON.parse(output.replaceAll(endpoint, proxy.endpoint)) as Record<string, string>
  return new Task(dir, { AWS_ENDPOINT_URL: proxy.endpoint, AWS_ENDPOINT_URL_S3: proxy.endpoint, ...environment, ...more })
}

/** A stack of a user's own config on the emulator at AWS_ENDPOINT_URL, and its sidecars beside it. Whoever opens it closes it, which leaves the stack there. */
export class Deployed {
  /** of the stack: `-c stage=…`, `-c config=…` */
  readonly #args: string[]
  readonly #folder = mkdtempSync(join(tmpdir(), 'overpool-deployed-'))
  readonly #endpoint = process.env.AWS_ENDPOINT_URL!
  #proxy: AwsProxy | undefined
  #disks = 0
  tasks: Task[] = []
  name = ''
  outputs: Record<string, string> = {}

  constructor(args: string[]) {
    this.#args = args
  }

  #cdk(...args: string[]): void {
    cdkLocal(process.env, ...args, ...this.#args, '--output', join(this.#folder, 'cdk.out'))
  }

  /** Deploys it as the config now is, and sets a sidecar to work for each shard, on an empty disk, in the place of those before. */
  async deploy(): Promise<void> {
    const file = join(this.#folder, 'outputs.json')
    this.#cdk('deploy', '--require-approval', 'never', '--outputs-file', file)
    const [[name, outputs] = ['', {}]] = Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, Record<string, string>>)
    this.name = name
    this.outputs = outputs
    await this.stopSidecars()
    const proxy = (this.#proxy ??= await AwsProxy.before(this.#endpoint))
    this.tasks = Object.entries(outputs).flatMap(([key, output]) =>
      /^Sidecar\d+$/.test(key) ? [sidecarBeside(this.#endpoint, proxy, output, join(this.#folder, `disk-${this.#disks++}`))] : [],
    )
    await Promise.all(this.tasks.map((task) => task.said('working')))
  }

  async stopSidecars(): Promise<void> {
    await Promise.all(this.tasks.map((task) => task.ended('SIGTERM')))
  }

  async destroy(): Promise<void> {
    await this.stopSidecars()
    this.#cdk('destroy', '--force')
  }

  /** Lines that the handlers have logged from this time on (ms since 1970), by what tells them apart. */
  async handlerLines(since: number): Promise<Map<string, string>> {
    const lines = new Map<string, string>()
    const logs = new CloudWatchLogsClient({})
    for (const [id, logGroupName] of await this.#resources('AWS::Logs::LogGroup')) {
      if (!id.startsWith('Handler')) continue
      for await (const { events = [] } of paginateFilterLogEvents({ client: logs }, { logGroupName, startTime: since }))
        for (const { logStreamName, timestamp, message = '' } of events)
          lines.set(`${logStreamName} ${timestamp} ${message}`, message.trimEnd())
    }
    return lines
  }

  /** Resources of a type: what they are called in the template, and in AWS. */
  async #resources(type: string): Promise<[string, string][]> {
    const pages = await Array.fromAsync(paginateListStackResources({ client: new CloudFormationClient({}) }, { StackName: this.name }))
    return pages
      .flatMap(({ StackResourceSummaries = [] }) => StackResourceSummaries)
      .flatMap(({ ResourceType, LogicalResourceId = '', PhysicalResourceId = '' }) =>
        ResourceType === type ? [[LogicalResourceId, PhysicalResourceId] as [string, string]] : [],
      )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopSidecars()
    await this.#proxy?.[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
