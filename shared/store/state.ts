/** The scope of a state that a handler has over all its pools; another scope is the path of a pool. No pool has this name. */
export const SHARED = '*'

/** How far the state of a scope is, as its item says. */
export interface StateMark {
  /** commits so far; undefined: none */
  version?: number
  /** DynamoDB: a commit that may not be finished; `State.open` finishes it */
  unfinished?: Uint8Array
}

/** One change of one key, as the journal keeps it. */
export interface StateChange {
  key: string
  /** the value before and after, CBOR; undefined: none */
  before: Uint8Array | undefined
  after: Uint8Array | undefined
  /** the entry whose handler made it */
  pool: string
  seq: number
  /** if the entry came from the chain: its block */
  height?: number
  blockHash?: string
  /** it takes back what entries of these blocks changed (64 hex each) */
  undoes?: string[]
}

/** Changes that become durable together, with what is finished by them. */
export interface StateCommit {
  scope: string
  /** the scope's version when the values that the changes rest on were read */
  version: number
  /** in the order in which they were made; a key may come more than once */
  changes: StateChange[]
  /** when they were made, ms since 1970 */
  at: number
}

/** A place in the state's keys. They are in the order of their UTF-8 bytes. */
export interface StateRange {
  prefix?: string
  /** keys after this one */
  after?: string
  /** at most so many */
  limit: number
}

export interface StateValue {
  key: string
  /** CBOR */
  value: Uint8Array
}

/** A change with the version of the commit that it was part of. */
export type JournalChange = StateChange & { version: number }

export interface JournalPage {
  changes: JournalChange[]
  /** its last change is the first that was ever made */
  isFirst?: boolean
  next?: string
}

/**
 * What handlers remember: values by handler, scope and key. The only way to change them is a commit (`Progress.commit`), and it holds only if the scope has the version that it
 * names: so of two runs that read the same values, one counts.
 */
export interface State {
  /** a run commits when its changes have so many bytes */
  readonly commitBytes: number
  /** a commit may have so many bytes at most */
  readonly maxBytes: number
  /**
   * The scope's version, 0 at the start. It first finishes the commit of a process that died.
   * @param cursor of the scope's pool, if it was just read: then nothing more is read
   */
  open(handler: string, scope: string, cursor?: StateMark): Promise<number>
  /** As last committed. */
  get(handler: string, scope: string, key: string): Promise<Uint8Array | undefined>
  list(handler: string, scope: string, range: StateRange): Promise<StateValue[]>
  /** A page of the journal, the newest change first. @param page `next` of the page before */
  journal(handler: string, scope: string, page?: string): Promise<JournalPage>
  /** The version, and the changes of a commit that may not be finished: `get` and `list` may not show them. It writes nothing. */
  look(handler: string, scope: string): Promise<{ version: number; unfinished: StateChange[] }>
}

/** The pages of the journal, one after the other. */
export async function* journalOf(state: Pick<State, 'journal'>, handler: string, scope: string): AsyncGenerator<JournalChange[]> {
  let next: string | undefined
  do {
    const page: JournalPage = await state.journal(handler, scope, next)
    yield page.changes
    next = page.next
  } while (next !== undefined)
}
