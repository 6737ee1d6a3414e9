import { Duration, RemovalPolicy } from 'aws-cdk-lib'
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import {
  ApplicationLogLevel,
  Architecture,
  Code,
  Function as Lambda,
  LoggingFormat,
  Runtime,
  SystemLogLevel,
  Tracing,
} from 'aws-cdk-lib/aws-lambda'
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs'
import type { Construct } from 'constructs'
import { acknowledge } from './acknowledge.ts'
import type { Bundle } from './bundle.ts'

/** How long all logs are kept. */
export const LOGS_KEPT = RetentionDays.ONE_MONTH

export interface FunctionProps {
  bundle: Bundle
  environment: Record<string, string>
  memorySize: number
  timeoutS: number
  description: string
  traces: boolean
  reservedConcurrency?: number
}

/** A Lambda function of this machine: Node 24 on ARM, its logs kept for a month. */
export function lambdaOf(
  scope: Construct,
  { bundle, environment, timeoutS, traces, reservedConcurrency, ...props }: FunctionProps,
): { lambda: Lambda; logs: LogGroup } {
  const logs = new LogGroup(scope, 'Logs', { retention: LOGS_KEPT, removalPolicy: RemovalPolicy.DESTROY })
  // Instead of the managed policy, which grants writing to every log of the account.
  const role = new Role(scope, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') })
  logs.grantWrite(role)
  const lambda = new Lambda(scope, 'Function', {
    ...props,
    environment: { ...environment, ...(traces && { TRACES: 'true' }) },
    code: Code.fromAsset(bundle.dir),
    handler: 'index.handler',
    runtime: Runtime.NODEJS_24_X,
    architecture: Architecture.ARM_64,
    timeout: Duration.seconds(timeoutS),
    tracing: traces ? Tracing.ACTIVE : Tracing.DISABLED,
    reservedConcurrentExecutions: reservedConcurrency,
    logGroup: logs,
    role,
    // Lambda's own three lines for each call would cost as much as the call.
    loggingFormat: LoggingFormat.JSON,
    systemLogLevelV2: SystemLogLevel.WARN,
    applicationLogLevelV2: ApplicationLogLevel.INFO,
  })
  if (traces) acknowledge(role, { 'AwsSolutions-IAM5[Resource::*]': 'X-Ray takes traces, and knows no resources.' })
  return { lambda, logs }
}
