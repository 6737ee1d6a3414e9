import { OverpoolError } from '../errors.ts'

/** The options of a call, none for none, or BAD_ARGUMENT. */
export function optionsOf<T extends object>(options: T | undefined, method: string): Partial<T> {
  if (typeof options === 'object') return options ?? {}
  if (options === undefined) return {}
  throw new OverpoolError('BAD_ARGUMENT', `${method} takes an object, not a ${typeof options}`)
}
