import type { AwsCall } from './proxy.ts'

/** List prices in us-east-1, $ a million units, as they are since November 2024, when DynamoDB on demand became cheaper. */
const PRICES = {
  /** an SQS request of up to 64 KiB to a standard queue, to a FIFO queue */
  'SQS request': 0.4,
  'SQS FIFO request': 0.5,
  /** DynamoDB on demand: a write of up to 1 KB, a consistent read of up to 4 KB */
  'write unit': 0.625,
  'read unit': 0.125,
  'S3 PUT': 5,
  'S3 GET': 0.4,
} as const

type Unit = keyof typeof PRICES

/** SQS bills a request for each 64 KiB of what it carries. */
const SQS_CHUNK = 64 * 1024

/** What was asked for, how often, and how much of it is billed. */
interface Line {
  what: string
  unit: Unit
  requests: number
  units: number
  /** items or messages */
  things: number
}

/** What AWS would bill for the requests that it hears of. */
export class Bill {
  readonly #lines = new Map<string, Line>()

  add(call: AwsCall): void {
    const { service, operation } = call
    const what = `${operation} ${placeOf(call)}`
    const line = this.#lines.get(what) ?? { what, unit: unitOf(call), requests: 0, units: 0, things: 0 }
    line.requests++
    line.units += service === 'dynamodb' ? capacityOf(call) : service === 'sqs' ? Math.max(1, Math.ceil(bytesOf(call) / SQS_CHUNK)) : 1
    line.things += thingsOf(call)
    this.#lines.set(what, line)
  }

  /** What is billed under this name, such as `PutItem block`; nothing, if nothing is. */
  line(what: string): Pick<Line, 'requests' | 'units' | 'things'> {
    return this.#lines.get(what) ?? { requests: 0, units: 0, things: 0 }
  }

  names(): string[] {
    return [...this.#lines.keys()].sort()
  }

  /** $ for a million payments, where this is the bill for so many. */
  perMillion(payments: number): number {
    return [...this.#lines.values()].reduce((sum, line) => sum + costOf(line, payments), 0)
  }

  /** A table in Markdown: per 1,000 payments, and $ for a million. */
  table(payments: number): string {
    const per1000 = (count: number) => ((count / payments) * 1_000).toFixed(0)
    const rows = [...this.#lines.values()]
      .sort((a, b) => costOf(b, payments) - costOf(a, payments))
      .map((line) => [line.what, per1000(line.requests), `${per1000(line.units)} ${line.unit}s`, costOf(line, payments).toFixed(3)])
    const head = ['request', 'per 1,000 payments', 'billed as', '$ per million']
    const sum = ['**sum**', '', '', `**${this.perMillion(payments).toFixed(2)}**`]
    return [head, head.map((_, i) => (i ? '---:' : '---')), ...rows, sum].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
  }
}

function costOf({ unit, units }: Line, payments: number): number {
  return (units / payments) * PRICES[unit]
}

/** Of what an item is, or of which queue a message. */
function placeOf({ service, input, path }: AwsCall): string {
  if (service === 'sqs') return String(input.QueueUrl).split('/').at(-1)!
  if (service === 's3') return path.split('/')[2]!
  const [first] = batchOf(input)
  const key = first?.PutRequest?.Item ?? first ?? input.Item ?? input.Key
  const pk: string = key?.pk.S ?? input.ExpressionAttributeValues[':pk'].S
  return pk.split('#')[0]!.replace('pool', 'block')
}

function unitOf({ service, operation, input }: AwsCall): Unit {
  if (service === 'sqs') return String(input.QueueUrl).endsWith('.fifo') ? 'SQS FIFO request' : 'SQS request'
  if (service === 's3') return operation === 'GET' ? 'S3 GET' : 'S3 PUT'
  return ['GetItem', 'BatchGetItem', 'Query'].includes(operation) ? 'read unit' : 'write unit'
}

/** As DynamoDB reports it; a write whose condition did not hold is billed as well. */
function capacityOf({ output }: AwsCall): number {
  const consumed = [output.ConsumedCapacity ?? { CapacityUnits: 1 }].flat()
  return consumed.reduce((sum: number, { CapacityUnits }: { CapacityUnits: number }) => sum + CapacityUnits, 0)
}

function bytesOf({ input, output }: AwsCall): number {
  const bodies: string[] = [
    ...(input.Entries ?? []).map(({ MessageBody = '' }) => MessageBody),
    ...(output.Messages ?? []).map(({ Body = '' }) => Body),
  ]
  return bodies.reduce((sum, body) => sum + body.length, 0)
}

function thingsOf({ input, output }: AwsCall): number {
  return input?.Entries?.length ?? output?.Messages?.length ?? (input?.RequestItems ? batchOf(input).length : 1)
}

/** What a DynamoDB batch asks for: items to put, or keys. */
function batchOf({ RequestItems = {} }: AwsCall['input']): AwsCall['input'][] {
  const [asked] = Object.values<AwsCall['input']>(RequestItems)
  return asked?.Keys ?? asked ?? []
}
