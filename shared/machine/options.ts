import { OverpoolError } from '../errors.ts'

/** The options of a call, {} if there are none; BAD_ARGUMENT if they are no object. */
export function optionsOf<T extends object>(options: T | undefined, method: string): Partial<T> {
  if (typeof options === 'object') return options ?? {}
  if (options === undefined) return {}
  throw new OverpoolError('BAD_ARGUMENT', `${method} takes an object, not a ${typeof options}`)
}
