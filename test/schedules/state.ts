import type { JournalChange, State, StateChange, StateCommit, StateMark, StateValue } from '../../shared/store/state.ts'
import type { Restore } from './ports.ts'
import type { Sync } from './scheduler.ts'

interface Scope {
  version: number
  values: Map<string, Uint8Array>
  journal: JournalChange[]
}

/** What handlers remember, in memory. */
export class MemoryState implements Sync<State> {
  readonly commitBytes = 16 * 1024
  readonly maxBytes = 352 * 1024
  readonly #scopes = new Map<string, Scope>()

  open(handler: string, scope: string, _cursor?: StateMark): number {
    return this.version(handler, scope)
  }

  look(handler: string, scope: string): { version: number; unfinished: StateChange[] } {
    return { version: this.version(handler, scope), unfinished: [] }
  }

  version(handler: string, scope: string): number {
    return this.#scope(handler, scope).version
  }

  get(handler: string, scope: string, key: string): Uint8Array | undefined {
    return this.#scope(handler, scope).values.get(key)
  }

  list(handler: string, scope: string): StateValue[] {
    return [...this.#scope(handler, scope).values].map(([key, value]) => ({ key, value }))
  }

  journal(handler: string, scope: string): { changes: JournalChange[] } {
    return { changes: this.#scope(handler, scope).journal.toReversed() }
  }

  change(handler: string, { scope, version, changes }: StateCommit): void {
    const state = this.#scope(handler, scope)
    state.version = version + 1
    for (const { key, after } of changes) {
      if (after) state.values.set(key, after)
      else state.values.delete(key)
    }
    state.journal.push(...changes.map((change) => ({ ...change, version: version + 1 })))
  }

  /** Takes a snapshot, which the returned function restores. */
  note(): Restore {
    const scopes = [...this.#scopes].map(([name, { version, values, journal }]): [string, Scope] => [
      name,
      { version, values: new Map(values), journal: [...journal] },
    ])
    return () => {
      this.#scopes.clear()
      for (const [name, scope] of scopes) this.#scopes.set(name, scope)
    }
  }

  #scope(handler: string, scope: string): Scope {
    const name = `${handler} ${scope}`
    let state = this.#scopes.get(name)
    if (!state) this.#scopes.set(name, (state = { version: 0, values: new Map(), journal: [] }))
    return state
  }
}
