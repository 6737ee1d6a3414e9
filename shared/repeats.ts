/** Lines are counted for this time, ms; one that goes on is counted for twice the time, again and again, up to so many times. */
const WINDOW_MS = 10_000
const MOST_WINDOWS = 64
/** At most this many different lines are said in that time: a client chooses what it is refused for. */
const MAX_LINES = 100

/** A line that was said. */
interface Again<Details> {
  /** how often it came since */
  times: number
  details: Details
  /** in so many windows it is said how often it came, and this was so many before */
  left: number
  windows: number
}

/**
 * Says a line the first time, and then how often it came again: after ten seconds, then after twice the time each, up to ten minutes. A full disk or an attacker fails thousands of
 * posts a second, all for the same reason.
 */
export class Repeats<Details extends unknown[] = []> {
  readonly #say: (line: string, ...details: Details) => void
  readonly #again = new Map<string, Again<Details>>()
  /** lines that were said in this window */
  #said = 0
  #unsaid: { times: number; details: Details } | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(say: (line: string, ...details: Details) => void) {
    this.#say = say
  }

  say(line: string, ...details: Details): void {
    this.#timer ??= setTimeout(() => this.#next(), WINDOW_MS).unref()
    const again = this.#again.get(line)
    if (again) again.times++
    else if (this.#said < MAX_LINES) {
      this.#said++
      this.#again.set(line, { times: 0, details, left: 1, windows: 1 })
      this.#say(line, ...details)
    } else (this.#unsaid ??= { times: 0, details }).times++
  }

  /** Says what has been counted, and begins anew. */
  end(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const [line, again] of this.#again) this.#count(line, again)
    this.#again.clear()
    this.#countUnsaid()
  }

  #next(): void {
    this.#timer = undefined
    this.#said = 0
    for (const [line, again] of this.#again) {
      if (--again.left) continue
      if (!again.times) this.#again.delete(line)
      this.#count(line, again)
      again.windows = again.left = Math.min(MOST_WINDOWS, again.windows * 2)
    }
    this.#countUnsaid()
    if (this.#again.size) this.#timer = setTimeout(() => this.#next(), WINDOW_MS).unref()
  }

  #count(line: string, again: Again<Details>): void {
    if (again.times) this.#say(`${line.split('\n', 1)[0]} (${more(again.times)})`, ...again.details)
    again.times = 0
  }

  #countUnsaid(): void {
    if (this.#unsaid) this.#say(`other messages that are not shown: ${this.#unsaid.times}`, ...this.#unsaid.details)
    this.#unsaid = undefined
  }
}

function more(times: number): string {
  return times === 1 ? 'once more' : `${times} times more`
}
