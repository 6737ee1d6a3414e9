import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { SQSClient } from '@aws-sdk/client-sqs'
import { call } from '../shared/aws/call.ts'
import { Bucket } from '../shared/blobs/bucket.ts'
import { systemClock } from '../shared/clock.ts'
import { readEnv } from '../shared/config/env.ts'
import { OverpoolError } from '../shared/errors.ts'
import { ShardedIngress } from '../shared/queue/shards.ts'
import { SqsQueue } from '../shared/queue/sqs.ts'
import { dynamoStores } from '../shared/store/dynamodb/index.ts'
import { ELSEWHERE } from '../sidecar/cores/verify.ts'
import { type Access, RemoteMachine } from './remote.ts'

// Loaded when a stack is reached, and not before: the AWS clients take a tenth of a second that a machine in a folder need not wait for.

/** A machine on AWS, by the name of its stack. */
export interface StackPlace {
  stack: string
  /** default: the environment's */
  region?: string
}

/** What a machine is found by (cdk/stack.ts). */
const OUTPUTS = ['Table', 'Bucket', 'IngressUrls', 'Seed'] as const
type Outputs = Record<(typeof OUTPUTS)[number], string> & Record<string, string>

/** Opens the machine of a stack, see `stackAccess`. */
export async function openStack(place: StackPlace): Promise<RemoteMachine> {
  return new RemoteMachine(await stackAccess(place))
}

/**
 * Finds what the machine of a stack stands on by its outputs, with the credentials and the region that the AWS SDK finds.
 * @throws OverpoolError MACHINE_NOT_FOUND, ACCESS_DENIED, BAD_ARGUMENT, UNAVAILABLE
 */
export async function stackAccess({ stack, region }: StackPlace): Promise<Access> {
  const outputs = await readOutputs(stack, region)
  const pathStyle = readEnv('caller').AWS_ENDPOINT_URL !== undefined
  const dynamodb = new DynamoDBClient({ region, maxAttempts: 1 })
  const client = new SQSClient({ region, maxAttempts: 1 })
  const bucket = new Bucket(outputs.Bucket, pathStyle, region)
  const messages = bucket.blobs('messages/')
  const queue = (url: string) => new SqsQueue({ client, url, blobs: messages })
  const ingress = outputs.IngressUrls.split(' ').map(queue)
  const bells = bellsOf(outputs)
  return {
    stores: dynamoStores({ client: dynamodb, table: outputs.Table, blobs: bucket.blobs('blocks/') }),
    ingress: new ShardedIngress(ingress),
    bells(handler) {
      const url = bells.get(handler)
      return url === undefined ? undefined : queue(url)
    },
    seed: async () => (await import('../sidecar/seed.ts')).readSecretSeed(outputs.Seed, region),
    shards: ingress.length,
    cores: ELSEWHERE,
    isRunning: () => true, // ECS sees to it, and an alarm to ECS
    changed: systemClock.sleep,
    close() {
      for (const each of [dynamodb, client]) each.destroy()
    },
  }
}

/** URLs of the handlers' queues, by the handlers' names. */
function bellsOf(outputs: Outputs): Map<string, string> {
  const values = Object.entries(outputs).flatMap(([key, value]) => (key.startsWith('Bells') ? [value.split(' ')] : []))
  return new Map(values.map(([name = '', url = '']) => [name, url]))
}

async function readOutputs(stack: string, region: string | undefined): Promise<Outputs> {
  const client = new CloudFormationClient({ region, maxAttempts: 1 })
  try {
    const where = await regionOf(client)
    const command = new DescribeStacksCommand({ StackName: stack })
    const { Stacks: [found] = [] } = await call(`looking for the stack "${stack}" in ${where}`, (options) =>
      client.send(command, options),
    ).catch((error) => {
      throw explained(error, stack, where)
    })
    const outputs = Object.fromEntries((found?.Outputs ?? []).map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]))
    const missing = OUTPUTS.filter((name) => !outputs[name])
    if (!missing.length) return outputs as Outputs
    throw new OverpoolError(
      'MACHINE_NOT_FOUND',
      `the stack "${stack}" in ${where} is no machine of Overpool's, or was not deployed to its end: it has no output ${missing.join(', ')}`,
    )
  } finally {
    client.destroy()
  }
}

async function regionOf(client: CloudFormationClient): Promise<string> {
  try {
    return await client.config.region()
  } catch (cause) {
    throw new OverpoolError(
      'BAD_ARGUMENT',
      `say in which region the stack is: by --region (in a program: \`region\`), by AWS_REGION, or in the AWS profile (${(cause as Error).message})`,
      { cause },
    )
  }
}

/** What a person can do about it that a stack is not found. */
function explained(error: OverpoolError, stack: string, region: string): OverpoolError {
  const cause = error.cause as Error & { code?: string }
  const { AWS_PROFILE, AWS_ENDPOINT_URL } = readEnv('caller')
  if (cause.name === 'CredentialsProviderError')
    return new OverpoolError(
      'ACCESS_DENIED',
      AWS_PROFILE === undefined
        ? `there are no AWS credentials to reach the stack "${stack}" with: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (${cause.message})`
        : `the AWS profile "${AWS_PROFILE}" gives no credentials to reach the stack "${stack}" with: \`aws configure list-profiles\` shows which there are, and \`aws sso login\` renews one that has run out (${cause.message})`,
      { cause },
    )
  if (cause.name === 'ValidationError')
    // the only thing that can be wrong with the request is the name
    return new OverpoolError(
      'MACHINE_NOT_FOUND',
      `there is no stack "${stack}" in ${region} under these AWS credentials: if it is in another region, name that with --region (in a program: \`region\`); \`npx cdk deploy\` makes one`,
      { cause },
    )
  if (cause.code !== undefined)
    // Node's word for an address that does not answer
    return new OverpoolError(
      'UNAVAILABLE',
      AWS_ENDPOINT_URL === undefined
        ? `AWS does not answer: is "${region}" a region of AWS, and the network there? (${cause.message})`
        : `nothing answers as AWS at AWS_ENDPOINT_URL=${AWS_ENDPOINT_URL}: start the emulator there, or unset it to reach AWS (${cause.message})`,
      { cause, retryable: error.retryable },
    )
  return error
}
