import { PER_MILLION, type Unit } from './prices.ts'
import type { AwsCall } from './proxy.ts'

/** SQS bills one request for each 64 KiB of messages. */
const SQS_CHUNK = 64 * 1024

/** A kind of request, with its number and its billed units. */
interface Line {
  what: string
  unit: Unit
  requests: number
  units: number
  /** items or messages */
  things: number
  /** of requests and answers, without HTTP headers */
  bytes: number
}

/** Adds up what AWS would bill for requests and for other charges. */
export class Bill {
  readonly #lines = new Map<string, Line>()

  add(call: AwsCall): void {
    const { service, operation } = call
    const what = `${operation} ${placeOf(call)}`
    const line = this.#line(what, unitOf(call))
    line.requests++
    line.bytes += call.bytes
    line.units += service === 'dynamodb' ? capacityOf(call) : service === 'sqs' ? Math.max(1, Math.ceil(bytesOf(call) / SQS_CHUNK)) : 1
    line.things += thingsOf(call)
  }

  /** Adds a charge that is not a request to DynamoDB, SQS or S3. */
  charge(what: string, unit: Unit, units: number): void {
    this.#line(what, unit).units += units
  }

  #line(what: string, unit: Unit): Line {
    const line = this.#lines.get(what) ?? { what, unit, requests: 0, units: 0, things: 0, bytes: 0 }
    this.#lines.set(what, line)
    return line
  }

  /** The line of this name, such as `PutItem block`; zeros if there is none. */
  line(what: string): Pick<Line, 'requests' | 'units' | 'things'> {
    return this.#lines.get(what) ?? { requests: 0, units: 0, things: 0 }
  }

  names(): string[] {
    return [...this.#lines.keys()].sort()
  }

  /** $ for a million payments, from the bill of `payments` payments. */
  perMillion(payments: number): number {
    return this.lines.reduce((sum, line) => sum + costOf(line, payments), 0)
  }

  /** All lines, the dearest first. */
  get lines(): Readonly<Line>[] {
    return [...this.#lines.values()].sort((a, b) => costOf(b, 1) - costOf(a, 1))
  }

  /** The number of requests to DynamoDB, SQS and S3, and their bytes. */
  get asked(): { requests: number; bytes: number } {
    const sum = (of: 'requests' | 'bytes') => this.lines.reduce((total, line) => total + line[of], 0)
    return { requests: sum('requests'), bytes: sum('bytes') }
  }

  /** Moves the lines that fit to a bill of their own. */
  split(fits: (what: string) => boolean): Bill {
    const other = new Bill()
    for (const [what, line] of this.#lines) {
      if (!fits(what)) continue
      this.#lines.delete(what)
      other.#lines.set(what, line)
    }
    return other
  }

  /** A Markdown table of units per 1,000 payments and $ per million. */
  table(payments: number): string {
    const per1000 = (count: number) => ((count / payments) * 1_000).toFixed(0)
    const named = (unit: Unit) => (unit.startsWith('KB') ? unit : `${unit}s`)
    const rows = this.lines.map((line) => [
      line.what,
      line.requests ? per1000(line.requests) : '',
      `${per1000(line.units)} ${named(line.unit)}`,
      costOf(line, payments).toFixed(3),
    ])
    const head = ['request', 'per 1,000 payments', 'billed as', '$ per million']
    const sum = ['**sum**', '', '', `**${this.perMillion(payments).toFixed(2)}**`]
    return [head, head.map((_, i) => (i ? '---:' : '---')), ...rows, sum].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
  }
}

/** $ for a million payments, from the units of `payments` payments. */
export function costOf({ unit, units }: Pick<Line, 'unit' | 'units'>, payments: number): number {
  return (units / payments) * PER_MILLION[unit]
}

/** The kind of the item, or the queue of the message. */
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

/** The capacity that DynamoDB reports. A write whose condition does not hold is billed as well. */
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

/** The parts of a DynamoDB batch: items to put, or keys to read. */
function batchOf({ RequestItems = {} }: AwsCall['input']): AwsCall['input'][] {
  const [asked] = Object.values<AwsCall['input']>(RequestItems)
  return asked?.Keys ?? asked ?? []
}
