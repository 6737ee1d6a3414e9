import { SQSClient } from '@aws-sdk/client-sqs'
import type { Blobs } from '../blobs/port.ts'
import { ShardedIngress } from '../queue/shards.ts'
import { SqsQueue, type SqsQueueOptions } from '../queue/sqs.ts'
import type { Bucket } from './bucket.ts'
import type { AwsClients } from './clients.ts'

/** The queues of a machine, over one client; bodies too large for SQS lie in its bucket. */
export class AwsQueues {
  readonly #client: SQSClient
  readonly #blobs: Blobs

  constructor(clients: AwsClients, bucket: Bucket) {
    this.#client = clients.of(SQSClient)
    this.#blobs = bucket.blobs('messages/')
  }

  open(url: string, options: Pick<SqsQueueOptions, 'gatherMs'> = {}): SqsQueue {
    return new SqsQueue({ client: this.#client, url, blobs: this.#blobs, ...options })
  }

  /** The ingress queues of all shards. @param urls in the order of the shards, separated by spaces, as cdk/ingress.ts gives them */
  openIngress(urls: string): ShardedIngress {
    return new ShardedIngress(urls.split(' ').map((url) => this.open(url)))
  }
}
