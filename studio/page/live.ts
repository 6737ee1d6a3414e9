import { useEffect, useState } from 'preact/hooks'
import type { Overview } from '../shapes.ts'
import { type Connection, follow } from './api.ts'

/** Rates are shown for this time, s. */
export const SHOWN_S = 60
/** A rate is the mean of the last few seconds. */
const MEAN_S = 5

interface Sample {
  at: number
  entries: Record<string, number>
}

/** What the page knows of the machine. */
class Live {
  overview: Overview | undefined
  connection: Connection = 'connecting'
  readonly #samples: Sample[] = []
  readonly #listeners = new Set<() => void>()
  #over = new AbortController()

  /** Begins to follow the machine, anew if it did. */
  start(): void {
    this.#over.abort()
    this.#over = new AbortController()
    const { signal } = this.#over
    void follow(
      (overview) => {
        this.overview = overview
        this.#note(overview)
        this.#tell()
      },
      (connection) => {
        this.connection = connection
        this.#tell()
      },
      signal,
    )
    this.connection = 'connecting'
    this.#tell()
  }

  on(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }

  #note({ at, pools }: Overview): void {
    const last = this.#samples.at(-1)
    const sample = { at, entries: Object.fromEntries(pools.map(({ path, entries }) => [path, entries])) }
    if (last && Math.floor(last.at / 1_000) === Math.floor(at / 1_000)) this.#samples[this.#samples.length - 1] = sample
    else this.#samples.push(sample)
    while (this.#samples.length > SHOWN_S + 2) this.#samples.shift()
  }

  /** New entries of a pool in each of the last whole seconds, the newest last. */
  perSecond(path: string): number[] {
    const counts = new Array<number>(SHOWN_S).fill(0)
    const end = Math.floor((this.overview?.at ?? 0) / 1_000) - 1 // the present second is not over
    for (const [i, { at, entries }] of this.#samples.entries()) {
      const before = this.#samples[i - 1]
      if (!before) continue
      const place = SHOWN_S - 1 - (end - Math.floor(at / 1_000))
      if (place >= 0 && place < SHOWN_S) counts[place] = (entries[path] ?? 0) - (before.entries[path] ?? entries[path] ?? 0)
    }
    return counts
  }

  /** Entries a second, of late. */
  rate(path: string): number {
    const counts = this.perSecond(path).slice(-MEAN_S)
    return counts.reduce((sum, count) => sum + count, 0) / MEAN_S
  }
}

export const live = new Live()

/** The state of the machine; the component is drawn again when it changes. */
export function useLive(): Live {
  const [, draw] = useState(0)
  useEffect(() => live.on(() => draw((n) => n + 1)), [])
  return live
}
