import { Duration } from 'aws-cdk-lib'
import type { Function as Lambda } from 'aws-cdk-lib/aws-lambda'
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources'
import type { LogGroup } from 'aws-cdk-lib/aws-logs'
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs'
import { Construct } from 'constructs'
import type { EnvOf } from '../shared/config/env.ts'
import { STORES } from '../shared/store/dynamodb/partitions.ts'
import { lambdaOf } from './function.ts'
import type { Ingress } from './ingress.ts'
import type { Ledger } from './ledger.ts'
import type { HandlerCode } from './read.ts'

/** SQS, FIFO: messages in one batch. */
const BATCH = 10
/** After this many receives a bell goes to the dead-letter queue; the sidecar rings again while the handler lags. */
const RECEIVES = 100

export interface HandlerProps {
  code: HandlerCode
  ledger: Ledger
  ingress: Ingress
  namespace: string
  traces: boolean
}

/** A user's handler: its function, the queue of its bells, and their dead-letter queue. */
export class Handler extends Construct {
  readonly name: string
  readonly code: HandlerCode
  readonly function: Lambda
  readonly logs: LogGroup
  readonly bells: Queue
  readonly deadLetters: Queue

  constructor(scope: Construct, { code, ledger, ingress, namespace, traces }: HandlerProps) {
    super(scope, `Handler-${code.name}`)
    this.name = code.name
    this.code = code
    const common = { fifo: true, encryption: QueueEncryption.SQS_MANAGED, enforceSSL: true, retentionPeriod: Duration.days(14) }
    this.deadLetters = new Queue(this, 'DeadLetters', common)
    this.bells = new Queue(this, 'Bells', {
      ...common,
      // Twice the function's timeout: a batch that waits before Lambda calls the function must not be delivered a second time meanwhile (Promise 4).
      visibilityTimeout: Duration.seconds(2 * code.timeoutS),
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: RECEIVES },
    })
    const environment: EnvOf<'handler'> = {
      HANDLER: code.name,
      BELLS_URL: this.bells.queueUrl,
      TABLE: ledger.table.tableName,
      BUCKET: ledger.bucket.bucketName,
      INGRESS_URLS: ingress.urls,
      NAMESPACE: namespace,
    }
    const { lambda, logs } = lambdaOf(this, {
      bundle: code.bundle,
      environment,
      memorySize: 512,
      timeoutS: code.timeoutS,
      description: `Overpool: calls the handler ${code.named}`,
      traces,
    })
    this.function = lambda
    this.logs = logs
    // It writes its progress and what it wants published or subscribed to; never a block.
    ledger.grant(this.function, { read: STORES, write: ['progress', 'control'] })
    ledger.grantPutMessages(this.function)
    ingress.grantPost(this.function)
    this.function.addEventSource(new SqsEventSource(this.bells, { batchSize: BATCH, reportBatchItemFailures: true }))
  }
}
