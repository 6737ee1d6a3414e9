import { random } from '../random.ts'
import type { AwsRequest, Fault } from './proxy.ts'

const FAULTS: Fault[] = ['throttled', 'failed', 'refused', 'lost', 'partial']

/** A day when a quarter of all requests goes wrong in some way; but for those that make what is needed. */
export function badDay({ operation }: AwsRequest): Fault | undefined {
  if (operation.startsWith('Create') || random() > 0.25) return undefined
  return FAULTS[Math.floor(random() * FAULTS.length)]
}

/** A bad day without lost answers that leave a trace, though one that is allowed: a message twice, or only after its visibility. */
export function tracelessBadDay(request: AwsRequest): Fault | undefined {
  const fault = badDay(request)
  return fault === 'lost' && leavesATrace(request) ? 'failed' : fault
}

function leavesATrace({ operation, input }: AwsRequest): boolean {
  return operation === 'ReceiveMessage' || (operation === 'SendMessageBatch' && !input.QueueUrl.endsWith('.fifo'))
}
