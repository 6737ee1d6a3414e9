import { type InvoiceView, progressOf } from '../../../../shared/invoice/view.ts'
import type { PageData } from '../page-data.ts'

/** Between two questions, ms: while a payment is awaited, after a while of that, and when only the status of the transaction is. */
const [SOON_MS, LATER_MS, SELDOM_MS] = [2_000, 10_000, 30_000]
/** The page asks often for this time after it was opened, or used, ms. */
const BUSY_MS = 10 * 60_000

/** Watches what becomes of the invoice, as long as it can change: the host sends it, or is asked again and again. */
export class Watch {
  readonly #data: () => PageData
  readonly #changed: () => Promise<void>
  #timer: ReturnType<typeof setTimeout> | undefined
  #usedAt = Date.now()
  /** what the host sends comes here */
  #isTold = false

  /** @param changed brings the page up to date; called again if it fails */
  constructor(data: () => PageData, changed: () => Promise<void>) {
    this.#data = data
    this.#changed = changed
    if (data().events && !data().isSettled) this.#listen()
    this.#askLater() // a proxy may keep to itself what the host sends: ask until something has come
    // A browser slows the timers of a page that nobody sees.
    document.addEventListener('visibilitychange', () => document.hidden || this.askNow())
  }

  /** Asks at once, and often from now on. */
  askNow(): void {
    this.#usedAt = Date.now()
    clearTimeout(this.#timer)
    void this.#ask()
  }

  #listen(): void {
    const source = new EventSource(`${this.#data().path}/events`)
    source.onmessage = ({ data }: MessageEvent<string>) => void this.#hear(source, data)
    source.onerror = () => {
      this.#isTold = false
      this.#askLater() // until the browser has connected again
    }
  }

  async #hear(source: EventSource, text: string): Promise<void> {
    this.#isTold = true
    clearTimeout(this.#timer)
    try {
      await this.#see(JSON.parse(text) as InvoiceView)
    } catch {
      this.#askLater() // the page could not be fetched
    }
    if (this.#data().isSettled) source.close()
  }

  async #ask(): Promise<void> {
    if (document.hidden && !this.#data().isAwaited) return // it asks when it is looked at again
    const isUpToDate = await this.#look().catch(() => false) // the host may be away at this moment
    if (!isUpToDate || !this.#isTold) this.#askLater()
  }

  async #look(): Promise<boolean> {
    const response = await fetch(`${this.#data().path}/state`, { headers: { accept: 'application/json' }, cache: 'no-store' })
    if (response.ok) await this.#see((await response.json()) as InvoiceView)
    return response.ok
  }

  #askLater(): void {
    clearTimeout(this.#timer)
    const { isAwaited, isSettled } = this.#data()
    if (isSettled) return
    const isBusy = Date.now() - this.#usedAt < BUSY_MS
    this.#timer = setTimeout(() => this.#ask(), isAwaited ? (isBusy ? SOON_MS : LATER_MS) : SELDOM_MS)
  }

  async #see(view: InvoiceView): Promise<void> {
    if (progressOf(view) !== this.#data().progress) await this.#changed()
  }
}
