import { format } from 'node:util'
import { handlerContext } from '../../shared/machine/context.ts'
import { cut } from '../../shared/printed.ts'

/** What a run keeps of its console lines: lines, characters of a line, characters of all of them. */
const MAX_LINES = 100
const MAX_LINE = 2_000
const MAX_CHARS = 16_000

const METHODS = ['debug', 'log', 'info', 'warn', 'error'] as const

let isKept = false

/**
 * From now on the console lines of a handler's call are kept with its run. They are printed as before: by what `console` does now, such as writing JSON. Only the first
 * call of a process has an effect.
 */
export function keepConsoleLines(): void {
  if (isKept) return
  isKept = true
  for (const method of METHODS) {
    const print = console[method]
    console[method] = (...values: unknown[]) => {
      print.apply(console, values)
      keep(values)
    }
  }
}

/** Adds a line to the run that the calling code belongs to. Code that goes on after the end of its run prints, and nothing is kept. */
function keep(values: unknown[]): void {
  const run = handlerContext.getStore()
  if (!run || run.ended) return
  const printed = (run.printed ??= { lines: [], left: MAX_CHARS })
  if (printed.left < 0) return
  const isFull = printed.left === 0 || printed.lines.length === MAX_LINES
  const line = isFull ? '… more was printed, and is not kept' : cut(format(...values), Math.min(MAX_LINE, printed.left))
  printed.lines.push(line)
  printed.left = isFull ? -1 : Math.max(0, printed.left - line.length)
}
