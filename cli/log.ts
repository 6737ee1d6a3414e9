import { format } from 'node:util'

import { logged, printed } from '../shared/printed.ts'

export type Level = 'info' | 'warn' | 'error'

/** Prints what happens in a running machine, on standard error. @param fields for programs: of what kind it is, and where it happened */
export type Log = (level: Level, message: string, fields?: object) => void

/** One line each, for people or as JSON. Further lines of a message, such as a stack, are indented. */
export function logOf(json: boolean): Log {
  return (level, message, fields) => {
    const time = new Date().toISOString()
    const line = json ? printed(JSON.stringify({ time, level, ...fields, message })) : `${time} ${level} ${logged(message)}`
    process.stderr.write(`${line}\n`)
  }
}

/** What handlers print with `console`, and packages of theirs, becomes JSON: one value a line, where they would print it. */
export function printJson(): void {
  const levels = { debug: 'info', log: 'info', info: 'info', warn: 'warn', error: 'error' } as const
  for (const [method, level] of Object.entries(levels) as [keyof typeof levels, Level][]) {
    const stream = level === 'info' ? process.stdout : process.stderr
    console[method] = (...values: unknown[]) =>
      void stream.write(`${JSON.stringify({ time: new Date().toISOString(), level, printed: format(...values) })}\n`)
  }
}
