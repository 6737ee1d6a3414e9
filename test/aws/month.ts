import { FREE_EACH_MONTH, PER_MONTH, type Standing } from './prices.ts'

/** Resources of a template, by their ids. */
export type Resources = Record<string, { Type: string; Properties?: Properties }>

// biome-ignore lint/suspicious/noExplicitAny: properties of any resource
type Properties = any

/** A resource that is billed by the month, used or not. */
export interface Charge {
  what: string
  unit: Standing
  count: number
}

/** The resources of a template that AWS bills by the month. Logs, requests and stored data are billed by their size instead. */
export function standingOf(resources: Resources): Charge[] {
  const of = (type: string): Properties[] => Object.values(resources).flatMap(({ Type, Properties }) => (Type === type ? [Properties] : []))
  const services = of('AWS::ECS::Service')
  const sum = (list: Properties[], count: (properties: Properties) => number) => list.reduce((total, one) => total + count(one), 0)
  const taskOf = (service: Properties): Properties => resources[service.TaskDefinition.Ref]!.Properties
  return [
    {
      what: 'the sidecar: processor',
      unit: 'vCPU of Fargate on ARM',
      count: sum(services, (one) => (taskOf(one).Cpu / 1024) * one.DesiredCount),
    },
    {
      what: 'the sidecar: memory',
      unit: 'GB of Fargate on ARM',
      count: sum(services, (one) => (taskOf(one).Memory / 1024) * one.DesiredCount),
    },
    {
      what: 'the sidecar: address',
      unit: 'public IPv4 address',
      count: sum(services, (one) => (one.NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp === 'ENABLED' ? one.DesiredCount : 0)),
    },
    { what: 'the seed', unit: 'secret', count: of('AWS::SecretsManager::Secret').length },
    { what: 'alarms', unit: 'alarm metric', count: sum(of('AWS::CloudWatch::Alarm'), metricsOf) },
    { what: 'the sidecar’s sign of life', unit: 'custom metric', count: of('AWS::Logs::MetricFilter').filter(isSaidIdle).length },
    { what: 'the dashboard', unit: 'dashboard', count: of('AWS::CloudWatch::Dashboard').length },
  ]
}

/** The metrics of an alarm, by which it is billed; a formula over metrics is free. */
export function metricsOf({ Metrics }: Properties): number {
  return Metrics === undefined ? 1 : Metrics.filter(({ MetricStat }: Properties) => MetricStat !== undefined).length
}

/** Whether a metric gets data while nobody pays. A metric is billed for the hours in which it gets data: `alive` always, halts and conflicts hardly ever. */
function isSaidIdle({ FilterPattern }: Properties): boolean {
  return FilterPattern.includes('"alive"')
}

/** $ a month. */
export function monthly({ unit, count }: Charge): number {
  return count * PER_MONTH[unit]
}

/** $ a month, if the account uses its free amounts for nothing else. */
export function monthlyAfterFree({ unit, count }: Charge): number {
  return Math.max(0, count - (FREE_EACH_MONTH[unit] ?? 0)) * PER_MONTH[unit]
}
