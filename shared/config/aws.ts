/** The settings of a machine on AWS: `aws` in `overpool.config.ts`. Each has a default. */
export interface AwsSettings {
  /**
   * A domain of your own: an HTTP API with a certificate in front of the same function, whose URL goes on working. With `zone`, a Route 53 zone, the stack makes the
   * certificate and the record. Without it, name a `certificate` of this region, and point the domain to the output `DomainTarget`.
   */
  domain?: { name: string; zone?: { id: string; name: string }; certificate?: string }
  /** at the domain: payments a second, and the burst beyond that; further ones get 429. Default: the account's limits */
  throttle?: { rate: number; burst: number }
  /** payments handled at one moment at most, reserved from the account's concurrency; 0 closes the door. Default: the account's limit */
  reservedConcurrency?: number
  /**
   * followers of pools (`events`) at one moment, reserved from the account's concurrency; further ones get 429. Needed where a pool can be followed: each follower holds an execution
   * of its own
   */
  followers?: number
  /** number of sidecars, each with its share of the pools, default 1. It can grow at any time; before it shrinks the ingress queues must be empty */
  shards?: number
  /**
   * A sidecar's task: CPU units (1024 are one vCPU), default 256, and memory in MiB, default 512. With `spot` it runs on spare capacity, for 50 to 70 % less: AWS may stop it with
   * two minutes' notice, and payments wait in the queue until there is capacity again.
   */
  sidecar?: { cpu?: number; memory?: number; spot?: boolean }
  /** keep table, bucket, ingress queues and secret when the stack is deleted, default true; false is for trial stacks */
  retain?: boolean
  /**
   * An existing ledger, instead of a new one: names of the table and the bucket, complete ARNs of the seed, and of the secret of the payment keys if it has one. It may be left over from a stack (`retain`), restored, or moved here.
   * No other machine may run on it, or with its seed. Keep the setting: without it the stack makes a new, empty ledger.
   */
  ledger?: { table: string; bucket: string; seed: string; paySecret?: string }
  /** where alarms are mailed to. Default: they show in the console only */
  alarmEmail?: string
  /** an existing VPC: its public subnets, which must reach the internet without a NAT gateway. Default: a VPC of the machine's own */
  vpc?: { id: string; availabilityZones: string[]; publicSubnets: string[] }
  /** a mail when the account's monthly costs exceed, or will exceed, this many dollars */
  budget?: { dollars: number; email: string }
  /** X-Ray traces of the functions' calls and their requests, about $0.30 per million payments, default false */
  traces?: boolean
}

/** CPU units of a Fargate task, and the memory that goes with them, MiB: from, to, step. */
const FARGATE: Record<number, [from: number, to: number, step: number]> = {
  256: [512, 2_048, 512],
  512: [1_024, 4_096, 1_024],
  1024: [2_048, 8_192, 1_024],
  2048: [4_096, 16_384, 1_024],
  4096: [8_192, 30_720, 1_024],
}
const MAX_SHARDS = 64
const KNOWN = {
  aws: [
    'domain',
    'throttle',
    'reservedConcurrency',
    'followers',
    'shards',
    'sidecar',
    'retain',
    'ledger',
    'alarmEmail',
    'vpc',
    'budget',
    'traces',
  ] satisfies (keyof AwsSettings)[],
  domain: ['name', 'zone', 'certificate'],
  zone: ['id', 'name'],
  throttle: ['rate', 'burst'],
  sidecar: ['cpu', 'memory', 'spot'],
  ledger: ['table', 'bucket', 'seed', 'paySecret'],
  vpc: ['id', 'availabilityZones', 'publicSubnets'],
  budget: ['dollars', 'email'],
}

