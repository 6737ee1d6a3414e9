import { execFile } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Bundle, bundlePayments } from '../../cdk/bundle.ts'
import type { EnvOf } from '../../shared/config/env.ts'
import { awsClients, queueUrl } from '../aws/clients.ts'
import { Emulators } from '../aws/emulators.ts'
import { payment } from '../machine/machine.ts'
import { functionUrlEvent } from './function-url.ts'

// The bundle of the payments function runs in a process with the environment of Lambda. A socket of the test stands in for X-Ray's daemon.

const TRACE = '1-6b1f2c3d-0123456789abcdef01234567'
/** The id of Lambda's own segment, the parent of the call's */
const LAMBDA = '53995c3f42cd8ad8'
const CALL = `
  const { handler } = await import(process.argv[1])
  const answered = await handler(JSON.parse(process.argv[2]), {})
  process.stdout.write(JSON.stringify(answered.statusCode))
`

interface Subsegment {
  id: string
  name: string
}

let emulators: Emulators
let bundle: Bundle
let daemon: Socket
let traced: Subsegment[]
const dir = mkdtempSync(join(tmpdir(), 'overpool-traces-'))

beforeAll(async () => {
  const config = join(dir, 'overpool.config.ts')
  writeFileSync(config, 'export default { pools: { mypool: {} } }\n')
  ;[bundle, emulators] = await Promise.all([bundlePayments(config), Emulators.start()])
  const { sqs, close } = awsClients(emulators.place.endpoint)
  await sqs.send(new CreateQueueCommand({ QueueName: 'ingress' }))
  close()
  daemon = createSocket('udp4').bind(0, '127.0.0.1')
  await once(daemon, 'listening')
  daemon.on('message', (message) => traced.push(JSON.parse(message.toString().split('\n')[1]!) as Subsegment))
})
afterAll(async () => {
  daemon.close()
  await emulators[Symbol.asyncDispose]()
  rmSync(dir, { recursive: true })
})

/** Calls the function with a payment, as Lambda does; resolves to the status of the answer. */
async function pay(settings: Pick<EnvOf<'payments'>, 'TRACES'>): Promise<string> {
  traced = []
  const { endpoint, bucket } = emulators.place
  const environment: EnvOf<'payments'> = {
    INGRESS_URLS: queueUrl({ endpoint }, 'ingress'),

    BUCKET: bucket,
    NAMESPACE: 'Overpool',
  }
  const env = {
    ...environment,
    ...settings,
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
    AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
    LAMBDA_TASK_ROOT: bundle.dir,
    _X_AMZN_TRACE_ID: `Root=${TRACE};Parent=${LAMBDA};Sampled=1`,
    AWS_XRAY_DAEMON_ADDRESS: `127.0.0.1:${daemon.address().port}`,
  }
  const event = JSON.stringify(functionUrlEvent(JSON.stringify(payment('traced')), { headers: { 'content-type': 'application/json' } }))
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', CALL, join(bundle.dir, 'index.mjs'), event],
    {
      env,
    },
  )
  return stdout.split('\n').at(-1)!
}

describe('the traces of a function', () => {
  it('report each call to X-Ray, and each request to AWS within it', async () => {
    expect(await pay({ TRACES: 'true' })).toBe('200')
    await expect.poll(() => traced.map(({ name }) => name)).toEqual(['SQS', '## payments'])
    const [send, call] = traced
    expect(call).toMatchObject({ trace_id: TRACE, parent_id: LAMBDA, annotations: { ColdStart: true, Service: 'payments' } })
    expect(send).toMatchObject({ trace_id: TRACE, parent_id: call!.id, aws: { operation: 'SendMessageBatch' } })
  })

  it('are not made unless the config asks for them', async () => {
    expect(await pay({})).toBe('200')
    expect(traced).toEqual([])
  })
})
