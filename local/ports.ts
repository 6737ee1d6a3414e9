import { type Clock, systemClock } from '../shared/clock.ts'
import { MAX_TIMEOUT_MS } from '../shared/config/config.ts'
import type { Queue } from '../shared/queue/port.ts'
import { SqliteQueue } from '../shared/queue/sqlite.ts'
import type { Stores } from '../shared/store/port.ts'
import { SqliteFile } from '../shared/store/sqlite/file.ts'
import { sqliteStores } from '../shared/store/sqlite/index.ts'
import { folderLayout } from './folder.ts'

/** A post that is in nobody's hands any more comes again after this time, ms. Within a machine's life only a failure brings it there. */
const INGRESS_VISIBILITY_MS = 60_000
/** A bell's answer begins no entry after this time, ms; then it stays hidden for as long as the last one may take, and a while, so that two never run side by side (Promise 4). */
export const BELL_MS = 10 * 60_000
export const BELL_VISIBILITY_MS = BELL_MS + MAX_TIMEOUT_MS + 60_000

/** What a machine stands on: the two ports and the time. The machine does not know which side they are. */
export interface Ports {
  stores: Stores
  ingress: Queue
  /** the queue of a handler, FIFO; only one machine works at a time, so what an earlier one held is free */
  bells: (handler: string) => Promise<Queue>
  /** a bell carries its block inside up to this many bytes: what saves a request on AWS is only a copy here */
  carryBytes: number
  /** posts made in this process go to the writer without the queue: where a block costs so little that many small ones do no harm */
  direct?: boolean
  clock: Clock
  close: () => Promise<void>
}

/** The mirror and the queues in one SQLite file. */
export interface LedgerFile {
  stores: Stores
  ingress: SqliteQueue
  queue: (handler: string) => SqliteQueue
  /** resolves when something was written, by whomever, after `ms`, or when the signal is aborted */
  changed: (ms: number, signal?: AbortSignal) => Promise<void>
  close: () => void
}

/** Opens the ledger's file, beside a running machine or without one. */
export function openLedgerFile(dir: string): LedgerFile {
  const store = new SqliteFile(folderLayout(dir).ledger)
  return {
    stores: sqliteStores(store),
    ingress: new SqliteQueue(store, 'ingress', { visibilityMs: INGRESS_VISIBILITY_MS }),
    queue: (handler) => new SqliteQueue(store, `tx ${handler}`, { fifo: true, visibilityMs: BELL_VISIBILITY_MS }),
    changed: (ms, signal) => store.changed('commit', ms, signal),
    close: () => store.close(),
  }
}

/** The parts of an embedded machine, whose folder is locked: what an earlier one was given out comes again at once. */
export async function sqlitePorts(dir: string): Promise<Ports> {
  const { stores, ingress, queue, close } = openLedgerFile(dir)
  await ingress.reclaim()
  return {
    stores,
    ingress,
    async bells(handler) {
      const bells = queue(handler)
      await bells.reclaim()
      return bells
    },
    carryBytes: 0,
    direct: true,
    clock: systemClock,
    close: async () => close(),
  }
}
