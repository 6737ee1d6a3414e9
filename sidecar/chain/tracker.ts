import type { Broadcaster } from '../../shared/broadcast/broadcaster.ts'
import type { Service } from '../../shared/broadcast/service.ts'
import type { Clock } from '../../shared/clock.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { isOpen, type KeptStatus, UNSEEN_MS } from '../../shared/ledger/status.ts'
import { backoff } from '../../shared/retry.ts'
import type { PoolControl } from '../../shared/store/control.ts'
import type { Stores } from '../../shared/store/port.ts'
import { allStatuses } from '../../shared/store/statuses.ts'
import { Wake } from '../../shared/wake.ts'
import type { Report } from '../report.ts'

export interface TrackerOptions {
  broadcaster: Broadcaster
  /** those that are asked, in this order */
  services: readonly Service[]
  stores: Pick<Stores, 'control' | 'statuses'>
  clock: Clock
  report: Report
  /** whether the machine knows the chain: then most of what it asks about is found there first */
  knowsChain: boolean
  /** whether a pool belongs to this shard; default: all do */
  owns?: (pool: string) => boolean
  /** how often it looks for open transactions, ms */
  lookMs: number
  /** wait before the first question about a transaction, ms; doubles up to ten minutes */
  askMs: number
}

/** A transaction that is asked about. */
interface Asked {
  /** when it is asked about next (`Clock.elapsed`) */
  due: number
  /** questions since it last changed */
  tries: number
  seq: number
  /** when this status was first met (`Clock.elapsed`) */
  since: number
}

const ASK_MOST_MS = 10 * 60_000
/** What waits for its lock time, or for its parents, is sent again at least this often, ms, so many times. */
const SOON_MS = 30_000
const SOON_TRIES = 100
/** On a machine that reads the chain, most answers come from there: services are asked after this time, ms. */
const CHAIN_FIRST_MS = 60_000
/** After so many questions with no news, the next service is asked. */
const STANDS_STILL = 3
/** So many questions are under way at most. */
const WIDTH = 8

/**
 * Asks what has become of transactions until that is known. One that no service has taken is sent again. One that was taken is asked about, at one service first, then at the
 * others. Nothing of this is stored: after a restart, too, the open statuses of the pools say what is to be done.
 */
export class Tracker {
  readonly #options: TrackerOptions
  readonly #asked = new Map<string, Asked>()
  readonly #stopped = new AbortController()
  readonly #wake = new Wake()
  #running: Promise<unknown> = Promise.resolve()
  /** transactions that were sent ten minutes ago, and that the network has not seen, at the last look */
  unseen = 0

  static start(options: TrackerOptions): Tracker {
    const tracker = new Tracker(options)
    const streams = options.services.filter((service) => service.events).map((service) => tracker.#listen(service))
    tracker.#running = Promise.all([tracker.#run(), ...streams])
    return tracker
  }

  private constructor(options: TrackerOptions) {
    this.#options = options
  }

  /** Looks at once. */
  look(): void {
    this.#wake.wake()
  }

  async #run(): Promise<void> {
    const { clock, lookMs, report } = this.#options
    while (!this.#stopped.signal.aborted) {
      await this.#lookOnce().catch((error) => report({ kind: 'retrying', pool: '', step: 'asking about transactions', error }))
      if (!this.#stopped.signal.aborted) await this.#wake.sleep(clock, lookMs)
    }
  }

  async #lookOnce(): Promise<void> {
    const { stores, owns, clock } = this.#options
    const open = new Set<string>()
    const questions: (() => Promise<void>)[] = []
    let unseen = 0
    for (const pool of await stores.control.list()) {
      if (pool.kind === 'peer' || !pool.hasStatuses || owns?.(pool.path) === false) continue
      for await (const kept of allStatuses((after) => stores.statuses.open(pool.path, after))) {
        const key = `${pool.path} ${kept.txid}`
        open.add(key)
        if (this.#isDue(key, kept)) questions.push(() => this.#askAbout(pool, kept, key))
        if (kept.status === 'sent' && clock.elapsed() - this.#asked.get(key)!.since >= UNSEEN_MS) unseen++
      }
    }
    this.unseen = unseen
    for (const key of this.#asked.keys()) if (!open.has(key)) this.#asked.delete(key)
    const next = async () => {
      for (let ask = questions.shift(); ask && !this.#stopped.signal.aborted; ask = questions.shift()) await ask()
    }
    await Promise.all(Array.from({ length: WIDTH }, next))
  }

  #isDue(key: string, kept: KeptStatus): boolean {
    const { clock, askMs, knowsChain } = this.#options
    const asked = this.#asked.get(key)
    if (asked?.seq === kept.seq) return asked.due <= clock.elapsed()
    const first = knowsChain && kept.status !== 'local' && kept.status !== 'double-spent' ? Math.max(askMs, CHAIN_FIRST_MS) : askMs
    this.#asked.set(key, { due: clock.elapsed() + first, tries: 0, seq: kept.seq, since: clock.elapsed() })
    return false
  }

  async #askAbout({ path }: PoolControl, kept: KeptStatus, key: string): Promise<void> {
    const { broadcaster, services, clock, askMs, report } = this.#options
    const asked = this.#asked.get(key)!
    const tries = ++asked.tries
    const most = kept.status === 'local' && tries < SOON_TRIES ? SOON_MS : ASK_MOST_MS
    asked.due = clock.elapsed() + backoff(tries, askMs, most)
    if (!services.length) return
    try {
      if (kept.status === 'local') return await broadcaster.sendAgain(path, kept)
      const service = services[Math.floor(tries / STANDS_STILL) % services.length]!
      const word = await broadcaster.ask(path, kept, service)
      // The service does not have it, or refuses it for no final cause: it is sent again. The first answer may be too early to tell.
      const isLost = word.says === 'unknown' || word.says === 'local' || (word.says === 'rejected' && !word.final)
      if (isLost && tries > 1 && isOpen(kept) && kept.status !== 'mined') await broadcaster.sendAgain(path, kept)
    } catch (error) {
      const retryAfterMs = error instanceof OverpoolError ? (error.retryAfterS ?? 0) * 1_000 : 0
      asked.due = Math.max(asked.due, clock.elapsed() + Math.min(retryAfterMs, ASK_MOST_MS))
      report({ kind: 'retrying', pool: path, step: `asking about ${kept.txid}`, error })
    }
  }

  /** Reads the event stream of a service, and begins it anew where it ended. */
  async #listen(service: Service): Promise<void> {
    const { broadcaster, report, clock } = this.#options
    const failed = (error: unknown) => report({ kind: 'retrying', pool: '', step: `hearing ${service.name}`, error })
    let lastEventId: string | undefined
    const { signal } = this.#stopped
    while (!signal.aborted) {
      try {
        for await (const { id, word, gap } of service.events!({ lastEventId, signal, report: failed })) {
          if (word) await broadcaster.hear(word, service.name)
          if (gap) {
            for (const asked of this.#asked.values()) asked.due = 0
            this.look()
          }
          lastEventId = id ?? lastEventId // only once its word is recorded: after a failure the event comes again
        }
      } catch (error) {
        if (!signal.aborted) failed(error)
      }
      if (!signal.aborted) await clock.sleep(1_000, signal)
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#wake.wake()
    await this.#running
  }
}
