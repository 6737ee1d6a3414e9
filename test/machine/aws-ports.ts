import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import { BELL_VISIBILITY_MS, type Ports } from '../../local/ports.ts'
import { type Prefix, S3Blobs } from '../../shared/blobs/s3.ts'
import { systemClock } from '../../shared/clock.ts'
import { CARRY_BYTES, SqsQueue, type SqsQueueOptions } from '../../shared/queue/sqs.ts'
import { dynamoStores } from '../../shared/store/dynamodb/index.ts'
import { type AwsPlace, ancestorsIn, awsClients, queueUrl } from '../aws/clients.ts'

export interface AwsPortsOptions {
  ingressVisibilityMs?: number
  bellVisibilityMs?: number
  /** how long the ingress queue waits for larger batches, ms */
  gatherMs?: number
}

/** The ports of a machine on AWS. Messages that an earlier machine had received are visible again. */
export async function awsPorts(place: AwsPlace, options: AwsPortsOptions = {}): Promise<Ports> {
  const { ingressVisibilityMs = 60_000, bellVisibilityMs = BELL_VISIBILITY_MS, gatherMs } = options
  const { dynamodb, sqs, s3, close } = awsClients(place.endpoint)
  const blobs = (prefix: Prefix) => new S3Blobs({ client: s3, bucket: place.bucket, prefix })
  const messages = blobs('messages/')
  const queues: SqsQueue[] = []
  const queue = async (name: string, visibilityMs: number, more: Partial<SqsQueueOptions> = {}) => {
    const fifo = name.endsWith('.fifo')
    const Attributes = { VisibilityTimeout: String(visibilityMs / 1000), ...(fifo && { FifoQueue: 'true' }) }
    await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes }))
    const made = new SqsQueue({ client: sqs, url: queueUrl(place, name), blobs: messages, ...more })
    queues.push(made)
    return made
  }
  return {
    stores: dynamoStores({ client: dynamodb, table: place.table, blobs: blobs('blocks/'), ancestors: ancestorsIn({ s3 }, place) }),
    ingress: await queue('ingress', ingressVisibilityMs, { gatherMs }),
    bells: (handler) => queue(`tx-${handler}.fifo`, bellVisibilityMs),
    carryBytes: CARRY_BYTES,
    clock: systemClock,
    async close() {
      await Promise.all(queues.map((each) => each.close()))
      close()
    },
  }
}
