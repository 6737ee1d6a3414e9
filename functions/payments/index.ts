import { handle } from 'hono/aws-lambda'
import config from '#config'
import { Bucket } from '../../shared/aws/bucket.ts'
import { AwsClients } from '../../shared/aws/clients.ts'
import { AwsQueues } from '../../shared/aws/queues.ts'
import { MAX_PAYMENT_BYTES_ON_LAMBDA } from '../../shared/bip270/payment.ts'
import { checkPool } from '../../shared/config/config.ts'
import { readEnv } from '../../shared/config/env.ts'
import type { Stores } from '../../shared/store/port.ts'
import { catchLateErrorsFirst } from '../late.ts'
import { Telemetry } from '../telemetry.ts'
import { tracing } from '../tracing.ts'
import { paymentsApp } from './app.ts'
import { measured } from './measured.ts'

// The Lambda behind the function URL and the custom domain: the HTTP door over SQS. The pools' settings are in its bundle, so no payment waits for a read.
const env = readEnv('payments')
const telemetry = new Telemetry({ namespace: env.NAMESPACE, service: 'payments' })
const traces = await tracing('payments', env.TRACES !== undefined)
const clients = new AwsClients({ endpoint: env.AWS_ENDPOINT_URL, traced: traces.client })
const bucket = new Bucket(clients, env.BUCKET)
const queues = new AwsQueues(clients, bucket)
let stores: Stores | undefined
const filterThrewLate = (error: unknown) => telemetry.log.error('code of a filter that it did not wait for has failed', error as Error)
const pools = new Map(
  Object.entries(config.pools).map(([path, pool]) => [path, { path, ...checkPool(pool, `pools.${path}`), filterThrewLate }]),
)
catchLateErrorsFirst()

const app = paymentsApp({
  pool: (path) => pools.get(path),
  pools: () => [...pools.values()],
  ingress: queues.openIngress(env.INGRESS_URLS),
  now: Date.now,
  maxBytes: MAX_PAYMENT_BYTES_ON_LAMBDA,
  async isRecorded(pool, post) {
    // Loaded only for a pool with a filter: other doors start without the DynamoDB client.
    const [{ openStores }, { hasReceipt }] = await Promise.all([
      import('../../shared/aws/stores.ts'),
      import('../../shared/store/receipts.ts'),
    ])
    stores ??= openStores(clients, env.TABLE, bucket)
    return hasReceipt(stores.receipts, pool, post)
  },
  log: (error) => telemetry.log.error('a payment could not be taken', error as Error),
})

export const handler = traces.handler(measured(handle(app), telemetry))
