import type { Ancestors } from './ancestors.ts'
import type { Blocks } from './blocks.ts'
import type { Control } from './control.ts'
import type { Invoices } from './invoices.ts'
import type { Leases } from './leases.ts'
import type { Progress } from './progress.ts'
import type { Receipts } from './receipts.ts'
import type { State } from './state.ts'
import type { Statuses } from './statuses.ts'

/**
 * Everything that a machine stores, a port for each concern; a part gets the ports that it needs. Two implementations, on DynamoDB and on SQLite, pass one contract test.
 * Reads are consistent: they see all earlier writes. A temporary failure is UNAVAILABLE and retryable.
 */
export interface Stores {
  blocks: Blocks
  receipts: Receipts
  statuses: Statuses
  control: Control
  progress: Progress
  state: State
  leases: Leases
  ancestors: Ancestors
  invoices: Invoices
}
