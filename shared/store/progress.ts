import type { StateCommit, StateMark } from './state.ts'

/** How far a handler has come in a pool, and its state there (`Progress.commit`); `writeCursor` does not write the latter. */
export interface Cursor extends StateMark {
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

/** A move of a cursor. */
export interface Move {
  /** its `seq` as it is stored */
  from: number
  to: Cursor
  /** entries that are handled by now: their dead letters are deleted, if they have any */
  handled?: number[]
  /** the entry that is given up with this move: it becomes a dead letter */
  givenUp?: DeadLetter
}

/** How far handlers have come, and what they gave up. */
export interface Progress {
  readCursor(handler: string, pool: string): Promise<Cursor>
  /** Moves the cursor forward, or changes the attempts at its place. A cursor behind the stored one is ignored. `redrive`, `redriveSome` and `paused` stay. */
  writeCursor(handler: string, pool: string, cursor: Cursor): Promise<void>
  /**
   * Moves the cursor and changes the handler's state, both or neither. If `of` is a number, the dead letter of that entry is deleted instead; if it is undefined, only the state
   * changes.
   * @returns false, and changes nothing, if the state has another version by now, or the cursor stands elsewhere: another run was faster, or an operator has changed something
   */
  commit(handler: string, pool: string, of: Move | number | undefined, state: StateCommit): Promise<boolean>
  /** Asks, at time `at`, to retry the dead letters; the latest request counts. With `seqs`: only those of these entries. */
  askRedrive(handler: string, pool: string, at: number, seqs?: readonly number[]): Promise<void>
  /** The requests of these times have been carried out; later ones stay. */
  endRedrive(handler: string, pool: string, done: Pick<Cursor, 'redrive' | 'redriveSome'>): Promise<void>
  /** Pauses a handler in a pool, which may not have worked on it yet; a second pause replaces the reason. Undefined: it goes on. */
  setPaused(handler: string, pool: string, paused: { reason: string; at: number } | undefined): Promise<void>
  /** Names of the handlers that have a cursor in this pool. */
  listHandlers(pool: string): Promise<string[]>

  putDead(handler: string, pool: string, letter: DeadLetter): Promise<void>
  /** Changes a dead letter that is still there. */
  updateDead(handler: string, pool: string, letter: DeadLetter): Promise<void>
  listDead(handler: string, pool: string): Promise<DeadLetter[]>
  deleteDead(handler: string, pool: string, seq: number): Promise<void>
}
