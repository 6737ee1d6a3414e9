/** How far a handler has come in a pool. */
export interface Cursor {
  /** the last entry it has finished, -1 for none */
  seq: number
  /** the block where the next entry is looked for: the one that holds `seq`, or the next when that was its last; 0 for none */
  block: number
  /** failed attempts at the next entry */
  attempts: number
  /** the pool stops here (`onPoison: 'stop'`): why */
  stopped?: string
  /** when the operator asked to have the dead letters tried again, ms since 1970: those that were last tried before; not written by `writeCursor` */
  redrive?: number
}

/** An entry that a handler gave up on. */
export interface DeadLetter {
  seq: number
  block: number
  error: string
  attempts: number
  /** when it was last tried, ms since 1970 */
  at: number
}

export const NO_CURSOR: Cursor = { seq: -1, block: 0, attempts: 0 }

/** How far handlers have come, and what they gave up. */
export interface Progress {
  readCursor(handler: string, pool: string): Promise<Cursor>
  /** Moves the cursor forward, or changes the attempts where it stands; one that is behind what is stored is ignored. Leaves `redrive` alone. */
  writeCursor(handler: string, pool: string, cursor: Cursor): Promise<void>
  /** Asks at `at` to have the dead letters tried again; the latest asking stands. */
  askRedrive(handler: string, pool: string, at: number): Promise<void>
  /** All that was asked for at `at` has been tried; a later asking stands. */
  endRedrive(handler: string, pool: string, at: number): Promise<void>
  /** Names of the handlers that have a cursor in this pool. */
  listHandlers(pool: string): Promise<string[]>

  putDead(handler: string, pool: string, letter: DeadLetter): Promise<void>
  listDead(handler: string, pool: string): Promise<DeadLetter[]>
  deleteDead(handler: string, pool: string, seq: number): Promise<void>
}
