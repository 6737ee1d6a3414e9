import { type FunctionUrl, FunctionUrlAuthType, InvokeMode, type Function as Lambda } from 'aws-cdk-lib/aws-lambda'
import { Construct } from 'constructs'
import type { OverpoolConfig } from '../shared/config/config.ts'
import type { EnvOf } from '../shared/config/env.ts'
import { hasEvents } from '../shared/config/events.ts'
import { OverpoolError } from '../shared/errors.ts'
import type { Bundle } from './bundle.ts'
import { lambdaOf } from './function.ts'
import type { Ledger } from './ledger.ts'

/** Longer than a stream lives (functions/events/lambda.ts), s. */
const EVENTS_TIMEOUT_S = 300

export interface EventsProps {
  bundle: Bundle
  ledger: Ledger
  namespace: string
  /** followers at one moment: each has a call of the function for itself */
  followers: number
  traces: boolean
}

/**
 * Sends the events of pools to those who follow them: a function of its own, since its answers are streams, with a URL of its own. It reads blocks, and which pools there are, and
 * writes nothing. Its calls are counted apart, so that followers cannot take those of the door.
 */
export class Events extends Construct {
  readonly function: Lambda
  readonly url: FunctionUrl

  constructor(scope: Construct, { bundle, ledger, namespace, followers, traces }: EventsProps) {
    super(scope, 'Events')
    const environment: EnvOf<'events'> = { TABLE: ledger.table.tableName, BUCKET: ledger.bucket.bucketName, NAMESPACE: namespace }
    const { lambda } = lambdaOf(this, {
      bundle,
      environment,
      memorySize: 256,
      timeoutS: EVENTS_TIMEOUT_S,
      description: 'Overpool: sends the events of pools to those who follow them',
      reservedConcurrency: followers,
      traces,
    })
    this.function = lambda
    ledger.grant(this.function, { read: ['blocks', 'control'] })
    this.url = this.function.addFunctionUrl({ authType: FunctionUrlAuthType.NONE, invokeMode: InvokeMode.RESPONSE_STREAM })
  }
}

/** Whether a pool of the config can be followed. */
export function isFollowed({ pools }: OverpoolConfig): boolean {
  return Object.values(pools).some(({ events }) => hasEvents(events))
}

/** @throws OverpoolError BAD_CONFIG: a pool has `events`, and `aws.followers` is not set */
export function checkEventsOnAws(config: OverpoolConfig): void {
  if (isFollowed(config) && config.aws?.followers === undefined)
    throw new OverpoolError(
      'BAD_CONFIG',
      'the config is wrong: a pool has `events`, and `aws.followers` is not set. On AWS each follower holds one of the account’s concurrent executions (1,000, in new accounts 10): set `aws.followers` to the number that followers may hold',
    )
}
