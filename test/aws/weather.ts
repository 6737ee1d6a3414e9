import { random } from '../random.ts'
import type { AwsRequest, Fault } from './proxy.ts'

const FAULTS: Fault[] = ['throttled', 'failed', 'refused', 'lost', 'partial']

/** A day when a quarter of all requests goes wrong in some way; but for those that make what is needed. */
export function badDay({ operation }: AwsRequest): Fault | undefined {
  if (operation.startsWith('Create') || random() > 0.25) return undefined
  return FAULTS[Math.floor(random() * FAULTS.length)]
}

/** A day when each of these befalls a tenth of all requests: two of three go wrong. */
const WORST: Fault[][] = [
  ['late'],
  ['failed'],
  ['unavailable'],
  ['throttled'],
  ['refused', 'lost'], // the connection is cut
  ['unheard', 'unanswered'], // the time is out
  ['partial'],
]

export function worstDay({ operation }: AwsRequest): Fault | undefined {
  const faults = WORST[Math.floor(random() * 10)]
  if (!faults || operation.startsWith('Create')) return undefined
  return faults[Math.floor(random() * faults.length)]
}

/** A bad day without lost answers that leave a trace, though one that is allowed: a message twice, or only after its visibility. */
export function tracelessBadDay(request: AwsRequest): Fault | undefined {
  const fault = badDay(request)
  return fault === 'lost' && leavesATrace(request) ? 'failed' : fault
}

function leavesATrace({ operation, input }: AwsRequest): boolean {
  return operation === 'ReceiveMessage' || (operation === 'SendMessageBatch' && !input.QueueUrl.endsWith('.fifo'))
}
