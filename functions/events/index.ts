import type { Writable } from 'node:stream'
import config from '#config'
import { Bucket } from '../../shared/aws/bucket.ts'
import { AwsClients } from '../../shared/aws/clients.ts'
import { openStores } from '../../shared/aws/stores.ts'
import { systemClock } from '../../shared/clock.ts'
import { checkPool } from '../../shared/config/config.ts'
import { readEnv } from '../../shared/config/env.ts'
import { findPool } from '../../shared/machine/find-pool.ts'
import { catchLateErrorsFirst } from '../late.ts'
import { Quotas } from '../payments/quotas.ts'
import { Telemetry } from '../telemetry.ts'
import { tracing } from '../tracing.ts'
import { Feeds } from './feed.ts'
import { Followers } from './followers.ts'
import { type Begin, eventsFunction, type UrlEvent } from './lambda.ts'

/** What Lambda's runtime puts beside a function whose answers are streams. */
declare const awslambda: {
  streamifyResponse: (
    answer: (event: UrlEvent, stream: Writable, context: { getRemainingTimeInMillis: () => number }) => Promise<void>,
  ) => unknown
  HttpResponseStream: { from: Begin }
}

/** Each follower has an instance of this function to itself, and looks for blocks this often, ms: a look is a request to DynamoDB. */
const LOOK_MS = 1_000
/** Lambda counts the followers (cdk/events.ts). */
const MAX_FOLLOWERS = 1_000

// The Lambda that sends the events of pools to those who follow them. The pools' settings are in its bundle.
const env = readEnv('events')
const telemetry = new Telemetry({ namespace: env.NAMESPACE, service: 'events' })
const traces = await tracing('events', env.TRACES !== undefined)
const clients = new AwsClients({ endpoint: env.AWS_ENDPOINT_URL, traced: traces.client })
const stores = openStores(clients, env.TABLE, new Bucket(clients, env.BUCKET))
const pools = new Map(Object.entries(config.pools).map(([path, pool]) => [path, { path, ...checkPool(pool, `pools.${path}`) }]))
const failed = (error: unknown) => telemetry.log.error('events could not be sent', error as Error)
catchLateErrorsFirst()

const answer = eventsFunction(
  {
    pool: (path) => pools.get(path),
    feeds: new Feeds({
      blocks: stores.blocks,
      control: (path) => findPool(stores.control, path),
      clock: systemClock,
      lookMs: LOOK_MS,
      failed,
    }),
    followers: new Followers({ most: MAX_FOLLOWERS }),
    quotas: new Quotas(),
    clock: systemClock,
    threwLate: (_, error) => telemetry.log.error('code of `events` that it did not wait for has failed', error as Error),
    log: failed,
  },
  awslambda.HttpResponseStream.from,
)

export const handler = awslambda.streamifyResponse(
  traces.handler(async (event, stream, context) => answer(event, stream, () => context.getRemainingTimeInMillis())),
)
