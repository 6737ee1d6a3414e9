import type { TxEvent } from '../../shared/ledger/event.ts'
import type { LedgerPools } from '../../shared/machine/pools.ts'
import type { HandlerState } from '../../shared/state/handler-state.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import type { Process, Scheduler } from './scheduler.ts'

/** Longer than the time after which a runner writes its cursor: a slow handler makes progress only because the runner writes it between entries. */
const SLOW_MS = 4_000
/** The number of steps of a loop. */
const MAX_HOPS = 2

/** What a payment asks of the handler, as JSON in its memo. */
export interface Wish {
  /** makes payments different */
  n: number
  /** post one follow-up into this pool */
  loop?: string
  /** it awaits the post, does not await it, gives it an id, or posts another transaction at each run */
  how?: 'await' | 'forget' | 'name' | 'fickle'
  /** at every run, throw before or after the post, or kill the process */
  poison?: 'before' | 'after' | 'kill'
  slow?: boolean
  /** return no promise if there is nothing to post */
  sync?: boolean
}

export interface HandlerOptions {
  scheduler: Scheduler
  /** ends the handler's own process */
  dieWith: (process: Process) => void
  /** called at each first run */
  beginning: (handler: string, pool: string, seq: number) => void
}

/** The user's handlers, which do what the payment's memo asks, and records of their runs. */
export class Handlers {
  /** runs that began, in order, and runs that ended; as `handler pool seq` */
  readonly begun: string[] = []
  readonly ended = new Set<string>()
  /** entries whose handler did not notice that its post failed; as `pool seq` */
  readonly #failedPosts = new Set<string>()
  readonly #options: HandlerOptions

  constructor(options: HandlerOptions) {
    this.#options = options
  }

  /** How often a handler was called with an entry. */
  runs(handler: string, path: string, seq: number): number {
    return this.begun.filter((run) => run === `${handler} ${path} ${seq}`).length
  }

  /** `onTx` of a handler in this process. */
  handle(handler: string, event: TxEvent, pools: LedgerPools, state: HandlerState, process: Process): unknown {
    const { scheduler, beginning } = this.#options
    const run = `${handler} ${event.path} ${event.seq}`
    const wish = wishOf(event.payment)
    if (!this.begun.includes(run)) beginning(handler, event.path, event.seq)
    this.begun.push(run)
    const end = () => void this.ended.add(run)
    const posts = handler === 'main' && isFollowed(wish, event.hops)
    if (wish.sync && !posts && !wish.slow && wish.poison !== 'kill') {
      if (remembers(wish)) countIn(state, event.seq).catch(() => {}) // not awaited, and counts all the same
      if (wish.poison || scheduler.fault(0.1)) throw new Error('the handler fails')
      return end()
    }
    return this.#run(event, wish, posts, pools, state, process).then(end)
  }

  async #run(event: TxEvent, wish: Wish, posts: boolean, pools: LedgerPools, state: HandlerState, process: Process): Promise<void> {
    const { scheduler, dieWith } = this.#options
    if (remembers(wish)) await countIn(state, event.seq)
    if (wish.slow) await process.clock.sleep(SLOW_MS)
    if (wish.poison === 'before' || scheduler.fault(0.05)) throw new Error('the handler fails')
    if (posts) await this.#post(event, wish, pools)
    if (wish.poison === 'after' || scheduler.fault(0.05)) throw new Error('the handler fails after its post')
    if (wish.poison === 'kill' || scheduler.fault(0.02)) dieWith(process)
    if (process.dead || scheduler.fault(0.02)) await new Promise(() => {})
  }

  async #post({ key, path, seq }: TxEvent, wish: Wish, pools: LedgerPools): Promise<void> {
    const text = `${key.slice(0, 8)} ${seq} ${wish.how === 'fickle' ? this.#options.scheduler.below(1_000) : ''}`
    const payment = paymentOf(text, { ...wish, poison: undefined })
    const posting = pools.post({ path: wish.loop!, payment, id: wish.how === 'name' ? text : undefined })
    if (wish.how === 'forget') posting.catch(() => this.#failedPosts.add(`${path} ${seq}`))
    else await posting
  }

  /** The least and the most entries that must follow this one, which can be a dead letter. */
  followers(path: string, seq: number, entry: { hops: number; payment: { memo?: string } }, isDead: boolean): [number, number] {
    const wish = wishOf(entry.payment)
    if (!isFollowed(wish, entry.hops)) return [0, 0]
    // A handler that did not await its post may have ended after its attempt had timed out, and then no later attempt repeated the post.
    const isSure = this.ended.has(`main ${path} ${seq}`) && !this.#failedPosts.has(`${path} ${seq}`) && !(wish.how === 'forget' && isDead)
    return [isSure ? 1 : 0, 1]
  }
}

export function paymentOf(text: string, wish: Wish): { transaction: string; memo: string } {
  return { transaction: sampleTransaction(text), memo: JSON.stringify(wish) }
}

function wishOf({ memo }: { memo?: string }): Wish {
  return JSON.parse(memo!) as Wish
}

/** Whether the handler counts this entry in its state. */
export function isCounted({ payment }: { payment: { memo?: string } }): boolean {
  return remembers(wishOf(payment))
}

function remembers({ n }: Wish): boolean {
  return n % 3 > 0
}

/** Counts an entry, and all entries. */
async function countIn(state: HandlerState, seq: number): Promise<void> {
  for (const key of [`entry ${seq}`, 'entries']) await state.update(key, (count) => ((count as number | undefined) ?? 0) + 1)
}

function isFollowed({ loop }: Wish, hops: number): boolean {
  return loop !== undefined && hops < MAX_HOPS
}
