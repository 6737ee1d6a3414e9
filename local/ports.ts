import { type Clock, idleClock, systemClock } from '../shared/clock.ts'
import { MAX_TIMEOUT_MS } from '../shared/config/config.ts'
import type { Queue } from '../shared/queue/port.ts'
import { SqliteQueue } from '../shared/queue/sqlite.ts'
import type { Stores } from '../shared/store/port.ts'
import type { Runs } from '../shared/store/runs.ts'
import { SqliteFile } from '../shared/store/sqlite/file.ts'
import { sqliteStores } from '../shared/store/sqlite/index.ts'
import { SqliteRuns } from '../shared/store/sqlite/runs.ts'
import { folderLayout, makePrivateFile } from './folder.ts'

/** A received post that is not deleted comes again after this time, ms. While the machine runs, that happens only after a failure. */
const INGRESS_VISIBILITY_MS = 60_000
/** The answer to a bell begins no entry after this time, ms. The visibility time adds the longest time-out and a margin, so that two answers never run side by side (Promise 4). */
export const BELL_MS = 10 * 60_000
export const BELL_VISIBILITY_MS = BELL_MS + MAX_TIMEOUT_MS + 60_000

/** The ports of a machine, and its clock. The machine does not know which implementation they have. */
export interface Ports {
  stores: Stores
  ingress: Queue
  /** Opens the FIFO queue of a handler. A folder is locked by its process, so messages in flight were left by an earlier one, and become visible at once. */
  bells: (handler: string) => Promise<Queue>
  /** a bell carries a block of up to this many bytes; 0 over SQLite, where it would save no request */
  carryBytes: number
  /** where the runs of handlers are recorded, if they are */
  runs?: Runs
  /** posts of this process go to the writer without the queue: for stores where many small blocks are cheap */
  direct?: boolean
  clock: Clock
  /** resolves when something was written, by whomever, after `ms`, or when the signal is aborted; without it one waits for `ms` */
  changed?: (ms: number, signal?: AbortSignal) => Promise<void>
  close: () => Promise<void>
}

/** The mirror and the queues in one SQLite file. */
export interface LedgerFile {
  stores: Stores
  ingress: SqliteQueue
  queue: (handler: string) => SqliteQueue
  runs: Runs
  /** resolves when something was written, by whomever, after `ms`, or when the signal is aborted */
  changed: (ms: number, signal?: AbortSignal) => Promise<void>
  close: () => void
}

/** Opens the ledger's file, whether a machine runs or not. @param keepsAlive whether a pending `changed` keeps the Node process alive */
export function openLedgerFile(dir: string, keepsAlive = true): LedgerFile {
  const { ledger } = folderLayout(dir)
  makePrivateFile(ledger)
  const store = new SqliteFile(ledger)
  store.keepsAlive = keepsAlive
  return {
    stores: sqliteStores(store),
    ingress: new SqliteQueue(store, 'ingress', { visibilityMs: INGRESS_VISIBILITY_MS }),
    queue: (handler) => new SqliteQueue(store, `tx ${handler}`, { fifo: true, visibilityMs: BELL_VISIBILITY_MS }),
    runs: new SqliteRuns(store),
    changed: (ms, signal) => store.changed('commit', ms, signal),
    close: () => store.close(),
  }
}

/** The ports of an embedded machine, whose folder is locked: messages in flight of an earlier one are due at once. */
export function sqlitePorts(dir: string): Promise<Ports> {
  return portsOf(openLedgerFile(dir), systemClock)
}

/** The same, for a program that has more to do than to run the machine: Node does not wait for the machine's loops. */
export function idlePorts(dir: string): Promise<Ports> {
  return portsOf(openLedgerFile(dir, false), idleClock)
}

async function portsOf({ stores, ingress, queue, runs, changed, close }: LedgerFile, clock: Clock): Promise<Ports> {
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
    runs,
    direct: true,
    clock,
    changed,
    close: async () => close(),
  }
}
