/** How far a handler has come in a pool. */
export interface Cursor {
  /** the last entry it has finished, -1 for none */
  seq: number
  /** the block to look for the next entry in: the block of `seq`, or the one after it if `seq` was its last entry; 0 at the start */
  block: number
  /** failed attempts at the next entry */
  attempts: number
  /** attempts at the next entry that have begun, and whose end is not known: the process died in them, or is in the last; undefined: they were not counted */
  begun?: number
  /** the pool stops here (`onPoison: 'stop'`): why */
  stopped?: string
  /** when the operator asked for a redrive, ms since 1970: dead letters last tried before that are retried. `writeCursor` does not write it */
  redrive?: number
  /** the same for the dead letters that have `asked`, and for no others */
  redriveSome?: number
  /** an operator has paused the handler in this pool: the reason, and when, ms since 1970. It is not called until it is unpaused. `writeCursor` writes neither */
  paused?: string
  pausedAt?: number
}

/** An entry that a handler gave up on. */
export interface DeadLetter {
  seq: number
  block: number
  error: string
  attempts: number
  /** when it was last tried, ms since 1970 */
  at: number
  /** when a redrive of this one was asked for, ms since 1970: it is due if it was not tried since */
  asked?: number
}

export const NO_CURSOR: Cursor = { seq: -1, block: 0, attempts: 0 }

/** How far handlers have come, and what they gave up. */
export interface Progress {
  readCursor(handler: string, pool: string): Promise<Cursor>
  /** Moves the cursor forward, or changes the attempts at its place. A cursor behind the stored one is ignored. `redrive`, `redriveSome` and `paused` stay. */
  writeCursor(handler: string, pool: string, cursor: Cursor): Promise<void>
  /** Asks, at time `at`, to retry the dead letters; the latest request counts. With `seqs`: only those of these entries. */
  askRedrive(handler: string, pool: string, at: number, seqs?: readonly number[]): Promise<void>
  /** The requests of these times have been carried out; later ones stay. */
  endRedrive(handler: string, pool: string, done: Pick<Cursor, 'redrive' | 'redriveSome'>): Promise<void>
  /** Pauses a handler in a pool, which may not have worked on it yet; a second pause replaces the reason. Undefined: it goes on. */
  setPaused(handler: string, pool: string, paused: { reason: string; at: number } | undefined): Promise<void>
  /** Names of the handlers that have a cursor in this pool. */
  listHandlers(pool: string): Promise<string[]>

  putDead(handler: string, pool: string, letter: DeadLetter): Promise<void>
  listDead(handler: string, pool: string): Promise<DeadLetter[]>
  deleteDead(handler: string, pool: string, seq: number): Promise<void>
}
