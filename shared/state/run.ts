import { OverpoolError } from '../errors.ts'
import { journalOf, type State, type StateChange, type StateCommit, type StateRange, type StateValue } from '../store/state.ts'

/** What one entry changes is at most so long, with the values before, bytes: a commit is one item of DynamoDB, which takes 400 KB. */
const MAX_ENTRY = 320 * 1024
/** What a change takes besides its key and values: its entry, block and names of fields, and for each undone block. */
const OVERHEAD = 160
const OVERHEAD_UNDONE = 68
/** Values that a run keeps at hand. */
const MAX_AT_HAND = 10_000

/** The entry whose handler runs. */
export type StateEntry = Pick<StateChange, 'pool' | 'seq' | 'height' | 'blockHash'>

/** What a handler has changed in one run over a pool, and not committed yet. The changes of an entry join it when the entry is finished. */
export class StateRun {
  readonly #store: State
  readonly #handler: string
  readonly #scope: string
  #version: number
  /** values at hand: read or changed in this run */
  readonly #values = new Map<string, Uint8Array | undefined>()
  #changes: StateChange[] = []
  #bytes = 0

  constructor(store: State, handler: string, scope: string, version: number) {
    this.#store = store
    this.#handler = handler
    this.#scope = scope
    this.#version = version
  }

  get isChanged(): boolean {
    return this.#changes.length > 0
  }

  /** Whether so much has changed that it must be committed. */
  get isFull(): boolean {
    return this.#bytes >= this.#store.commitBytes
  }

  /** A value with the changes of all finished entries. */
  async read(key: string): Promise<Uint8Array | undefined> {
    if (this.#values.has(key)) return this.#values.get(key)
    const value = await this.#store.get(this.#handler, this.#scope, key)
    if (this.#values.has(key)) return this.#values.get(key)
    this.#values.set(key, value)
    return value
  }

  /** Forgets values at hand if they are many. Only between calls: a call relies on what it has read. */
  trim(): void {
    if (this.#values.size >= MAX_AT_HAND && !this.isChanged) this.#values.clear()
  }

  /** The value of a key that was read before. */
  atHand(key: string): Uint8Array | undefined {
    return this.#values.get(key)
  }

  /** A range of the keys, as committed. */
  stored(range: StateRange): Promise<StateValue[]> {
    return this.#store.list(this.#handler, this.#scope, range)
  }

  /** The changes of finished entries that are not committed. */
  uncommitted(): Map<string, Uint8Array | undefined> {
    return new Map(this.#changes.map(({ key, after }) => [key, after]))
  }

  /** Pages of the journal, the newest change first. Only when nothing waits for a commit. */
  journal(): AsyncIterable<StateChange[]> {
    return journalOf(this.#store, this.#handler, this.#scope)
  }

  /** The entry is finished: its changes join the run. @param isUndo an undo may change as much as the store can commit @throws OverpoolError BAD_ARGUMENT: they are too many */
  take(changes: StateChange[], isUndo: boolean): void {
    const bytes = changes.reduce((sum, change) => sum + sizeOf(change), 0)
    const most = isUndo ? this.#store.maxBytes : MAX_ENTRY
    if (bytes > most)
      throw new OverpoolError(
        'BAD_ARGUMENT',
        `this entry changes ${bytes} bytes of the state, the values before and ${OVERHEAD} bytes a key counted, and one entry may change ${most}: split the work over several entries, for example with posts`,
      )
    for (const change of changes) this.#values.set(change.key, change.after)
    this.#changes.push(...changes)
    this.#bytes += bytes
  }

  /** What is to be committed. */
  commit(at: number): StateCommit {
    return { scope: this.#scope, version: this.#version, changes: this.#changes, at }
  }

  /** The commit is done. */
  committed(): void {
    this.#version++
    this.#changes = []
    this.#bytes = 0
  }
}

function sizeOf({ key, before, after, undoes = [] }: StateChange): number {
  return Buffer.byteLength(key) + (before?.length ?? 0) + (after?.length ?? 0) + OVERHEAD + OVERHEAD_UNDONE * undoes.length
}
