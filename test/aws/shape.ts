import { CreateQueueCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { isBroadcasting } from '../../shared/config/bitcoin.ts'
import type { OverpoolConfig } from '../../shared/config/config.ts'
import type { EnvOf } from '../../shared/config/env.ts'
import { BROADCASTER, planMachine, type RungHandler } from '../../shared/config/plan.ts'
import { type AwsPlace, queueUrl } from './clients.ts'

/** The visibility timeouts of the stack (cdk/ingress.ts, cdk/handlers.ts), s. */
const INGRESS_VISIBILITY_S = 60
const BELLS_VISIBILITY_S = 180
/** The secret of the tokens of callbacks. */
export const CALLBACKS_ARN = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:Callbacks'

export interface ShapeOptions {
  config: OverpoolConfig
  handlers: Omit<RungHandler, 'url'>[]
  shards?: number
  /** a post that a dead task had received comes again after this time, s (default: as on AWS) */
  ingressVisibilityS?: number
}

/** The queues between the parts of a machine on AWS, and the environment of each part, as in the stack (cdk/stack.ts), without CloudFormation. */
export class Shape {
  readonly shards: number
  /** in the order of the shards */
  readonly ingressUrls: string[]
  readonly #place: AwsPlace
  readonly #options: ShapeOptions

  constructor(place: AwsPlace, options: ShapeOptions) {
    this.shards = options.shards ?? 1
    this.ingressUrls = Array.from({ length: this.shards }, (_, shard) => queueUrl(place, `ingress-${shard}`))
    this.#place = place
    this.#options = options
  }

  bellsUrl(handler: string): string {
    return queueUrl(this.#place, `tx-${handler}.fifo`)
  }

  /** Makes the queues that do not exist. */
  async make(sqs: SQSClient): Promise<void> {
    const { handlers, ingressVisibilityS = INGRESS_VISIBILITY_S } = this.#options
    const make = (url: string, Attributes: Record<string, string>) =>
      sqs.send(new CreateQueueCommand({ QueueName: url.split('/').at(-1), Attributes }))
    await Promise.all([
      ...this.ingressUrls.map((url) => make(url, { VisibilityTimeout: String(ingressVisibilityS) })),
      ...[...handlers.map(({ name }) => name), ...this.#broadcaster].map((name) =>
        make(this.bellsUrl(name), { VisibilityTimeout: String(BELLS_VISIBILITY_S), FifoQueue: 'true' }),
      ),
    ])
  }

  /** The name of the broadcaster, if the machine has one. */
  get #broadcaster(): string[] {
    return isBroadcasting(this.#options.config.bitcoin) ? [BROADCASTER] : []
  }

  /** The variables with which every process reaches AWS. */
  get aws(): Record<string, string> {
    return {
      AWS_ENDPOINT_URL: this.#place.endpoint,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    }
  }

  get payments(): EnvOf<'payments'> {
    return { INGRESS_URLS: this.ingressUrls.join(' '), BUCKET: this.#place.bucket, NAMESPACE: 'Overpool' }
  }

  handler(name: string): EnvOf<'handler'> {
    return { ...this.payments, HANDLER: name, BELLS_URL: this.bellsUrl(name), TABLE: this.#place.table }
  }

  sidecar(shard: number): EnvOf<'sidecar'> {
    const { config, handlers } = this.#options
    const [broadcaster] = this.#broadcaster
    const rung = handlers.map((handler) => ({ ...handler, url: this.bellsUrl(handler.name) }))
    return {
      TABLE: this.#place.table,
      BUCKET: this.#place.bucket,
      INGRESS_URL: this.ingressUrls[shard]!,
      SHARD: String(shard),
      SHARDS: String(this.shards),
      SEED_ARN: 'arn:aws:secretsmanager:us-east-1:000000000000:secret:Seed',
      MACHINE: JSON.stringify(planMachine(config, rung, broadcaster && this.bellsUrl(broadcaster))),
      ...(config.bitcoin && { CALLBACKS_ARN }),
    }
  }
}
