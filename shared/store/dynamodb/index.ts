import type { Blobs } from '../../blobs/port.ts'
import { type Clock, systemClock } from '../../clock.ts'
import type { Stores } from '../port.ts'
import { DynamoBlocks } from './blocks.ts'
import { DynamoControl } from './control.ts'
import { DynamoLeases } from './leases.ts'
import { DynamoProgress } from './progress.ts'
import { DynamoReceipts } from './receipts.ts'
import { Table, type TableOptions } from './table.ts'

export interface DynamoOptions extends TableOptions {
  /** for large blocks */
  blobs: Blobs
  clock?: Clock
}

/** The stores in one DynamoDB table (docs/design.md, Formats). The caller closes the client. */
export function dynamoStores({ blobs, clock = systemClock, ...options }: DynamoOptions): Stores {
  const table = new Table(options)
  const progress = new DynamoProgress(table)
  const control = new DynamoControl(table, progress)
  return {
    blocks: new DynamoBlocks(table, blobs, control),
    receipts: new DynamoReceipts(table),
    control,
    progress,
    leases: new DynamoLeases(table, clock),
  }
}
