import type { Blobs } from '../../blobs/port.ts'
import { type Clock, systemClock } from '../../clock.ts'
import type { Ancestors } from '../ancestors.ts'
import type { Stores } from '../port.ts'
import { DynamoBlocks } from './blocks.ts'
import { DynamoControl } from './control.ts'
import { DynamoInvoices } from './invoices.ts'
import { DynamoLeases } from './leases.ts'
import { DynamoProgress } from './progress.ts'
import { DynamoReceipts } from './receipts.ts'
import { DynamoState } from './state.ts'
import { DynamoStatuses } from './statuses.ts'
import { Table, type TableOptions } from './table.ts'

export interface DynamoOptions extends TableOptions {
  /** for large blocks */
  blobs: Blobs
  /** in S3, too */
  ancestors: Ancestors
  clock?: Clock
}

/** The stores in one DynamoDB table (docs/design.md, Formats). The caller closes the client. */
export function dynamoStores({ blobs, ancestors, clock = systemClock, ...options }: DynamoOptions): Stores {
  const table = new Table(options)
  const state = new DynamoState(table)
  const progress = new DynamoProgress(table, state)
  const statuses = new DynamoStatuses(table)
  const control = new DynamoControl(table, progress, statuses)
  return {
    blocks: new DynamoBlocks(table, blobs, control),
    receipts: new DynamoReceipts(table),
    statuses,
    control,
    progress,
    state,
    leases: new DynamoLeases(table, clock),
    invoices: new DynamoInvoices(table),
    ancestors,
  }
}
