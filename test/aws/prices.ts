// The list prices of AWS in us-east-1. This is their only place: the bench, the tests and the figures in the docs use these.

/** The date of the prices. */
export const PRICED = 'March 2026'

/** $ for a million units */
export const PER_MILLION = {
  /** a request of up to 64 KiB, to a standard queue and to a FIFO queue */
  'SQS request': 0.4,
  'SQS FIFO request': 0.5,
  /** DynamoDB on demand: a write of up to 1 KB, a consistent read of up to 4 KB */
  'write unit': 0.625,
  'read unit': 0.125,
  'S3 PUT': 5,
  'S3 GET': 0.4,
  'Lambda request': 0.2,
  /** Lambda on ARM */
  'Lambda GB-second': 13.3334,
  /** logs written to CloudWatch */
  'KB of logs': 0.5,
  /** data sent from AWS to the internet */
  'KB sent out': 0.09,
} as const

export type Unit = keyof typeof PER_MILLION

const HOURS = 730

/** $ for each unit in a month of 730 hours */
export const PER_MONTH = {
  'vCPU of Fargate on ARM': 0.03238 * HOURS,
  'GB of Fargate on ARM': 0.00356 * HOURS,
  'public IPv4 address': 0.005 * HOURS,
  secret: 0.4,
  'alarm metric': 0.1,
  'custom metric': 0.3,
  dashboard: 3,
} as const

export type Standing = keyof typeof PER_MONTH

/** The units that are free each month without an end, in an account that uses them for nothing else. */
export const FREE_EACH_MONTH: Partial<Record<Unit | Standing, number>> = {
  'SQS request': 1_000_000, // standard and FIFO queues together
  'Lambda request': 1_000_000,
  'Lambda GB-second': 400_000,
  'KB of logs': 5_000_000,
  'KB sent out': 100_000_000,
  'alarm metric': 10,
  'custom metric': 10,
  dashboard: 3,
}

/** Minutes in a month of 730 hours. */
export const MINUTES = HOURS * 60