/** Checks the settings; throws `wrong(…)` with the setting to change. */
export function checkAws(value: unknown, wrong: (what: string) => Error): asserts value is AwsSettings {
  const object = (part: unknown, where: string, known: string[]) => {
    if (typeof part !== 'object' || part === null || Array.isArray(part)) throw wrong(`${where} is an object`)
    for (const key of Object.keys(part))
      if (!known.includes(key)) throw wrong(`there is no setting \`${where}.${key}\`; there are ${known.join(', ')}`)
  }
  const whole = (number: unknown, where: string, least: number, most = Number.MAX_SAFE_INTEGER) => {
    if (Number.isSafeInteger(number) && (number as number) >= least && (number as number) <= most) return
    throw wrong(`${where} is a whole number ${most < Number.MAX_SAFE_INTEGER ? `from ${least} to ${most}` : `of at least ${least}`}`)
  }
  const matches = (text: unknown, pattern: RegExp, what: string) => {
    if (typeof text !== 'string' || !pattern.test(text)) throw wrong(what)
  }
  const flag = (value: unknown, where: string) => {
    if (value !== undefined && typeof value !== 'boolean') throw wrong(`${where} is true or false`)
  }

  object(value, 'aws', KNOWN.aws)
  const { domain, throttle, reservedConcurrency, followers, shards, sidecar, retain, ledger, alarmEmail, vpc, budget, traces } =
    value as AwsSettings
  if (domain !== undefined) {
    object(domain, 'aws.domain', KNOWN.domain)
    matches(domain.name, HOST, 'aws.domain.name is a domain of yours, such as pay.example.com')
    if (domain.zone !== undefined) {
      object(domain.zone, 'aws.domain.zone', KNOWN.zone)
      matches(domain.zone.id, /^Z[0-9A-Z]+$/, 'aws.domain.zone.id is the id of a Route 53 zone, such as Z0123456789ABC')
      matches(domain.zone.name, HOST, 'aws.domain.zone.name is the name of that zone, such as example.com')
      if (domain.name !== domain.zone.name && !domain.name.endsWith(`.${domain.zone.name}`))
        throw wrong(`aws.domain.name is "${domain.name}", which does not lie in aws.domain.zone.name, "${domain.zone.name}"`)
    }
    if (domain.certificate !== undefined)
      matches(domain.certificate, /^arn:aws[a-z-]*:acm:/, 'aws.domain.certificate is the ARN of a certificate, arn:aws:acm:…')
    if (domain.zone === undefined && domain.certificate === undefined)
      throw wrong('aws.domain needs `zone`, the Route 53 zone in which a certificate can be made, or `certificate`, the ARN of one')
  }
  if (throttle !== undefined) {
    object(throttle, 'aws.throttle', KNOWN.throttle)
    if (domain === undefined) throw wrong('aws.throttle works at a domain: set aws.domain, or use aws.reservedConcurrency')
    whole(throttle.rate, 'aws.throttle.rate', 1)
    whole(throttle.burst, 'aws.throttle.burst', 1)
  }
  if (reservedConcurrency !== undefined) whole(reservedConcurrency, 'aws.reservedConcurrency', 0)
  if (followers !== undefined) whole(followers, 'aws.followers', 1)
  if (shards !== undefined) whole(shards, 'aws.shards', 1, MAX_SHARDS)
  if (sidecar !== undefined) {
    object(sidecar, 'aws.sidecar', KNOWN.sidecar)
    const { cpu, memory, spot } = { ...SIDECAR, ...sidecar }
    flag(spot, 'aws.sidecar.spot')
    const range = FARGATE[cpu]
    if (!range) throw wrong(`aws.sidecar.cpu is one of ${Object.keys(FARGATE).join(', ')}`)
    const [from, to, step] = range
    if (!Number.isInteger(memory) || memory < from || memory > to || (memory !== from && memory % step !== 0))
      throw wrong(`aws.sidecar.memory is, with cpu ${cpu}, from ${from} to ${to} MiB in steps of ${step}`)
  }
  flag(retain, 'aws.retain')
  flag(traces, 'aws.traces')
  if (ledger !== undefined) {
    object(ledger, 'aws.ledger', KNOWN.ledger)
    matches(ledger.table, /^[A-Za-z0-9_.-]{3,255}$/, 'aws.ledger.table is the name of a DynamoDB table of this account and region')
    matches(ledger.bucket, /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'aws.ledger.bucket is the name of an S3 bucket')
    const isSecret = 'is the complete ARN of a secret, arn:aws:secretsmanager:…, with the six characters at its end'
    matches(ledger.seed, SECRET, `aws.ledger.seed ${isSecret}`)
    if (ledger.paySecret !== undefined) matches(ledger.paySecret, SECRET, `aws.ledger.paySecret ${isSecret}`)
  }
  if (alarmEmail !== undefined) matches(alarmEmail, EMAIL, 'aws.alarmEmail is an address that takes mail')
  if (vpc !== undefined) {
    object(vpc, 'aws.vpc', KNOWN.vpc)
    matches(vpc.id, /^vpc-[0-9a-f]+$/, 'aws.vpc.id is the id of a VPC, such as vpc-0123abcd')
    for (const list of ['availabilityZones', 'publicSubnets'] as const) {
      const names = vpc[list]
      if (!Array.isArray(names) || !names.length || !names.every((name) => typeof name === 'string'))
        throw wrong(`aws.vpc.${list} lists one for each of its public subnets, in the same order`)
    }
    if (vpc.availabilityZones.length !== vpc.publicSubnets.length)
      throw wrong('aws.vpc.availabilityZones and aws.vpc.publicSubnets are of one length: the zone of each subnet')
  }
  if (budget !== undefined) {
    object(budget, 'aws.budget', KNOWN.budget)
    whole(budget.dollars, 'aws.budget.dollars', 1)
    matches(budget.email, EMAIL, 'aws.budget.email is an address that takes mail')
  }
}

/** The smallest Fargate task. */
export const SIDECAR = { cpu: 256, memory: 512, spot: false }

/** The complete ARN of a secret. */
export const SECRET = /^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+-[A-Za-z0-9]{6}$/
const HOST = /^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/
const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/
