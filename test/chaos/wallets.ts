import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import { payment, type TestMachine, until } from '../machine/machine.ts'
import { random } from '../random.ts'

/** One of ten payments begins a loop of this many steps, which go into the next pool. */
const STEPS = 3
const LOOP_EACH = 10
/** The share of posts that repeat an earlier payment, as a wallet does after a time-out. */
const AGAIN = 0.2
/** The longest time in which nothing may move before all is done, ms. */
const STILL_MS = 60_000

export interface Pace {
  /** the number of wallets that post at once (default 4) */
  together?: number
  /** the pause of a wallet between its posts, ms (default 0) */
  pauseMs?: number
}

export interface WalletsOptions extends Pace {
  pools: string[]
  /** statuses that tell a wallet to retry. Three of four payments are then sent again until they are acknowledged */
  refusals?: number[]
}

/** Wallets that post through a machine's door, and check that it keeps what it acknowledged. */
export class Wallets {
  /** posts that were refused, and posts without an answer */
  refused = 0
  unanswered = 0
  readonly #machine: TestMachine
  readonly #options: WalletsOptions
  readonly #acknowledged = new Map<number, string>()
  #posted = 0

  constructor(machine: TestMachine, options: WalletsOptions) {
    this.#machine = machine
    this.#options = options
  }

  /** The number of acknowledged payments. */
  get acknowledged(): number {
    return this.#acknowledged.size
  }

  /** Starts the wallets. The returned function stops them, and resolves when each has its last answer. */
  start(): () => Promise<void> {
    let over = false
    const { together = 4 } = this.#options
    const wallets = Promise.all(Array.from({ length: together }, () => this.#run(() => over)))
    wallets.catch(() => {}) // the returned function throws it
    return async () => {
      over = true
      await wallets
    }
  }

  async #run(isOver: () => boolean): Promise<void> {
    const { pauseMs = 0 } = this.#options
    while (!isOver()) {
      const number = this.#posted && random() < AGAIN ? Math.floor(random() * this.#posted) : this.#posted++
      let answer = await this.#post(number)
      while (answer === 'refused' && number % 4 && !isOver()) answer = await this.#post(number)
      if (pauseMs) await wait(pauseMs)
    }
  }

  async #post(number: number): Promise<'acknowledged' | 'refused' | 'unanswered'> {
    const { refusals = [] } = this.#options
    const { pool, next, text, isLoop } = this.#paymentOf(number)
    const sent = payment(text, isLoop ? { loop: { pool: next, left: STEPS, text } } : undefined)
    const ack = await this.#machine.post(pool, sent).catch(() => undefined) // the machine has died, or a server before it answers in its place
    if (!ack) {
      this.unanswered++
      return 'unanswered'
    }
    if (refusals.includes(ack.status)) {
      this.refused++
      return 'refused'
    }
    expect(ack.status, JSON.stringify(ack.body)).toBe(200)
    this.#acknowledged.set(number, lineOf(pool, sent))
    return 'acknowledged'
  }

  #paymentOf(number: number): { pool: string; next: string; text: string; isLoop: boolean } {
    const { pools } = this.#options
    const [pool, next] = [pools[number % pools.length]!, pools[(number + 1) % pools.length]!]
    return { pool, next, text: `payment ${number}`, isLoop: number % LOOP_EACH === 0 }
  }

  /** The entries of a payment: the ledger has either all of them or none. */
  #consequencesOf(number: number): string[] {
    const { pool, next, text, isLoop } = this.#paymentOf(number)
    const steps = Array.from({ length: isLoop ? STEPS : 0 }, (_, left) => lineOf(next, payment(`${text} ${left}`)))
    return [lineOf(pool, payment(text)), ...steps]
  }

  /** The number of entries that the acknowledged payments make. */
  get owed(): number {
    return [...this.#acknowledged.keys()].reduce((sum, number) => sum + this.#consequencesOf(number).length, 0)
  }

  /** The number of entries for which the handler has finished. */
  get handled(): number {
    return this.#options.pools.reduce((sum, pool) => sum + new Set(this.#machine.ended(pool)).size, 0)
  }

  /** Resolves when no post waits and the handler has come to the end of each pool. Fails when nothing moves for `STILL_MS`: a slow computer may take its time. */
  async settled(): Promise<void> {
    let last = ''
    let movedAt = performance.now()
    while (true) {
      const left = await this.#left()
      if (
        Object.values(left)
          .flat()
          .every((count) => count === 0)
      )
        return
      const now = JSON.stringify(left)
      if (now !== last) movedAt = performance.now()
      else if (performance.now() - movedAt > STILL_MS) throw new Error(`nothing has moved for ${STILL_MS} ms: ${now}`)
      last = now
      await wait(5)
    }
  }

  /** What is left to do, per pool: entries before the handler's end, and how many came while it was read; and posts in the queue, such as those of loops. */
  async #left(): Promise<{ behind: number[]; waiting: number; inFlight: number; grew: number[] }> {
    const machine = this.#machine
    const lengths = () => Promise.all(this.#options.pools.map((pool) => machine.call('length', pool)))
    const before = await lengths()
    const cursors = await Promise.all(this.#options.pools.map((pool) => machine.call('cursor', pool)))
    const behind = before.map((length, i) => length - 1 - cursors[i]!.seq)
    const { waiting, inFlight } = await machine.call('ingress')
    const after = await lengths()
    return { behind, waiting, inFlight, grew: after.map((length, i) => length - before[i]!) }
  }

  /**
   * Expects that the ledger holds each acknowledged payment and each step of its loop once, and nothing that was not posted, and that the handler ran for each
   * entry in order.
   * @returns the number of entries
   */
  async isAllThere(): Promise<number> {
    const ledger: string[] = []
    for (const pool of this.#options.pools) {
      const events = await this.#machine.call('read', { path: pool })
      expect(new Set(events.map(({ id }) => id)).size, `ids in ${pool}`).toBe(events.length)
      ledger.push(...events.map((event) => lineOf(pool, event.payment)))
      const ran = await until(
        () => this.#machine.ended(pool),
        (seqs) => new Set(seqs).size >= events.length,
      )
      const all = Array.from({ length: events.length }, (_, seq) => seq)
      expect([...new Set(ran)], `first runs of the handler in ${pool}`).toEqual(all)
    }
    const held = new Set(ledger)
    expect(held.size, 'each payment and each step of a loop is in the ledger once').toBe(ledger.length)
    const lost = [...this.#acknowledged.values()].filter((line) => !held.has(line))
    expect(lost, 'acknowledged, but not in the ledger').toEqual([])
    for (let number = 0; number < this.#posted; number++) {
      const consequences = this.#consequencesOf(number)
      const found = consequences.filter((line) => held.delete(line)).length
      expect([0, consequences.length], `entries of payment ${number}`).toContain(found)
    }
    expect([...held], 'in the ledger, but never posted').toEqual([])
    return ledger.length
  }
}

function lineOf(pool: string, { transaction }: { transaction: string }): string {
  return `${pool} ${transaction}`
}
