import { inspect } from 'node:util'
import { type LogFormat, logLine } from '../shared/log.ts'
import { codeContext, handlerContext } from '../shared/machine/context.ts'
import { printed } from '../shared/printed.ts'

const EVENTS = ['uncaughtException', 'unhandledRejection'] as const

/** Reports an error that nothing caught with the code of the user's that threw it. @returns false if none did */
function isLate(error: unknown): boolean {
  const call = codeContext.getStore() ?? handlerContext.getStore()
  call?.threwLate(error)
  return call !== undefined
}

let isCaught = false

/**
 * From now on an error that nothing catches does not end the process if code of a handler, a filter or a handler's file threw it, since the machine must go on for the other pools. All other errors end the
 * process, or go to the program's own listeners, as without this.
 */
export function catchLateErrors(format: LogFormat = 'plain'): void {
  if (isCaught) return
  isCaught = true
  // Node calls it for a rejection as well, if the program does not listen for those.
  process.on('uncaughtException', (error) => {
    if (isLate(error) || process.listenerCount('uncaughtException') > 1) return
    const shown = inspect(error) // as Node shows it: in a program that uses the library it is the program's own
    process.stderr.write(
      `${format === 'plain' ? printed(shown) : logLine(format, 'error', `an error that nothing caught ends the process: ${shown}`)}\n`,
    )
    process.exit(1)
  })
}

/** The same where the runtime has listeners that end the process, as Lambda's has: they get only the errors of no handler and no filter. */
export function catchLateErrorsFirst(): void {
  for (const event of EVENTS) {
    const others = process.rawListeners(event)
    process.removeAllListeners(event)
    process.on(event as 'uncaughtException', (...args) => {
      if (!isLate(args[0])) for (const other of others) Reflect.apply(other, process, args)
    })
  }
}
