export interface ListOptions {
  /** only keys that begin with this */
  prefix?: string
  /** only keys after this one, to go on where the last call ended */
  after?: string
  /** at most so many, 1 to 1,000 (default 100) */
  limit?: number
}

export interface StateItem<Value = unknown> {
  key: string
  value: Value
}

type KeyOf<Values> = keyof Values & string

/**
 * What a handler remembers, by key. Its changes become durable together with the handler's cursor: an entry that runs twice counts once. A value is a number, a bigint, a text,
 * a boolean, null, bytes, a list or a plain object, at most 64 KiB; what `get` gives is a copy. One entry may change 320 KiB, the values before counted.
 */
export interface HandlerState<Values extends object = Record<string, unknown>> {
  get<K extends KeyOf<Values>>(key: K): Promise<Values[K] | undefined>
  /** `undefined` deletes the key. */
  set<K extends KeyOf<Values>>(key: K, value: Values[K] | undefined): Promise<void>
  /** Sets the key to what the function makes of its value, and returns that. Of two updates side by side both count. */
  update<K extends KeyOf<Values>>(key: K, change: (value: Values[K] | undefined) => Values[K] | undefined): Promise<Values[K] | undefined>
  delete(key: KeyOf<Values>): Promise<void>
  /** In the order of the keys. */
  list(options?: ListOptions): Promise<StateItem<Values[KeyOf<Values>]>[]>
}
