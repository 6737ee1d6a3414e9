import { SQSClient } from '@aws-sdk/client-sqs'
import { handle } from 'hono/aws-lambda'
import config from '#config'
import { MAX_PAYMENT_BYTES_ON_LAMBDA } from '../../shared/bip270/payment.ts'
import { Bucket } from '../../shared/blobs/bucket.ts'
import { checkPool } from '../../shared/config/config.ts'
import { readEnv } from '../../shared/config/env.ts'
import { ShardedIngress } from '../../shared/queue/shards.ts'
import { SqsQueue } from '../../shared/queue/sqs.ts'
import { Telemetry } from '../telemetry.ts'
import { tracing } from '../tracing.ts'
import { paymentsApp } from './app.ts'
import { measured } from './measured.ts'

// The Lambda behind the function URL and the custom domain: the HTTP door over SQS. The pools' settings are in its bundle, so no payment waits for a read.
const env = readEnv('payments')
const telemetry = new Telemetry({ namespace: env.NAMESPACE, service: 'payments' })
const traces = await tracing('payments', env.TRACES !== undefined)
const client = traces.client(new SQSClient({ maxAttempts: 1 }))
const blobs = new Bucket(env.BUCKET, env.AWS_ENDPOINT_URL !== undefined).blobs('messages/')
const pools = new Map(Object.entries(config.pools).map(([path, pool]) => [path, { path, ...checkPool(pool, `pools.${path}`) }]))

const app = paymentsApp({
  pool: (path) => pools.get(path),
  ingress: new ShardedIngress(env.INGRESS_URLS.split(' ').map((url) => new SqsQueue({ client, url, blobs }))),
  now: Date.now,
  maxBytes: MAX_PAYMENT_BYTES_ON_LAMBDA,
  log: (error) => telemetry.log.error('a payment could not be taken', error as Error),
})

export const handler = traces.handler(measured(handle(app), telemetry))
