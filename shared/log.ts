import { logged, printed } from './printed.ts'

export type Level = 'info' | 'warn' | 'error'

/** How a process writes its log: 'plain' among the output of a program that uses the library, 'timed' with time and level, 'json' one value a line. */
export type LogFormat = 'plain' | 'timed' | 'json'

/** A line of a log. Further lines of a message, such as a stack, are indented. @param fields for programs: of what kind it is, and where it happened */
export function logLine(format: LogFormat, level: Level, message: string, fields?: object): string {
  if (format === 'plain') return logged(message)
  const time = new Date().toISOString()
  return format === 'json' ? printed(JSON.stringify({ time, level, ...fields, message })) : `${time} ${level} ${logged(message)}`
}
