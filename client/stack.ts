import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation'
import { Bucket } from '../shared/aws/bucket.ts'
import { call } from '../shared/aws/call.ts'
import { AwsClients } from '../shared/aws/clients.ts'
import { AwsQueues } from '../shared/aws/queues.ts'
import { readSecret } from '../shared/aws/secrets.ts'
import { openStores } from '../shared/aws/stores.ts'
import { systemClock } from '../shared/clock.ts'
import type { CheckedSettings } from '../shared/config/config.ts'
import { readEnv } from '../shared/config/env.ts'
import { BROADCASTER } from '../shared/config/plan.ts'
import { OverpoolError } from '../shared/errors.ts'
import { entryAt } from '../shared/ledger/block.ts'
import type { Invoicing } from '../shared/machine/invoicing.ts'
import { invoicingOnAws } from '../shared/machine/invoicing-on-aws.ts'
import type { Stores } from '../shared/store/port.ts'
import type { RunsQuery } from '../shared/store/runs.ts'
import { ELSEWHERE } from '../sidecar/cores/verify.ts'
import { type Access, RemoteMachine } from './remote.ts'
import { runsInLogs } from './run-logs.ts'

// Loaded only to reach a stack: the AWS clients take a tenth of a second to load.

/** A machine on AWS, by the name of its stack. */
export interface StackPlace {
  stack: string
  /** default: the environment's */
  region?: string
}

/** The stack outputs that a machine is found by (cdk/stack.ts). */
const OUTPUTS = ['Table', 'Bucket', 'IngressUrls', 'Seed'] as const
type Outputs = Record<(typeof OUTPUTS)[number], string> & Record<string, string>

/** Opens the machine of a stack, see `stackAccess`. */
export async function openStack(place: StackPlace, settings?: CheckedSettings): Promise<RemoteMachine> {
  return new RemoteMachine(await stackAccess(place), settings)
}

/**
 * Finds the services of a stack's machine by the stack's outputs, with the credentials and the region that the AWS SDK finds.
 * @throws OverpoolError MACHINE_NOT_FOUND, ACCESS_DENIED, BAD_ARGUMENT, UNAVAILABLE
 */
export async function stackAccess({ stack, region }: StackPlace): Promise<Access> {
  const clients = new AwsClients({ region, endpoint: readEnv('caller').AWS_ENDPOINT_URL })
  const outputs = await readOutputs(clients, stack).catch((error) => {
    clients.close()
    throw error
  })
  const bucket = new Bucket(clients, outputs.Bucket)
  const queues = new AwsQueues(clients, bucket)
  const ingress = queues.openIngress(outputs.IngressUrls)
  const bells = namedIn(outputs, 'Bells')
  const stores = openStores(clients, outputs.Table, bucket)
  return {
    stores,
    ingress,
    bells(handler) {
      const url = bells.get(handler)
      return url === undefined ? undefined : queues.open(url)
    },
    seed: async () => (await import('../sidecar/seed.ts')).readSecretSeed(clients, outputs.Seed),
    paySecret: () => paySecretIn(clients, outputs),
    shards: ingress.shards,
    cores: ELSEWHERE,
    broadcasts: bells.has(BROADCASTER),
    ...(outputs.AsksAt && { invoicing: { invoicing: invoicingOf(outputs, stores), base: () => outputs.AsksAt!.replace(/\/$/, '') } }),
    runs: async (query) => runsInLogs(clients, namedIn(outputs, 'Runs'), query, await timeOf(query, stores)),
    isRunning: () => true, // ECS keeps it running, and an alarm watches that
    doors: () => (readEnv('caller').AWS_ENDPOINT_URL === undefined && outputs.Endpoint ? [outputs.Endpoint.replace(/\/$/, '')] : []), // an emulator's names cannot be looked up
    changed: systemClock.sleep,
    close: () => clients.close(),
  }
}

async function paySecretIn(clients: AwsClients, { PaySecret: arn }: Outputs): Promise<string> {
  if (arn) return readSecret(clients, arn, `the secret of the payment keys, ${arn},`)
  throw new OverpoolError(
    'BAD_CONFIG',
    'this stack takes no payments by HTTP 402 or paymail: set `price` or `paymail` of a pool, and deploy again',
  )
}

/** Invoices as handlers make them: nobody but the door has the keys of `merchantData`. */
function invoicingOf({ Receive: receive, IsTest, Watches }: Outputs, stores: Stores): Invoicing {
  return invoicingOnAws({ ...(receive !== undefined && { receive }), isTest: IsTest === 'true', watches: Watches === 'true' }, stores)
}

/** What the outputs of one kind say of each handler, by the handlers' names: its queue's URL, or the name of its log. */
function namedIn(outputs: Outputs, kind: 'Bells' | 'Runs'): Map<string, string> {
  const values = Object.entries(outputs).flatMap(([key, value]) => (key.startsWith(kind) ? [value.split(' ')] : []))
  return new Map(values.map(([name = '', value = '']) => [name, value]))
}

/** When the entry came whose runs are asked for, ms since 1970; 0 if the runs of all entries are. */
async function timeOf({ pool, seq }: RunsQuery, { blocks }: Stores): Promise<number> {
  const block = seq === undefined ? undefined : await blocks.find(pool, seq)
  return (block && entryAt(block, seq! - block.first)?.at) ?? 0
}

async function readOutputs(clients: AwsClients, stack: string): Promise<Outputs> {
  const client = clients.of(CloudFormationClient)
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

/** Turns a failed look-up of the stack into an error that says what to do. Other errors come back as they are. */
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
    // only the name can be wrong in this request
    return new OverpoolError(
      'MACHINE_NOT_FOUND',
      `there is no stack "${stack}" in ${region} under these AWS credentials: if it is in another region, name that with --region (in a program: \`region\`); \`npx cdk deploy\` makes one`,
      { cause },
    )
  if (cause.code !== undefined)
    // Node's code for an address that does not answer
    return new OverpoolError(
      'UNAVAILABLE',
      AWS_ENDPOINT_URL === undefined
        ? `AWS does not answer: is "${region}" a region of AWS, and the network there? (${cause.message})`
        : `nothing answers as AWS at AWS_ENDPOINT_URL=${AWS_ENDPOINT_URL}: start the emulator there, or unset it to reach AWS (${cause.message})`,
      { cause, retryable: error.retryable },
    )
  return error
}
