import type Hypercore from 'hypercore'
import type { Download } from 'hypercore'

/** A window has at most so many blocks, and about so many bytes. */
const WINDOW_BLOCKS = 512
const WINDOW_BYTES = 4 * 1024 * 1024
const WINDOW_LEAST = 16
/** Windows that are fetched at once: one to be worked on when it is here, and the next. */
const WINDOWS = 2

interface Window {
  end: number
  download: Download
}

/**
 * Has a peer's blocks fetched in about the order in which they are needed. Of a long range hypercore takes the blocks at random, the first of them perhaps last,
 * and in order (`linear`) it needs nearly twice the time: so what is far behind is fetched a window at a time, at random within it.
 */
export class Fetcher {
  readonly #core: Hypercore
  #windows: Window[] = []
  #tail: Download | undefined

  constructor(core: Hypercore) {
    this.#core = core
  }

  /** Fetches from block n on. @returns when the window that n is in has come; undefined if nothing but the newest blocks is missing */
  fetch(n: number): Promise<void> | undefined {
    const { length } = this.#core
    if (length - n <= WINDOW_LEAST) {
      this.#drop(Number.POSITIVE_INFINITY)
      this.#tail ??= this.#core.download({ start: n, end: -1 }) // with each length that is announced the newest block comes without being asked for
      return undefined
    }
    this.#tail?.destroy()
    this.#tail = undefined
    this.#drop(n)
    while (this.#windows.length < WINDOWS) {
      const start = this.#windows.at(-1)?.end ?? n
      if (start >= length) break
      const end = Math.min(length, start + this.#windowBlocks())
      this.#windows.push({ end, download: this.#core.download({ start, end }) })
    }
    return this.#windows[0]!.download.done()
  }

  /** Forgets the windows that end at block n or before. */
  #drop(n: number): void {
    while (this.#windows[0] && this.#windows[0].end <= n) this.#windows.shift()!.download.destroy()
  }

  #windowBlocks(): number {
    const { length, byteLength } = this.#core
    return Math.min(WINDOW_BLOCKS, Math.max(WINDOW_LEAST, Math.floor((WINDOW_BYTES * length) / (byteLength || 1))))
  }
}
