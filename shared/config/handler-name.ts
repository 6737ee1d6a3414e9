import { OverpoolError } from '../errors.ts'

/** Whether a text can name a handler: 1 to 63 of a-z, 0-9, - and _, the first a letter or a digit. */
export function isHandlerName(name: unknown): name is string {
  return typeof name === 'string' && /^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)
}

/** @throws OverpoolError BAD_ARGUMENT: the text cannot name a handler */
export function checkHandlerName(name: unknown): asserts name is string {
  if (!isHandlerName(name))
    throw new OverpoolError(
      'BAD_ARGUMENT',
      `"${String(name).slice(0, 80)}" cannot name a handler: use 1 to 63 of a-z, 0-9, - and _, the first a letter or a digit`,
    )
}
