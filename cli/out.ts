import { once } from 'node:events'
import { asHex } from '../shared/ledger/values.ts'
import { printed } from '../shared/printed.ts'

/** Prints a command's answer: lines for people, or one JSON value a line. */
export interface Out {
  isJson: boolean
  show: (value: object, text: string) => void
  /** Resolves when the reader has taken what was shown. */
  drained: () => Promise<unknown> | undefined
  /** for people only */
  say: (text: string) => void
  /** clears the terminal */
  clear: () => void
  /** Progress of something that may take long: for people only, on standard error. @param done the verb, such as 'verified' @param unit what is counted */
  progress: (done: string, unit: string) => ProgressLine
}

export interface ProgressLine {
  show: (progress: { done: number; total: number }) => void
  /** The answer comes next. */
  end: () => void
}

/** A terminal shows the newest state in one line, anything else a line each time. */
const TERMINAL_MS = 100
const LINE_MS = 1_000

export function outOf(json: boolean): Out {
  return {
    isJson: json,
    show: (value, text) => print(printed(json ? JSON.stringify(value, asHex) : text)), // in JSON, controls stand in strings only
    drained: () => (process.stdout.writableNeedDrain ? once(process.stdout, 'drain') : undefined),
    say: (text) => {
      if (!json) print(printed(text))
    },
    clear: () => {
      if (!json) print('\u001bc')
    },
    progress: (done, unit) => (json ? { show() {}, end() {} } : progressOn(process.stderr, done, unit)),
  }
}

/** Not by `console`, which belongs to the handlers (`printJson`). */
function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Shows nothing if the work ends before the first update is due. */
export function progressOn(
  stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>,
  what: string,
  unit: string,
  now = () => performance.now(),
): ProgressLine {
  const begun = now()
  const every = stream.isTTY ? TERMINAL_MS : LINE_MS
  let shownAt = begun
  let width = 0
  return {
    show({ done, total }) {
      const at = now()
      if (at - shownAt < every) return
      shownAt = at
      const rate = done / ((at - begun) / 1_000)
      const left = Math.ceil(Math.max(total - done, 0) / rate)
      const line = `${what} ${done} of ${total} ${unit}, ${Math.round(rate)} a second, ${left} s left`
      stream.write(stream.isTTY ? `\r${line.padEnd(width)}` : `${line}\n`)
      width = line.length
    },
    end() {
      if (width && stream.isTTY) stream.write(`\r${' '.repeat(width)}\r`)
    },
  }
}

export function count(n: number, one: string, many: string): string {
  return `${n} ${n === 1 ? one : many}`
}
