import { Duration } from 'aws-cdk-lib'
import type { Function as Lambda } from 'aws-cdk-lib/aws-lambda'
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources'
import type { LogGroup } from 'aws-cdk-lib/aws-logs'
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs'
import { Construct } from 'constructs'
import type { Bundle } from './bundle.ts'
import { lambdaOf } from './function.ts'

/** SQS, FIFO: messages in one batch. */
const BATCH = 10
/** After this many receives a bell goes to the dead-letter queue; the sidecar rings again while the handler lags. */
const RECEIVES = 100

export interface BelledProps {
  name: string
  bundle: Bundle
  timeoutS: number
  description: string
  environment: (bells: Queue) => Record<string, string>
  traces: boolean
}

/** A function that is called with bells, their queue, and its dead-letter queue. */
export class Belled extends Construct {
  readonly name: string
  readonly function: Lambda
  readonly logs: LogGroup
  readonly bells: Queue
  readonly deadLetters: Queue

  constructor(scope: Construct, id: string, { name, bundle, timeoutS, description, environment, traces }: BelledProps) {
    super(scope, id)
    this.name = name
    const common = { fifo: true, encryption: QueueEncryption.SQS_MANAGED, enforceSSL: true, retentionPeriod: Duration.days(14) }
    this.deadLetters = new Queue(this, 'DeadLetters', common)
    this.bells = new Queue(this, 'Bells', {
      ...common,
      // Twice the function's timeout: a batch that waits before Lambda calls the function must not be delivered a second time meanwhile (Promise 4).
      visibilityTimeout: Duration.seconds(2 * timeoutS),
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: RECEIVES },
    })
    const { lambda, logs } = lambdaOf(this, {
      bundle,
      environment: environment(this.bells),
      memorySize: 512,
      timeoutS,
      description,
      traces,
    })
    this.function = lambda
    this.logs = logs
    this.function.addEventSource(new SqsEventSource(this.bells, { batchSize: BATCH, reportBatchItemFailures: true }))
  }
}
