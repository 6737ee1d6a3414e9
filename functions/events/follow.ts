import { atMost, type Clock } from '../../shared/clock.ts'
import type { Limits } from '../../shared/config/config.ts'
import { type EventsSetting, type FollowDecision, hasEvents } from '../../shared/config/events.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { HANDLED_KINDS, KINDS } from '../../shared/ledger/kinds.ts'
import { isUint } from '../../shared/ledger/values.ts'
import { codeContext } from '../../shared/machine/context.ts'
import { type DoorAnswer, type DoorRequest, EVENT_HEADERS, type Sink } from '../payments/http.ts'
import type { Quotas } from '../payments/quotas.ts'
import type { EncodedBlock, Wanted } from './encoded.ts'
import type { Feed, Feeds } from './feed.ts'
import type { Followers } from './followers.ts'
import type { View } from './view.ts'

/** A browser that has lost its connection comes again after this time, ms. */
const AGAIN_MS = 1_000
/** A follower who does not read what was sent is let go after this time, ms. It comes again, and goes on where it was. */
const STALLED_MS = 20_000
/** A function of the config has this time to decide, ms. */
const DECIDES_MS = 10_000
/** Only who sees the whole sees a `commit`: it may hold transactions that are not broadcast yet. */
const WHOLE_KINDS = [...KINDS, 'unknown']

/** A pool that somebody wants to follow. */
export interface FollowedPool {
  path: string
  events?: EventsSetting | undefined
  origins?: string[] | undefined
  /** false: nobody is limited */
  limits?: Limits | false | undefined
}

export interface FollowDeps {
  pool: (path: string) => FollowedPool | undefined
  feeds: Feeds
  followers: Followers
  quotas: Quotas
  clock: Clock
  /** the longest life of a stream, ms: then the follower comes again */
  lifeMs?: number
  /** called with an error that code of a pool's `events` threw where nobody could catch it */
  threwLate: (path: string, error: unknown) => void
  /** called when a stream broke off for a fault of ours */
  log: (error: unknown) => void
}

/**
 * Answers `GET /{pool}/events`: the entries of a pool as server-sent events, from the newest on or from where the follower was, as long as it stays. The id of each event is its
 * sequence number.
 * @throws OverpoolError POOL_NOT_FOUND: nobody may follow this pool; FOLLOWING_REFUSED, ORIGIN_REFUSED, BAD_REQUEST, QUOTA_EXCEEDED, OVERLOADED, UNAVAILABLE
 */
export async function answerFollower(request: DoorRequest, path: string, deps: FollowDeps): Promise<DoorAnswer> {
  const { method, header, address = '' } = request
  const pool = deps.pool(path)
  if (!pool || !hasEvents(pool.events))
    throw new OverpoolError(
      'POOL_NOT_FOUND',
      'no pool of this name can be followed here: `events: true` in the settings of a pool lets everybody follow it',
    )
  if (method !== 'GET') throw new OverpoolError('METHOD_NOT_ALLOWED', 'the events of a pool are read with a GET')
  const isLimited = pool.limits !== false
  deps.quotas.spend({ path: `the events of ${path}`, ...(!isLimited && { limits: false }) }, address, 1, 0)
  const origin = header('origin')
  if (origin !== undefined && pool.origins && !pool.origins.includes(origin))
    throw new OverpoolError('ORIGIN_REFUSED', 'this web page may not follow this pool: its origin is not in the setting `origins`')
  const query = new URLSearchParams(request.query ?? '')
  const view = viewOf(await decisionOf(pool, request, query, deps))
  const wanted: Wanted = { view, kinds: kindsIn(query.get('kinds'), view), txid: txidIn(query.get('txid')) }
  const after = afterIn(header('last-event-id') ?? query.get('after'))
  const leave = deps.followers.enter(address, isLimited)
  try {
    const feed = await deps.feeds.enter(path)
    const left = () => {
      deps.feeds.leave(feed)
      leave()
    }
    try {
      const from = await startOf(feed, after)
      return { status: 200, headers: EVENT_HEADERS, stream: (sink) => new Follower(feed, wanted, from, sink, deps).run().finally(left) }
    } catch (error) {
      deps.feeds.leave(feed)
      throw error
    }
  } catch (error) {
    leave()
    throw error
  }
}

/** The sequence number to begin with. */
async function startOf(feed: Feed, after: number | undefined): Promise<number> {
  const { path, prunedBefore } = feed.pool
  if (after === undefined) return feed.entries
  // The feed reads a block a moment after it is written, and a handler may have told the client of it already.
  const entries = after < feed.entries ? feed.entries : await feed.length()
  if (after >= entries)
    throw new OverpoolError(
      'BAD_REQUEST',
      `"${path}" has ${entries} entries, so it cannot go on after number ${after}. It may have been restored from an older backup: begin anew, without \`after\``,
    )
  return Math.max(after + 1, prunedBefore)
}

