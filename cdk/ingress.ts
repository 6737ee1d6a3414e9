import { Duration, RemovalPolicy } from 'aws-cdk-lib'
import type { IGrantable } from 'aws-cdk-lib/aws-iam'
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs'
import { Construct } from 'constructs'

/** SQS keeps a message this long at most. */
const KEPT = Duration.days(14)
/** A post whose receiver has died is delivered again after this time. */
const VISIBILITY = Duration.seconds(60)
/** After this many receives SQS moves a post to the dead-letter queue. The posts of a halted pool are put back for a minute at a time, so this happens after 16 hours. */
const RECEIVES = 1_000

/** The queues that carry posts to the sidecars, one for each shard. What they hold has been acknowledged. */
export class Ingress extends Construct {
  readonly queues: Queue[]
  readonly deadLetters: Queue

  constructor(scope: Construct, { shards, retain }: { shards: number; retain: boolean }) {
    super(scope, 'Ingress')
    const removalPolicy = retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY
    const common = { retentionPeriod: KEPT, encryption: QueueEncryption.SQS_MANAGED, enforceSSL: true, removalPolicy }
    this.deadLetters = new Queue(this, 'DeadLetters', common)
    this.queues = Array.from({ length: shards }, (_, shard) => {
      const deadLetterQueue = { queue: this.deadLetters, maxReceiveCount: RECEIVES }
      return new Queue(this, `Shard${shard}`, { ...common, visibilityTimeout: VISIBILITY, deadLetterQueue })
    })
  }

  /** Their URLs in the order of the shards, as ShardedIngress wants them. */
  get urls(): string {
    return this.queues.map(({ queueUrl }) => queueUrl).join(' ')
  }

  grantPost(to: IGrantable): void {
    for (const queue of this.queues) queue.grantSendMessages(to)
  }
}
