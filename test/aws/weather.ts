import { random } from '../random.ts'
import type { AwsRequest, Fault } from './proxy.ts'

const FAULTS: Fault[] = ['throttled', 'failed', 'refused', 'lost', 'partial']

/** A day when a quarter of all requests fails in some way, but for those that create queues, tables and buckets. */
export function badDay({ operation }: AwsRequest): Fault | undefined {
  if (operation.startsWith('Create') || random() > 0.25) return undefined
  return FAULTS[Math.floor(random() * FAULTS.length)]
}

/** The faults of the worst day. Each row hits a tenth of all requests, so two of three fail. */
const WORST: Fault[][] = [
  ['late'],
  ['failed'],
  ['unavailable'],
  ['throttled'],
  ['refused', 'lost'], // the connection breaks
  ['unheard', 'unanswered'], // the client times out
  ['partial'],
]

export function worstDay({ operation }: AwsRequest): Fault | undefined {
  const faults = WORST[Math.floor(random() * 10)]
  if (!faults || operation.startsWith('Create')) return undefined
  return faults[Math.floor(random() * faults.length)]
}

/** A bad day without those lost answers that leave an allowed trace: a message twice, or only after its visibility timeout. */
export function tracelessBadDay(request: AwsRequest): Fault | undefined {
  const fault = badDay(request)
  return fault === 'lost' && leavesATrace(request) ? 'failed' : fault
}

function leavesATrace({ operation, input }: AwsRequest): boolean {
  return operation === 'ReceiveMessage' || (operation === 'SendMessageBatch' && !input.QueueUrl.endsWith('.fifo'))
}