async function decisionOf(
  { path, events }: FollowedPool,
  { header, address }: DoorRequest,
  query: URLSearchParams,
  { clock, threwLate }: FollowDeps,
): Promise<FollowDecision> {
  if (typeof events !== 'function') return events ?? false
  let decision: unknown
  const ask = async () => {
    decision = await events({ path, header: (name) => header(name.toLowerCase()), query, address })
  }
  const context = { name: `\`events\` of ${path}`, threwLate: (error: unknown) => threwLate(path, error) }
  try {
    await atMost(clock, DECIDES_MS, codeContext.run(context, ask))
  } catch (cause) {
    throw new OverpoolError('UNAVAILABLE', `\`events\` of "${path}" failed`, { cause, retryable: true })
  }
  if (decision === true || decision === false || decision === 'whole') return decision
  const said = decision === undefined ? `has not answered within ${DECIDES_MS / 1_000} s` : 'returned neither true, false nor "whole"'
  throw new OverpoolError('UNAVAILABLE', `\`events\` of "${path}" ${said}`, { retryable: true })
}

function viewOf(decision: FollowDecision): View {
  if (decision === false) throw new OverpoolError('FOLLOWING_REFUSED', 'this pool does not let you follow it')
  return decision === 'whole' ? 'whole' : 'public'
}

function kindsIn(given: string | null, view: View): readonly string[] {
  const known: readonly string[] = view === 'whole' ? WHOLE_KINDS : HANDLED_KINDS
  if (given === null) return ['tx']
  if (given === 'all') return known
  const asked = new Set(given.split(','))
  const kinds = known.filter((kind) => asked.has(kind))
  if (kinds.length === asked.size) return kinds
  throw new OverpoolError('BAD_REQUEST', `kinds is "all", or a list such as "tx,status" of ${known.join(', ')}`)
}

function txidIn(given: string | null): string | undefined {
  if (given === null) return undefined
  if (/^[0-9a-f]{64}$/i.test(given)) return given.toLowerCase()
  throw new OverpoolError('BAD_REQUEST', 'txid must be the id of a transaction, 64 hex characters')
}

function afterIn(given: string | null): number | undefined {
  if (given === null) return undefined
  const after = /^(-1|\d+)$/.test(given) ? Number(given) : Number.NaN
  if (after === -1 || isUint(after)) return after
  throw new OverpoolError(
    'BAD_REQUEST',
    'after is the number of the last entry that you have: 0, 1, 2 …, or -1 to begin with the first one',
  )
}

/** Sends a pool to one follower. Of what it has not read yet, one block waits for it at most. */
class Follower {
  readonly #feed: Feed
  readonly #wanted: Wanted
  readonly #sink: Sink
  readonly #deps: FollowDeps
  readonly #until: number
  /** the next entry that it gets */
  #from: number
  #isCut = false

  constructor(feed: Feed, wanted: Wanted, from: number, sink: Sink, deps: FollowDeps) {
    this.#feed = feed
    this.#wanted = wanted
    this.#from = from
    this.#sink = sink
    this.#deps = deps
    this.#until = deps.clock.elapsed() + (deps.lifeMs ?? Number.POSITIVE_INFINITY)
  }

  async run(): Promise<void> {
    try {
      // Its place comes first: a browser whose connection breaks before the first event goes on from here.
      this.#sink.write(Buffer.from(`retry: ${AGAIN_MS}\n${this.#place}`))
      await this.#send()
      if (!this.#isOver) this.#sink.write(Buffer.from(this.#place))
    } catch (error) {
      if (!this.#isOver) this.#deps.log(error)
    }
  }

  /** An id without an event: the browser notes it, and shows nothing. */
  get #place(): string {
    return `id: ${this.#from - 1}\n\n`
  }

  get #isOver(): boolean {
    return this.#isCut || this.#sink.gone.aborted
  }

  get #mayStay(): boolean {
    const { pool, feeds, clock } = this.#deps
    // The setting may have been taken back meanwhile.
    return !this.#isOver && !feeds.closing.aborted && clock.elapsed() < this.#until && hasEvents(pool(this.#feed.pool.path)?.events)
  }

  async #send(): Promise<void> {
    const feed = this.#feed
    let n = await feed.blockOf(this.#from)
    while (this.#mayStay) {
      const piece = await feed.piece(n, this.#wanted, this.#from)
      if (piece) {
        n++
        this.#from = Math.max(this.#from, piece.block.first + piece.block.count)
        if (piece.bytes.length && !this.#isOver && !this.#sink.write(piece.bytes)) await this.#drained(piece.block)
      } else {
        await this.#next(n)
      }
    }
  }

  /** Waits for the next block. A sign of life says how far it has come, so that it does not read again later what it has passed over. */
  async #next(n: number): Promise<void> {
    const left = this.#until - this.#deps.clock.elapsed()
    const moved = this.#feed.moved(n, this.#sink.gone)
    await (left === Number.POSITIVE_INFINITY ? moved : atMost(this.#deps.clock, left, moved))
    if (this.#mayStay && !this.#feed.hasBlock(n) && !this.#sink.write(Buffer.from(this.#place))) await this.#drained()
  }

  async #drained(block?: EncodedBlock): Promise<void> {
    const { followers } = this.#deps
    const release = block ? followers.hold(block, () => this.#cut()) : () => {}
    const isDrained = await this.#sink.drained(STALLED_MS)
    release()
    if (!isDrained) this.#cut()
  }

  #cut(): void {
    this.#isCut = true
    this.#sink.cut()
  }
}
