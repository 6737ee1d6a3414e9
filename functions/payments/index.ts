import { handle } from 'hono/aws-lambda'
import config from '#config'
import { Bucket } from '../../shared/aws/bucket.ts'
import { AwsClients } from '../../shared/aws/clients.ts'
import { AwsQueues } from '../../shared/aws/queues.ts'
import { MAX_PAYMENT_BYTES_ON_LAMBDA } from '../../shared/bip270/payment.ts'
import { systemClock } from '../../shared/clock.ts'
import { checkPool, doorsOf } from '../../shared/config/config.ts'
import { readEnv } from '../../shared/config/env.ts'
import { atFirstUse, atFirstUseOrAnew } from '../../shared/first-use.ts'
import { Copies } from '../../shared/machine/copies.ts'
import type { Invoicing } from '../../shared/machine/invoicing.ts'
import { type Paywall, paywallsOf } from '../../shared/paywall/paywall.ts'
import { catchLateErrorsFirst } from '../late.ts'
import { Telemetry } from '../telemetry.ts'
import { tracing } from '../tracing.ts'
import { paymentsApp } from './app.ts'
import type { DoorDeps } from './door.ts'
import { measured } from './measured.ts'

// The Lambda behind the function URL and the custom domain: the HTTP door over SQS. The pools' settings are in its bundle, so no payment waits for a read.
const env = readEnv('payments')
const telemetry = new Telemetry({ namespace: env.NAMESPACE, service: 'payments' })
const traces = await tracing('payments', env.TRACES !== undefined)
const clients = new AwsClients({ endpoint: env.AWS_ENDPOINT_URL, traced: traces.client })
const bucket = new Bucket(clients, env.BUCKET)
const queues = new AwsQueues(clients, bucket)
const ingress = queues.openIngress(env.INGRESS_URLS)
const filterThrewLate = (error: unknown) => telemetry.log.error('code of a filter that it did not wait for has failed', error as Error)
const checked = (path: string) => ({ path, ...checkPool(config.pools[path]!, `pools.${path}`), filterThrewLate })
const pools = new Map(doorsOf(config).map((path) => [path, checked(path)]))
const looksUpCopies = [...pools.values()].some(({ filter, price }) => filter || price !== undefined)
catchLateErrorsFirst()

/** What this door needs where the machine takes part in Bitcoin. */
const bitcoin = env.CALLBACKS_ARN === undefined || env.TABLE === undefined ? undefined : bitcoinIn(env.TABLE, env.CALLBACKS_ARN)

/** What it needs where pools ask for payments. */
const invoicing =
  env.INVOICE_KEYS_ARN === undefined || env.TABLE === undefined ? undefined : await invoicingIn(env.TABLE, env.INVOICE_KEYS_ARN)

const app = paymentsApp({
  pool: (path) => pools.get(path),
  pools: () => [...pools.values()],
  ingress,
  copies: looksUpCopies && env.TABLE !== undefined ? await copiesIn(env.TABLE) : undefined,
  ...bitcoin,
  ancestors: bucket.ancestors(),
  invoicing,
  url: config.url,
  followAt: env.FOLLOW_AT,
  now: Date.now,
  paywall: env.PAY_SECRET_ARN === undefined ? undefined : paywallsIn(env.PAY_SECRET_ARN),
  maxBytes: MAX_PAYMENT_BYTES_ON_LAMBDA,
  log: (error) => telemetry.log.error('a payment could not be taken', error as Error),
})

/** Only a door with a filter or a price loads the client of DynamoDB. */
async function copiesIn(table: string): Promise<Copies> {
  const { openStores } = await import('../../shared/aws/stores.ts')
  return new Copies(openStores(clients, table, bucket).receipts, ingress)
}

/** The keys are read again at most this often, ms: strangers may send tokens of any key. */
const KEYS_AGAIN_MS = 10_000

/** Payment requests and invoices. Their keys are read with the first one, and again when a token has none of them. */
async function invoicingIn(table: string, keysArn: string): Promise<Invoicing> {
  const [{ openStores }, { askingIn }, { invoicingOnAws }] = await Promise.all([
    import('../../shared/aws/stores.ts'),
    import('../../shared/config/asking.ts'),
    import('../../shared/machine/invoicing-on-aws.ts'),
  ])
  const keys = atFirstUseOrAnew(async () => {
    const [{ readSecret }, { tokenKeysIn }] = await Promise.all([
      import('../../shared/aws/secrets.ts'),
      import('../../shared/invoice/token.ts'),
    ])
    const what = `the secret ${keysArn}`
    return tokenKeysIn(await readSecret(clients, keysArn, what), what)
  }, KEYS_AGAIN_MS)
  return invoicingOnAws(askingIn(config), openStores(clients, table, bucket), keys)
}

/** The keys that payments of HTTP 402 and paymail go to. The secret is read, and the library loaded, with the first of them. */
function paywallsIn(secretArn: string): (pool: string) => Paywall {
  const secret = atFirstUse(async () => {
    const { readSecret } = await import('../../shared/aws/secrets.ts')
    return readSecret(clients, secretArn, `the secret ${secretArn}`)
  })
  return paywallsOf(secret, { network: config.bitcoin?.network ?? 'main', now: Date.now })
}

/** Callbacks of services, and what is known of transactions. What they need is loaded with the first one: payments do not need it. */
function bitcoinIn(table: string, secretArn: string): Required<Pick<DoorDeps, 'callbacks' | 'known'>> {
  const knowsChain = (config.bitcoin?.chain ?? []).length > 0
  const opened = atFirstUse(async () => {
    const [{ openStores }, { readSecret }, { Broadcaster }] = await Promise.all([
      import('../../shared/aws/stores.ts'),
      import('../../shared/aws/secrets.ts'),
      import('../../shared/broadcast/broadcaster.ts'),
    ])
    const stores = openStores(clients, table, bucket)
    return {
      secret: await readSecret(clients, secretArn, `the secret ${secretArn}`),
      broadcaster: new Broadcaster({ services: [], stores, ingress, clock: systemClock, knowsChain }),
    }
  })
  const stores = atFirstUse(async () => {
    const [{ openStores }, { knownOf }] = await Promise.all([import('../../shared/aws/stores.ts'), import('../../shared/machine/known.ts')])
    const { receipts, statuses } = openStores(clients, table, bucket)
    return (path: string, txid: string) => knownOf({ receipts, statuses }, path, txid)
  })
  return {
    callbacks: {
      secret: async () => (await opened()).secret,
      hear: async (word) => (await opened()).broadcaster.hear(word),
    },
    known: async (path, txid) => (await stores())(path, txid),
  }
}

export const handler = traces.handler(measured(handle(app), telemetry))
