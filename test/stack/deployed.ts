import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CloudFormationClient, paginateListStackResources } from '@aws-sdk/client-cloudformation'
import { CloudWatchLogsClient, paginateFilterLogEvents, ResourceNotFoundException } from '@aws-sdk/client-cloudwatch-logs'
import { AwsProxy } from '../aws/proxy.ts'
import { Task } from '../machine/task.ts'
import { cdkLocal } from './deploy.ts'

/**
 * The environment of a sidecar beside an emulator, since emulators run no tasks. Emulators also deliver messages to a client that is gone, such as a killed
 * sidecar, so the proxy waits for messages itself.
 * @param output the stack's output with the sidecar's environment
 */
export function sidecarEnvironment(endpoint: string, proxy: AwsProxy, output: string): Record<string, string> {
  const environment = JSON.parse(output.replaceAll(endpoint, proxy.endpoint)) as Record<string, string>
  return { AWS_ENDPOINT_URL: proxy.endpoint, AWS_ENDPOINT_URL_S3: proxy.endpoint, ...environment }
}

/** A stack with any config on the emulator at AWS_ENDPOINT_URL, and its sidecars beside the emulator. The caller closes it, which does not delete the stack. */
export class Deployed {
  /** the CDK's arguments: `-c stage=…`, `-c config=…` */
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

  async #cdk(...args: string[]): Promise<void> {
    await cdkLocal(process.env, ...args, ...this.#args, '--output', join(this.#folder, 'cdk.out'))
  }

  /** Deploys the current config, and replaces the sidecars by new ones on empty disks, one for each shard. */
  async deploy(): Promise<void> {
    const file = join(this.#folder, 'outputs.json')
    await this.#cdk('deploy', '--require-approval', 'never', '--outputs-file', file)
    const [[name, outputs] = ['', {}]] = Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, Record<string, string>>)
    this.name = name
    this.outputs = outputs
    await this.stopSidecars()
    const proxy = (this.#proxy ??= await AwsProxy.before(this.#endpoint))
    const sidecars = Object.entries(outputs).filter(([key]) => /^Sidecar\d+$/.test(key))
    this.tasks = sidecars.map(([, output]) =>
      Task.process(join(this.#folder, `disk-${this.#disks++}`), sidecarEnvironment(this.#endpoint, proxy, output)),
    )
    await Promise.all(this.tasks.map((task) => task.said('working')))
  }

  async stopSidecars(): Promise<void> {
    await Promise.all(this.tasks.map((task) => task.ended('SIGTERM')))
  }

  async destroy(): Promise<void> {
    await this.stopSidecars()
    await this.#cdk('destroy', '--force')
  }

  /** The lines that handlers have logged since a time (ms since 1970), each by a unique key. */
  async handlerLines(since: number): Promise<Map<string, string>> {
    const lines = new Map<string, string>()
    const client = new CloudWatchLogsClient({})
    const ofHandlers = async (type: string) =>
      (await this.#resources(type)).flatMap(([id, name]) => (id.startsWith('Handler') ? [name] : []))
    // LocalStack ignores the configured log group, and writes to the function's default group.
    const defaults = (await ofHandlers('AWS::Lambda::Function')).map((name) => `/aws/lambda/${name}`)
    for (const logGroupName of [...(await ofHandlers('AWS::Logs::LogGroup')), ...defaults]) {
      try {
        for await (const { events = [] } of paginateFilterLogEvents({ client }, { logGroupName, startTime: since }))
          for (const { logStreamName, timestamp, message = '' } of events)
            lines.set(`${logStreamName} ${timestamp} ${message}`, message.trimEnd())
      } catch (error) {
        if (!(error instanceof ResourceNotFoundException)) throw error
      }
    }
    return lines
  }

  /** The logical and physical ids of the resources of a type. */
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
