import type { Clock } from '../clock.ts'
import { handlerNotFound, OverpoolError } from '../errors.ts'
import type { Stores } from '../store/port.ts'
import { type JournalChange, journalOf, SHARED, type StateRange } from '../store/state.ts'
import type { ListOptions, StateItem } from './handler-state.ts'
import { listedOver } from './listed.ts'
import { checkKey, decodeValue, encodeValue } from './values.ts'

export interface StateOptions {
  /** the handler's name */
  handler: string
  /** the pool. For a handler that has one state for all its pools: any of them, or none */
  path?: string
}

/** How often an edit is tried while the handler commits. */
const EDITS = 50
/** Values read at a time. */
const PAGE = 1_000

/** The state of a handler as last committed, to read and change while the machine runs. */
export class StateView {
  readonly handler: string
  /** the pool, or `*` for a state that is one for all pools */
  readonly scope: string
  readonly #pool: string
  readonly #stores: Pick<Stores, 'progress' | 'state'>
  readonly #clock: Pick<Clock, 'now'>

  constructor(
    options: { handler: string; scope: string; pool: string },
    stores: Pick<Stores, 'progress' | 'state'>,
    clock: Pick<Clock, 'now'>,
  ) {
    this.handler = options.handler
    this.scope = options.scope
    this.#pool = options.pool
    this.#stores = stores
    this.#clock = clock
  }

