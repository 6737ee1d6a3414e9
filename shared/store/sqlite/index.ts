import { type Clock, systemClock } from '../../clock.ts'
import type { Stores } from '../port.ts'
import { SqliteAncestors } from './ancestors.ts'
import { SqliteBlocks } from './blocks.ts'
import { SqliteControl } from './control.ts'
import type { SqliteFile } from './file.ts'
import { SqliteInvoices } from './invoices.ts'
import { SqliteLeases } from './leases.ts'
import { SqliteProgress } from './progress.ts'
import { SqliteReceipts } from './receipts.ts'
import { SqliteState } from './state.ts'
import { SqliteStatuses } from './statuses.ts'

/** The stores in the machine's SQLite file. The caller closes the file. */
export function sqliteStores(file: SqliteFile, clock: Clock = systemClock): Stores {
  const control = new SqliteControl(file)
  const state = new SqliteState(file)
  const blocks = new SqliteBlocks(file, control)
  return {
    blocks,
    control,
    receipts: new SqliteReceipts(file, blocks),
    statuses: new SqliteStatuses(file),
    progress: new SqliteProgress(file, state),
    state,
    leases: new SqliteLeases(file, clock),
    invoices: new SqliteInvoices(file),
    ancestors: new SqliteAncestors(file),
  }
}
