import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { CreateTableCommand } from '@aws-sdk/client-dynamodb'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { ChangeMessageVisibilityCommand, ListQueuesCommand } from '@aws-sdk/client-sqs'
import dynalite from 'dynalite'
import { type FauxqsServer, startFauxqs } from 'fauxqs'
import { type AwsClients, type AwsPlace, awsClients, queueUrl } from './clients.ts'
import { type LogEvent, logServer } from './logs.ts'
import { AwsProxy } from './proxy.ts'

/** The value of every secret that a test does not set: a machine's seed. */
export const SEED = '5e'.repeat(32)

/**
 * An AWS in memory: DynamoDB (dynalite), SQS and S3 (fauxqs), and secrets, a stack and logs, which neither emulates, behind a proxy. They run in the process of the
 * test, so that they outlive a machine that is killed.
 */
export class Emulators {
  readonly proxy: AwsProxy
  readonly place: AwsPlace
  readonly #dynalite: Server
  readonly #fauxqs: FauxqsServer
  readonly #secrets: Server
  readonly #stacks: Server
  readonly #logs: Server
  /** the outputs of the stack */
  outputs: Record<string, string> = {}
  /** the secrets that are set, by name or ARN */
  secrets: Record<string, string> = {}
  /** the events of the log groups that there are, by their names */
  logs: Record<string, LogEvent[]> = {}
  /** clients that do not pass the proxy */
  readonly #clients: AwsClients

  static async start(): Promise<Emulators> {
    const dynamo = dynalite({ createTableMs: 0 })
    const secrets = createServer(async (request, response) => {
      const { SecretId } = (await json(request)) as { SecretId: string }
      response.end(JSON.stringify({ SecretString: emulators.secrets[SecretId] ?? SEED }))
    })
    const stacks = createServer((_, response) => response.end(describedStack(emulators.outputs)))
    const logs = logServer(() => emulators.logs)
    const servers = [dynamo, secrets, stacks, logs]
    for (const server of servers) server.listen(0, '127.0.0.1')
    const [fauxqs] = await Promise.all([startFauxqs({ port: 0, logger: false }), ...servers.map((server) => once(server, 'listening'))])
    const at = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const other = `http://127.0.0.1:${fauxqs.port}`
    const proxy = await AwsProxy.start({
      dynamodb: at(dynamo),
      sqs: other,
      s3: other,
      secretsmanager: at(secrets),
      cloudformation: at(stacks),
      logs: at(logs),
    })
    const emulators: Emulators = new Emulators(dynamo, fauxqs, secrets, stacks, logs, proxy)
    await emulators.#make()
    return emulators
  }

  private constructor(dynamo: Server, fauxqs: FauxqsServer, secrets: Server, stacks: Server, logs: Server, proxy: AwsProxy) {
    this.#dynalite = dynamo
    this.#fauxqs = fauxqs
    this.#secrets = secrets
    this.#stacks = stacks
    this.#logs = logs
    this.proxy = proxy
    this.place = { endpoint: proxy.endpoint, table: 'mirror', bucket: 'overpool' }
    this.#clients = awsClients(`http://127.0.0.1:${fauxqs.port}`)
  }

  /** Makes the table and the bucket. The tests make their queues. */
  async #make(): Promise<void> {
    const { table, bucket, endpoint } = this.place
    const clients = awsClients(endpoint)
    await clients.dynamodb.send(
      new CreateTableCommand({
        TableName: table,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [
          { AttributeName: 'pk', AttributeType: 'S' },
          { AttributeName: 'sk', AttributeType: 'S' },
        ],
        KeySchema: [
          { AttributeName: 'pk', KeyType: 'HASH' },
          { AttributeName: 'sk', KeyType: 'RANGE' },
        ],
      }),
    )
    await clients.s3.send(new CreateBucketCommand({ Bucket: bucket }))
    clients.close()
  }

  /** Makes the messages of a dead machine visible again, so that a test need not wait for the visibility timeout. */
  async reclaim(): Promise<void> {
    const { sqs } = this.#clients
    const { QueueUrls = [] } = await sqs.send(new ListQueuesCommand({}))
    for (const name of QueueUrls.map((url) => url.split('/').at(-1)!)) {
      for (const { receiptHandle } of this.#fauxqs.inspectQueue(name)!.messages.inflight) {
        const QueueUrl = queueUrl(this.place, name)
        await sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle: receiptHandle, VisibilityTimeout: 0 }))
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]()
    this.#clients.close()
    await this.#fauxqs.stop()
    for (const server of [this.#dynalite, this.#secrets, this.#stacks, this.#logs]) await new Promise((resolve) => server.close(resolve))
  }
}

/** CloudFormation's description of a stack. */
function describedStack(outputs: Record<string, string>): string {
  const members = Object.entries(outputs).map(
    ([key, value]) => `<member><OutputKey>${key}</OutputKey><OutputValue>${value}</OutputValue></member>`,
  )
  return `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><Outputs>${members.join('')}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`
}