  /** How often the handler has committed changes. */
  async version(): Promise<number> {
    return (await this.#stores.state.look(this.handler, this.scope)).version
  }

  /**
   * @param at.at the value when the handler had finished this entry
   * @throws OverpoolError BAD_ARGUMENT: the journal does not reach back so far
   */
  async get(key: string, { at }: { at?: number } = {}): Promise<unknown> {
    checkKey(key)
    const bytes = at === undefined ? await this.#bytes(key) : await this.#bytesAt(key, at)
    return bytes && decodeValue(bytes)
  }

  /** In the order of the keys. With `at`, as it was when the handler had finished this entry. */
  async list({ prefix = '', after = '', limit = 100, at }: ListOptions & { at?: number } = {}): Promise<StateItem[]> {
    return this.#listed(at === undefined ? await this.#unfinished() : await this.#before(at), { prefix, after, limit })
  }

  /** All keys with a prefix, in their order, read in pages. With `at`, as they were when the handler had finished this entry. */
  async *all({ prefix, at }: Pick<ListOptions, 'prefix'> & { at?: number } = {}): AsyncGenerator<StateItem, void> {
    const before = at === undefined ? undefined : await this.#before(at) // the whole journal: it is read once
    for (let after: string | undefined; ; ) {
      const items = await this.#listed(before ?? (await this.#unfinished()), {
        limit: PAGE,
        ...(prefix !== undefined && { prefix }),
        ...(after !== undefined && { after }),
      })
      yield* items
      if (items.length < PAGE) return
      after = items.at(-1)!.key
    }
  }

  #listed(over: ReadonlyMap<string, Uint8Array | undefined>, range: StateRange): Promise<StateItem[]> {
    return listedOver(over, (stored) => this.#stores.state.list(this.handler, this.scope, stored), range)
  }

  /** Sets a key, or deletes it if the value is undefined. If the handler is running, its run starts again, so that it uses the new value. */
  set(key: string, value: unknown): Promise<void> {
    return this.change([{ key, value }])
  }

  delete(key: string): Promise<void> {
    return this.set(key, undefined)
  }

  /** Sets some keys together; undefined deletes one. @throws OverpoolError UNAVAILABLE: the handler commits without a pause, try again */
  async change(items: { key: string; value: unknown }[]): Promise<void> {
    const values = items.map(({ key, value }) => [checkKey(key), value === undefined ? undefined : encodeValue(key, value)] as const)
    const { progress, state } = this.#stores
    for (let i = 0; i < EDITS; i++) {
      const version = await state.open(this.handler, this.scope)
      const { seq } = await progress.readCursor(this.handler, this.#pool)
      const changes = await Promise.all(
        values.map(async ([key, after]) => ({
          key,
          pool: this.#pool,
          seq,
          before: await state.get(this.handler, this.scope, key),
          after,
        })),
      )
      const commit = { scope: this.scope, version, changes, at: this.#clock.now() }
      if (await progress.commit(this.handler, this.#pool, undefined, commit)) return
    }
    throw new OverpoolError(
      'UNAVAILABLE',
      `the handler "${this.handler}" changes its state all the time, so this change did not succeed: try again, or pause the handler first`,
      {
        retryable: true,
      },
    )
  }

  /** The newest changes, the newest first. @param options.since only those of commits after this version */
  async changes({ limit = 100, since = 0 }: { limit?: number; since?: number } = {}): Promise<JournalChange[]> {
    const found: JournalChange[] = []
    for await (const page of journalOf(this.#stores.state, this.handler, this.scope)) {
      const fresh = page.filter(({ version }) => version > since)
      found.push(...fresh)
      if (found.length >= limit || fresh.length < page.length) break
    }
    return found.slice(0, limit)
  }

  async #unfinished(): Promise<Map<string, Uint8Array | undefined>> {
    const { unfinished } = await this.#stores.state.look(this.handler, this.scope)
    return new Map(unfinished.map(({ key, after }) => [key, after]))
  }

  async #bytes(key: string): Promise<Uint8Array | undefined> {
    const unfinished = await this.#unfinished()
    return unfinished.has(key) ? unfinished.get(key) : this.#stores.state.get(this.handler, this.scope, key)
  }

  async #bytesAt(key: string, at: number): Promise<Uint8Array | undefined> {
    const before = await this.#before(at)
    return before.has(key) ? before.get(key) : this.#bytes(key)
  }

  /** The values that later entries have changed, as they were when an entry was finished. */
  async #before(at: number): Promise<Map<string, Uint8Array | undefined>> {
    const { version, unfinished } = await this.#stores.state.look(this.handler, this.scope)
    const before = new Map(unfinished.map(({ key, after }) => [key, after]))
    let isWhole = version === 0
    let next: string | undefined
    do {
      const page = await this.#stores.state.journal(this.handler, this.scope, next)
      for (const change of page.changes) if (change.pool === this.#pool && change.seq > at) before.set(change.key, change.before)
      // Entries that were redriven stand between later ones: the whole journal is read.
      if (page.changes.some(({ pool, seq }) => pool === this.#pool && seq <= at)) isWhole = true
      isWhole ||= page.isFirst ?? false
      next = page.next
    } while (next !== undefined)
    if (isWhole) return before
    const why = `the journal of "${this.handler}" does not reach back to entry ${at} of "${this.#pool}": \`overpool replay\` runs the handler over the ledger up to there`
    throw new OverpoolError('BAD_ARGUMENT', why)
  }
}

/** Finds the state of a handler. @throws OverpoolError BAD_ARGUMENT, HANDLER_NOT_FOUND */
export async function viewOf(
  { handler, path }: StateOptions,
  stores: Pick<Stores, 'progress' | 'state'>,
  clock: Pick<Clock, 'now'>,
): Promise<StateView> {
  if (typeof handler !== 'string' || !handler)
    throw new OverpoolError(
      'BAD_ARGUMENT',
      'name the handler of the state: { handler: <the name of its file without the ending>, path: <the pool> }',
    )
  const { version } = await stores.state.look(handler, SHARED)
  if (version > 0) return new StateView({ handler, scope: SHARED, pool: path ?? SHARED }, stores, clock)
  if (path === undefined) throw new OverpoolError('BAD_ARGUMENT', `"${handler}" has a state for each pool: name the pool`)
  const there = await stores.progress.listHandlers(path)
  if (!there.includes(handler)) throw handlerNotFound(handler, path, there)
  return new StateView({ handler, scope: path, pool: path }, stores, clock)
}
