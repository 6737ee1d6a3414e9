import type { Blocks } from './blocks.ts'
import type { Control } from './control.ts'
import type { Leases } from './leases.ts'
import type { Progress } from './progress.ts'
import type { Receipts } from './receipts.ts'

/**
 * Everything that a machine stores, a port for each concern; who needs one concern is given that one. Two implementations, on DynamoDB and on SQLite, pass one
 * contract test. Every read is consistent: what was written before it began is seen. A failure that waiting may mend is UNAVAILABLE and retryable.
 */
export interface Stores {
  blocks: Blocks
  receipts: Receipts
  control: Control
  progress: Progress
  leases: Leases
}
