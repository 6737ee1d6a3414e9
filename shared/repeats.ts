/** Lines are counted for this time, ms. */
const WINDOW_MS = 10_000
/** At most this many different lines are said in that time: a client chooses what it is refused for. */
const MAX_LINES = 100

/**
 * Says a line the first time, and then how often it came again, every ten seconds while it does. A full disk or an attacker fails thousands of posts a second, all for the same
 * reason.
 */
export class Repeats<Details extends unknown[] = []> {
  readonly #say: (line: string, ...details: Details) => void
  readonly #again = new Map<string, { times: number; details: Details }>()
  #unsaid: { times: number; details: Details } | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(say: (line: string, ...details: Details) => void) {
    this.#say = say
  }

  say(line: string, ...details: Details): void {
    this.#timer ??= setTimeout(() => this.#next(), WINDOW_MS).unref()
    const again = this.#again.get(line)
    if (again) again.times++
    else if (this.#again.size < MAX_LINES) {
      this.#again.set(line, { times: 0, details })
      this.#say(line, ...details)
    } else (this.#unsaid ??= { times: 0, details }).times++
  }

  /** Says what has been counted, and begins anew. */
  end(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#count()
    this.#again.clear()
  }

  #next(): void {
    this.#timer = undefined
    this.#count()
    // A line that went on is only counted in the next window, too.
    for (const [line, again] of this.#again) {
      if (again.times) again.times = 0
      else this.#again.delete(line)
    }
    if (this.#again.size) this.#timer = setTimeout(() => this.#next(), WINDOW_MS).unref()
  }

  #count(): void {
    for (const [line, { times, details }] of this.#again) if (times) this.#say(`${line.split('\n', 1)[0]} (${more(times)})`, ...details)
    if (this.#unsaid) this.#say(`other messages that are not shown: ${this.#unsaid.times}`, ...this.#unsaid.details)
    this.#unsaid = undefined
  }
}

function more(times: number): string {
  return times === 1 ? 'once more' : `${times} times more`
}
