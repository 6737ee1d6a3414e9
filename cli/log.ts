import { format } from 'node:util'
import { type Level, type LogFormat, logLine } from '../shared/log.ts'

/** Prints what happens in a running machine, on standard error. @param fields for programs: of what kind it is, and where it happened */
export type Log = (level: Level, message: string, fields?: object) => void

export function logOf(format: LogFormat): Log {
  return (level, message, fields) => void process.stderr.write(`${logLine(format, level, message, fields)}\n`)
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
