export interface ListOptions {
  /** only keys that begin with this */
  prefix?: string
  /** only keys after this one, to go on where the last call ended */
  after?: string
  /** at most this many, 1 to 1,000 (default 100) */
  limit?: number
}

export interface StateItem<Value = unknown> {
  key: string
  value: Value
}

type KeyOf<Values> = keyof Values & string

/**
 * The state of a handler: values by key. Its changes become durable together with the handler's cursor, so an entry that runs twice counts once. A value is a number, a bigint,
 * a text, a boolean, null, bytes, a list or a plain object, at most 64 KiB; `get` returns a copy. The changes of one entry have at most 320 KiB, old and new values together.
 */
export interface HandlerState<Values extends object = Record<string, unknown>> {
  get<K extends KeyOf<Values>>(key: K): Promise<Values[K] | undefined>
  /** `undefined` deletes the key. */
  set<K extends KeyOf<Values>>(key: K, value: Values[K] | undefined): Promise<void>
  /** Calls the function with the value, sets the key to what it returns, and returns that. If two updates run at the same time, both count. */
  update<K extends KeyOf<Values>>(key: K, change: (value: Values[K] | undefined) => Values[K] | undefined): Promise<Values[K] | undefined>
  delete(key: KeyOf<Values>): Promise<void>
  /** In the order of the keys. */
  list(options?: ListOptions): Promise<StateItem<Values[KeyOf<Values>]>[]>
}
