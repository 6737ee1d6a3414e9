import { OverpoolError } from '../errors.ts'
import type { ReorgEntry } from '../ledger/kinds.ts'
import type { StateChange } from '../store/state.ts'
import type { HandlerState, ListOptions, StateItem } from './handler-state.ts'
import { listedOver } from './listed.ts'
import type { StateEntry, StateRun } from './run.ts'
import { undoneBy } from './undo.ts'
import { checkKey, decodeValue, encodeValue } from './values.ts'

/** How many values `list` gives when no `limit` is given, and at most. */
const LISTED = 100
const MAX_LISTED = 1_000

/** The state as one call of a handler sees it. What the call changes counts when the entry is finished; a call that fails has changed nothing. */
export class StateAttempt implements HandlerState {
  readonly #run: StateRun
  readonly #entry: StateEntry
  readonly #changed = new Map<string, Uint8Array | undefined>()
  /** calls under way: the entry is finished when they are, even if the handler does not await them */
  readonly #underWay = new Set<Promise<unknown>>()
  #failure: { thrown: unknown } | undefined
  #undoes: string[] | undefined
  /** what an undo has set the keys to */
  readonly #undone = new Map<string, Uint8Array | undefined>()
  #ended = false

  constructor(run: StateRun, entry: StateEntry) {
    run.trim()
    this.#run = run
    this.#entry = entry
  }

  /** Whether the handler has not touched the state. */
  get isUntouched(): boolean {
    return !this.#changed.size && !this.#underWay.size && !this.#failure
  }

  /** Whether calls are under way. */
  get isBusy(): boolean {
    return this.#underWay.size > 0
  }

  get(key: string): Promise<unknown> {
    return this.#during(async () => {
      const bytes = await this.#bytes(checkKey(key))
      return bytes && decodeValue(bytes)
    })
  }

  set(key: string, value: unknown): Promise<void> {
    return this.#during(async () => this.#set(checkKey(key), value))
  }

  delete(key: string): Promise<void> {
    return this.set(key, undefined)
  }

  update(key: string, change: (value: unknown) => unknown): Promise<unknown> {
    return this.#during(async () => {
      await this.#bytes(checkKey(key))
      // From here on without a pause: two updates of one key that run side by side both count.
      const now = this.#changed.has(key) ? this.#changed.get(key) : this.#run.atHand(key)
      const value = change(now && decodeValue(now))
      if (typeof (value as PromiseLike<unknown> | undefined)?.then === 'function')
        throw new OverpoolError(
          'BAD_ARGUMENT',
          'the function that state.update calls must return a value, not a promise: for async work use state.get, then state.set',
        )
      this.#set(key, value)
      return value
    })
  }

  list({ prefix = '', after = '', limit = LISTED }: ListOptions = {}): Promise<StateItem[]> {
    return this.#during(async () => {
      if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LISTED)
        throw new OverpoolError(
          'BAD_ARGUMENT',
          `the limit of state.list is a whole number from 1 to ${MAX_LISTED}; to read more, go on with { after: <the last key> }`,
        )
      const changed = new Map([...this.#run.uncommitted(), ...this.#changed])
      return listedOver(changed, (range) => this.#run.stored(range), { prefix, after, limit })
    })
  }

  /** Takes back what the entries of the undone blocks have changed. @returns keys that later entries have changed as well, and that were left as they are */
  async undo({ undone }: ReorgEntry): Promise<string[]> {
    const { values, kept } = await undoneBy(this.#run.journal(), undone)
    for (const [key, value] of values) {
      await this.#run.read(key)
      this.#changed.set(key, value)
      this.#undone.set(key, value)
    }
    this.#undoes = undone
    return kept
  }

  /** Resolves when all calls have ended, and the values before the changes are at hand. @throws what a call threw that nobody awaited */
  async settled(): Promise<void> {
    while (this.#underWay.size) await Promise.allSettled(this.#underWay)
    if (this.#failure) throw this.#failure.thrown
    await Promise.all([...this.#changed.keys()].map((key) => this.#run.read(key)))
  }

  /** The entry is finished: what it changed counts. Only after `settled`. */
  take(): void {
    const changes: StateChange[] = []
    for (const [key, after] of this.#changed) {
      let before = this.#run.atHand(key)
      // What the undo changed, and what the handler changed after it, are two changes: only the first is void for the next undo.
      if (this.#undone.has(key)) {
        const undone = this.#undone.get(key)
        if (!isSame(before, undone)) changes.push({ ...this.#entry, key, before, after: undone, undoes: this.#undoes! })
        before = undone
      }
      if (!isSame(before, after)) changes.push({ ...this.#entry, key, before, after })
    }
    this.#run.take(changes, this.#undoes !== undefined)
  }

  /** The call is over; code of it that still runs can change nothing. */
  end(): void {
    this.#ended = true
  }

  async #bytes(key: string): Promise<Uint8Array | undefined> {
    return this.#changed.has(key) ? this.#changed.get(key) : await this.#run.read(key)
  }

  #set(key: string, value: unknown): void {
    this.#checkGoing()
    this.#changed.set(key, value === undefined ? undefined : encodeValue(key, value))
  }

  #checkGoing(): void {
    if (this.#ended)
      throw new OverpoolError(
        'CALL_OVER',
        'the state cannot be used after the call of the handler has ended: await all that the handler does',
      )
  }

  /** A call that the handler does not await may fail later: then the entry fails. */
  #during<T>(call: () => Promise<T>): Promise<T> {
    const called = (async () => {
      this.#checkGoing()
      return call()
    })()
    this.#underWay.add(called)
    called.then(
      () => this.#underWay.delete(called),
      (thrown: unknown) => {
        this.#underWay.delete(called)
        this.#failure ??= { thrown }
      },
    )
    return called
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && Buffer.compare(a, b) === 0)
}
