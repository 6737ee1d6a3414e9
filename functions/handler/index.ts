import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { SQSClient } from '@aws-sdk/client-sqs'
import config from '#config'
import * as user from '#handler'
import { Bucket } from '../../shared/blobs/bucket.ts'
import { systemClock } from '../../shared/clock.ts'
import { type CheckedSettings, checkPool, checkSettings } from '../../shared/config.ts'
import { readEnv } from '../../shared/env.ts'
import { DynamoMirror } from '../../shared/mirror/dynamodb.ts'
import { SqsQueue } from '../../shared/queue/sqs.ts'
import { ShardedIngress } from '../../shared/shards.ts'
import { Telemetry } from '../telemetry.ts'
import type { TxEvent } from './event.ts'
import { answerBatch, type BellsEvent, type BellsResponse } from './lambda.ts'
import { type OnTx, Pools } from './pools.ts'
import { lineOf, type PostFailed, type RunnerReport } from './report.ts'
import { answerBell } from './runner.ts'

/** Between two attempts at an entry: ms after the first, doubling up to the most. SQS knows whole seconds. */
const RETRY_MS = 1_000
const RETRY_MOST_MS = 30_000

// The Lambda of one handler file: it answers the bells of its queue. The file itself and the config are in its bundle.
const env = readEnv('handler')
const telemetry = new Telemetry({ namespace: env.NAMESPACE, service: `handler-${env.HANDLER}` })
const clock = systemClock
const pathStyle = env.AWS_ENDPOINT_URL !== undefined
const client = new SQSClient({ maxAttempts: 1 })
const bucket = new Bucket(env.BUCKET, pathStyle)
const messages = bucket.blobs('messages/')
const mirror = new DynamoMirror({ client: new DynamoDBClient({ maxAttempts: 1 }), table: env.TABLE, blobs: bucket.blobs('blocks/') })
const ingress = new ShardedIngress(env.INGRESS_URLS.split(' ').map((url) => new SqsQueue({ client, url, blobs: messages })))
const queue = new SqsQueue({ client, url: env.BELLS_URL, blobs: messages })

const own = new Map(Object.entries(config.pools).map(([path, pool]) => [path, checkPool(pool, `pools.${path}`)]))
const others = checkSettings({}, '')
const settings = (path: string): CheckedSettings => own.get(path) ?? others
const pools = new Pools({ mirror, ingress, clock, settings, postFailed: (error) => report({ kind: 'post-failed', error }) })
const onTx = ('onTx' in user ? user.onTx : (user as { default?: unknown }).default) as OnTx

/** Keys of pools of ours, which never change; what of a peer's pool may change is read each time. */
const keys = new Map<string, string>()

function report(report: RunnerReport | PostFailed): void {
  telemetry.log.error(lineOf(report), { kind: report.kind, ...('pool' in report && { pool: report.pool }) })
  if (report.kind === 'failed') telemetry.count('handlerErrors')
  if (report.kind === 'given-up' || report.kind === 'stopped') telemetry.count('givenUp')
}

function handle(event: TxEvent): unknown {
  telemetry.count('entries')
  telemetry.time('lagMs', Math.max(0, clock.now() - event.at))
  return onTx(event, pools)
}

export async function handler(event: BellsEvent, context: { getRemainingTimeInMillis: () => number }): Promise<BellsResponse> {
  const answered = await answerBatch(event, () => context.getRemainingTimeInMillis(), {
    queue,
    report: (error) => telemetry.log.error('bells could not be answered', error as Error),
    async answer(bell, receives, remainingMs) {
      const { maxAttempts, onPoison, timeoutMs } = settings(bell.pool)
      const known = keys.get(bell.pool)
      const pool = known === undefined ? await pools.control(bell.pool) : { key: known }
      if (own.has(bell.pool)) keys.set(bell.pool, pool.key)
      // An entry is begun when all the time that it may take is left: Lambda never ends a handler's call in its middle.
      const deadline = clock.now() + remainingMs() - timeoutMs
      const options = {
        handler: env.HANDLER,
        mirror,
        clock,
        report,
        onTx: handle,
        maxAttempts,
        onPoison,
        timeoutMs,
        retryMs: RETRY_MS,
        retryMostMs: RETRY_MOST_MS,
      }
      return answerBell(bell, pool, receives, deadline, options)
    },
  })
  telemetry.flush()
  return answered
}
