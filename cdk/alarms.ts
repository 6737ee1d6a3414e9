import { Duration, Stack } from 'aws-cdk-lib'
import { CfnBudget } from 'aws-cdk-lib/aws-budgets'
import {
  Alarm,
  ComparisonOperator,
  Dashboard,
  GraphWidget,
  type IMetric,
  MathExpression,
  Metric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch'
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions'
import { ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import { FilterPattern, type LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs'
import { Topic } from 'aws-cdk-lib/aws-sns'
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions'
import type { Queue } from 'aws-cdk-lib/aws-sqs'
import { Construct } from 'constructs'
import type { AwsSettings } from '../shared/config/aws.ts'
import type { OverpoolConfig } from '../shared/config/config.ts'
import type { Broadcaster } from './broadcaster.ts'
import type { Forward } from './forward.ts'
import type { Handler } from './handlers.ts'
import type { Ingress } from './ingress.ts'
import type { Ledger } from './ledger.ts'
import type { Payments } from './payments.ts'
import type { Sidecars } from './sidecar.ts'

/** A post or a bell that has waited this long means that something is broken, s. */
const TOO_OLD_S = 300
const FIVE_MINUTES = Duration.minutes(5)
/** CloudWatch: metrics in one alarm. */
const MAX_METRICS = 10

export interface AlarmsProps {
  config: OverpoolConfig
  settings: AwsSettings
  namespace: string
  ledger: Ledger
  ingress: Ingress
  payments: Payments
  handlers: (Handler | Forward)[]
  broadcaster?: Broadcaster
  sidecars: Sidecars
}

interface Reason {
  /** the heading in docs/runbook.md */
  article: string
  what: string
  threshold: number
}

const NO_BLOCK: Reason = {
  article: 'no-block',
  what: 'The sidecar has met no block of the chain for an hour.',
  threshold: 3_600,
}

/** When an alarm goes off: the metric is too high; or too low, and no data counts as too low. */
const TOO_MUCH = { comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD, treatMissingData: TreatMissingData.NOT_BREACHING }
const TOO_LITTLE = { comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD, treatMissingData: TreatMissingData.BREACHING }

/** The alarms, each with the heading of the runbook that says what to do; the dashboard; the budget. */
export class Alarms extends Construct {
  readonly topic: Topic
  readonly #namespace: string

  constructor(scope: Construct, { config, settings, namespace, ledger, ingress, payments, handlers, broadcaster, sidecars }: AlarmsProps) {
    super(scope, 'Alarms')
    this.#namespace = namespace
    this.topic = new Topic(this, 'Topic', { enforceSSL: true })
    // A topic with a policy of its own loses the default one, which lets the account's alarms publish.
    const conditions = { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } }
    this.topic.grantPublish(new ServicePrincipal('cloudwatch.amazonaws.com', { conditions }))
    if (settings.alarmEmail) this.topic.addSubscription(new EmailSubscription(settings.alarmEmail))

    const deadLetters = [ingress.deadLetters, ...handlers.map((handler) => handler.deadLetters)].map(depthOf)
    const gaveUp = handlers.map(({ name }) => this.#ofHandler(name, 'givenUp', 'Sum'))
    this.#alarms('DeadLetters', [...deadLetters, ...gaveUp], {
      article: 'dead-letters',
      what: 'A post, a bell or an entry was given up, and is kept.',
      threshold: 0,
    })
    this.#alarms(
      'IngressAge',
      ingress.queues.map(ageOf),
      {
        article: 'ingress-age',
        what: 'Payments were acknowledged, and are not in the ledger after five minutes.',
        threshold: TOO_OLD_S,
      },
      'MAX',
    )
    this.#alarms(
      'HandlerLag',
      [...handlers, ...(broadcaster ? [broadcaster] : [])].map(({ bells }) => ageOf(bells)),
      {
        article: 'handler-lag',
        what: 'A handler has not finished what came into a pool five minutes ago.',
        threshold: TOO_OLD_S,
      },
      'MAX',
    )
    for (const [shard, logs] of sidecars.logs.entries()) this.#sidecarGone(shard, logs)
    this.#alarms('PoolHalted', this.#said(sidecars.logs, 'Halted', FilterPattern.stringValue('$.kind', '=', 'halted')), {
      article: 'pool-halted',
      what: 'Nothing is appended to a pool any more until you act.',
      threshold: 0,
    })
    this.#alarms('Conflict', this.#said(sidecars.logs, 'Conflict', FilterPattern.stringValue('$.message', '=', '*conflict*')), {
      article: 'conflict',
      what: 'Two different ledgers were signed under one key.',
      threshold: 0,
    })
    const throttles = [
      payments.function.metricThrottles({ period: FIVE_MINUTES }),
      ...['ReadThrottleEvents', 'WriteThrottleEvents'].map((name) => ledger.table.metric(name, { statistic: 'Sum', period: FIVE_MINUTES })),
    ]
    this.#alarms('Throttles', throttles, {
      article: 'throttles',
      what: 'Wallets were told to come again, or the table took no more.',
      threshold: 10,
    })
    const failures = new Metric({
      namespace: 'AWS/Lambda',
      metricName: 'Url5xxCount',
      dimensionsMap: { FunctionName: payments.function.functionName },
      statistic: 'Sum',
      period: FIVE_MINUTES,
    })
    this.#alarms('Failures', [failures, payments.function.metricErrors({ period: FIVE_MINUTES })], {
      article: 'failures',
      what: 'Payments were answered with 5xx.',
      threshold: 4,
    })

    if (broadcaster) this.#ofBroadcaster(broadcaster, sidecars.logs)
    // A regtest has a block when somebody makes one.
    if (config.bitcoin?.chain?.length && config.bitcoin.network !== 'regtest') {
      this.#alarms('NoBlock', this.#measured(sidecars.logs, 'BlockAge', '$.blockAgeS'), NO_BLOCK, 'MAX')
    }

    this.#dashboard({ ingress, handlers, sidecars, failures })
    if (settings.budget) this.#budget(settings.budget)
  }

  #ofBroadcaster({ name, deadLetters }: Broadcaster, logs: LogGroup[]): void {
    this.#alarms('BroadcasterDeadLetters', [depthOf(deadLetters), this.#ofHandler(name, 'givenUp', 'Sum')], {
      article: 'broadcaster-dead-letters',
      what: 'A request to broadcast was given up, and is kept.',
      threshold: 0,
    })
    this.#alarms('Unseen', this.#measured(logs, 'Unseen', '$.unseen'), {
      article: 'unseen',
      what: 'A transaction was sent ten minutes ago, and the network has not seen it.',
      threshold: 0,
    })
  }

  /** One alarm over metrics with the same meaning; more only if CloudWatch's limit of metrics demands it. */
  #alarms(id: string, metrics: IMetric[], reason: Reason, how: 'SUM' | 'MAX' = 'SUM'): void {
    for (let from = 0; from < metrics.length; from += MAX_METRICS) {
      const some = metrics.slice(from, from + MAX_METRICS)
      const usingMetrics = Object.fromEntries(some.map((metric, i) => [`m${i}`, metric]))
      const filled = some.map((_, i) => `FILL(m${i}, 0)`)
      const metric =
        some.length === 1
          ? some[0]!
          : new MathExpression({
              expression: how === 'SUM' ? filled.join(' + ') : `MAX([${filled.join()}])`,
              usingMetrics,
              period: FIVE_MINUTES,
            })
      this.#alarm(from ? `${id}${from / MAX_METRICS}` : id, metric, reason)
    }
  }

  #alarm(id: string, metric: IMetric, { article, what, threshold }: Reason, when: typeof TOO_MUCH = TOO_MUCH): void {
    const alarm = new Alarm(this, id, {
      alarmDescription: `${what} See docs/runbook.md#${article}`,
      metric,
      threshold,
      evaluationPeriods: 1,
      ...when,
    })
    alarm.addAlarmAction(new SnsAction(this.topic))
  }

  /** A working sidecar reports once a minute. */
  #sidecarGone(shard: number, logs: LogGroup): void {
    const alive = this.#filter(logs, `Alive${shard}`, FilterPattern.stringValue('$.kind', '=', 'alive'))
    const what = 'No sidecar has said for five minutes that its loops move.'
    this.#alarm(`SidecarGone${shard}`, alive, { article: 'sidecar-gone', what, threshold: 1 }, TOO_LITTLE)
  }

  #said(logs: LogGroup[], name: string, pattern: ReturnType<typeof FilterPattern.stringValue>): IMetric[] {
    return logs.map((group, shard) => this.#filter(group, `${name}${shard}`, pattern))
  }

  #filter(logGroup: LogGroup, metricName: string, filterPattern: ReturnType<typeof FilterPattern.stringValue>): Metric {
    const filter = new MetricFilter(this, `Says${metricName}`, {
      logGroup,
      filterPattern,
      metricNamespace: this.#namespace,
      metricName: `sidecar${metricName}`,
    })
    return filter.metric({ statistic: 'Sum', period: FIVE_MINUTES })
  }

  /** A number that the sidecars say once a minute. */
  #measured(logs: LogGroup[], name: string, field: string): IMetric[] {
    return logs.map((logGroup, shard) => {
      const filter = new MetricFilter(this, `Says${name}${shard}`, {
        logGroup,
        filterPattern: FilterPattern.exists(field),
        metricValue: field,
        metricNamespace: this.#namespace,
        metricName: `sidecar${name}${shard}`,
      })
      return filter.metric({ statistic: 'Maximum', period: FIVE_MINUTES })
    })
  }

  #ofHandler(name: string, metricName: string, statistic: string): Metric {
    return new Metric({
      namespace: this.#namespace,
      metricName,
      dimensionsMap: { service: `handler-${name}` },
      statistic,
      period: FIVE_MINUTES,
    })
  }

  #dashboard({
    ingress,
    handlers,
    sidecars,
    failures,
  }: Pick<AlarmsProps, 'ingress' | 'handlers' | 'sidecars'> & { failures: Metric }): void {
    const door = (metricName: string, statistic: string) =>
      new Metric({ namespace: this.#namespace, metricName, dimensionsMap: { service: 'payments' }, statistic, period: Duration.minutes(1) })
    const graph = (title: string, left: IMetric[], right: IMetric[] = []) => new GraphWidget({ title, left, right, width: 12 })
    new Dashboard(this, 'Dashboard', {
      widgets: [
        [
          graph(
            'Payments: acknowledged and refused; ms to the acknowledgement',
            [door('posts', 'Sum'), failures],
            [door('ackMs', 'p50'), door('ackMs', 'p99')],
          ),
          graph('Ingress: waiting; age of the oldest, s', ingress.queues.map(depthOf), ingress.queues.map(ageOf)),
        ],
        [
          graph(
            'Handlers: entries and errors; lag, ms',
            handlers.flatMap(({ name }) => [this.#ofHandler(name, 'entries', 'Sum'), this.#ofHandler(name, 'handlerErrors', 'Sum')]),
            handlers.map(({ name }) => this.#ofHandler(name, 'lagMs', 'Maximum')),
          ),
          graph('Dead letters', [ingress.deadLetters, ...handlers.map(({ deadLetters }) => deadLetters)].map(depthOf)),
        ],
        [
          graph(
            'Sidecars: CPU and memory, %',
            sidecars.services.map((service) => service.metricCpuUtilization()),
            sidecars.services.map((service) => service.metricMemoryUtilization()),
          ),
        ],
      ],
    })
  }

  #budget({ dollars, email }: NonNullable<AwsSettings['budget']>): void {
    const subscribers = [{ subscriptionType: 'EMAIL', address: email }]
    const notification = { comparisonOperator: 'GREATER_THAN', threshold: 100, thresholdType: 'PERCENTAGE' }
    new CfnBudget(this, 'Budget', {
      budget: { budgetType: 'COST', timeUnit: 'MONTHLY', budgetLimit: { amount: dollars, unit: 'USD' } },
      notificationsWithSubscribers: ['ACTUAL', 'FORECASTED'].map((notificationType) => ({
        notification: { ...notification, notificationType },
        subscribers,
      })),
    })
  }
}

function depthOf(queue: Queue): Metric {
  return queue.metricApproximateNumberOfMessagesVisible({ statistic: 'Maximum', period: FIVE_MINUTES })
}

function ageOf(queue: Queue): Metric {
  return queue.metricApproximateAgeOfOldestMessage({ statistic: 'Maximum', period: FIVE_MINUTES })
}
