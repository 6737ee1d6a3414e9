import { setImmediate } from 'node:timers/promises'

let last: Promise<void> = Promise.resolve()

/**
 * Resolves in a later turn of the event loop, one caller a turn. Work that takes long calls it between its steps: then the loop is held for the time of one step, however many
 * payments are being worked on.
 */
export function turn(): Promise<void> {
  last = last.then(() => setImmediate())
  return last
}
