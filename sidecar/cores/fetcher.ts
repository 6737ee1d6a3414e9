import type Hypercore from 'hypercore'
import type { Download } from 'hypercore'

/**
 * How many blocks are requested at once: at least, and at most when answers take long. Hypercore's default minimum is 16. With 32 a reader on a fast line needs a tenth
 * less time; with more, it needs more time again.
 */
export const IN_FLIGHT: [number, number] = [32, 512]
/** Fewer are requested while blocks are large: what arrives is in memory until it is on the disk. */
const IN_FLIGHT_BYTES = 8 * 1024 * 1024
/** The size of a window: at most this many blocks, and about this many bytes. */
const WINDOW_BLOCKS = 512
const WINDOW_BYTES = 4 * 1024 * 1024
const WINDOW_LEAST = 2
/** Blocks of this size are not downloaded ahead: each is in memory several times until it is stored, so there is one of them at a time. */
const LARGE_BYTES = 1024 * 1024
/** When at most this many blocks are missing, each is requested at once. */
const NEWEST = 16
/** How many windows are downloaded at once: the one in use, and the next. */
const WINDOWS = 2

interface Window {
  end: number
  download: Download
}

/**
 * Downloads a peer's blocks in about the order in which they are needed. Hypercore downloads a long range in random order, the first block perhaps last; in order
 * (`linear`) it needs nearly twice the time. So a subscription that is far behind downloads one window after another, in random order within each.
 */
export class Fetcher {
  readonly #core: Hypercore
  #windows: Window[] = []
  #tail: Download | undefined
  /** of the blocks that arrive: the largest; it fades with each smaller one */
  #size = 0
  /** how many blocks of that size are requested at once */
  #fit = Number.POSITIVE_INFINITY

  constructor(core: Hypercore) {
    this.#core = core
    core.on('download', (_, bytes) => this.#arrived(bytes))
  }

  #arrived(bytes: number): void {
    this.#size = Math.max(bytes, this.#size * 0.9)
    this.#limit()
  }

  /** How large a block may be that comes next; infinite while nothing is known. */
  get #expected(): number {
    const { length, byteLength } = this.#core
    return length ? Math.max(this.#size, byteLength / length) : Number.POSITIVE_INFINITY
  }

  #limit(): void {
    const fit = Math.max(1, Math.floor(IN_FLIGHT_BYTES / (this.#expected || 1)))
    if (fit === this.#fit || (fit >= IN_FLIGHT[1] && this.#fit >= IN_FLIGHT[1])) return
    this.#fit = fit
    const [least, most] = IN_FLIGHT
    this.#core.core.replicator.setInflightRange(Math.min(least, fit), Math.min(most, fit))
  }

  /**
   * Downloads from block n on, except while blocks are large: then only those come that are read.
   * @returns resolves when the window of block n is here; undefined if only the newest blocks are missing, or blocks are large
   */
  fetch(n: number): Promise<void> | undefined {
    const { length } = this.#core
    this.#limit()
    if (this.#expected >= LARGE_BYTES) {
      this.#drop(Number.POSITIVE_INFINITY)
      this.#dropTail()
      return undefined
    }
    if (length - n <= NEWEST) {
      this.#drop(Number.POSITIVE_INFINITY)
      this.#tail ??= this.#core.download({ start: n, end: -1 }) // new blocks are then sent without being requested
      return undefined
    }
    this.#dropTail()
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

  #dropTail(): void {
    this.#tail?.destroy()
    this.#tail = undefined
  }

  #windowBlocks(): number {
    const { length, byteLength } = this.#core
    return Math.min(WINDOW_BLOCKS, Math.max(WINDOW_LEAST, Math.floor((WINDOW_BYTES * length) / (byteLength || 1))))
  }
}
