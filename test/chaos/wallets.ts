import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import { payment, type TestMachine, until } from '../machine/machine.ts'
import { random } from '../random.ts'

/** Of ten payments one begins a loop of so many steps, which go into the next pool. */
const STEPS = 3
const LOOP_EACH = 10
/** A share of the posts are payments from before, as of wallets that have not heard. */
const AGAIN = 0.2

export interface Pace {
  /** how many post side by side (default 4) */
  together?: number
  /** a wallet takes so long between its posts, ms (default 0) */
  pauseMs?: number
}

export interface WalletsOptions extends Pace {
  pools: string[]
  /** statuses that say: not now. Of four wallets that hear one three send their payment again, until it is acknowledged */
  refusals?: number[]
}

/** Wallets that post through a machine's door, and hold it to what it has acknowledged. */
export class Wallets {
  /** posts that were refused, and those that nobody has answered */
  refused = 0
  unheard = 0
  readonly #machine: TestMachine
  readonly #options: WalletsOptions
  readonly #acknowledged = new Map<number, string>()
  #posted = 0

  constructor(machine: TestMachine, options: WalletsOptions) {
    this.#machine = machine
    this.#options = options
  }

  /** Payments that were acknowledged. */
  get acknowledged(): number {
    return this.#acknowledged.size
  }

  /** They post from now on. Resolves, when they are told that it is over, as soon as each has its last answer. */
  start(): () => Promise<void> {
    let over = false
    const { together = 4 } = this.#options
    const wallets = Promise.all(Array.from({ length: together }, () => this.#run(() => over)))
    wallets.catch(() => {}) // it is thrown when they end
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

  async #post(number: number): Promise<'acknowledged' | 'refused' | 'unheard'> {
    const { refusals = [] } = this.#options
    const { pool, next, text, isLoop } = this.#paymentOf(number)
    const sent = payment(text, isLoop ? { loop: { pool: next, left: STEPS, text } } : undefined)
    const ack = await this.#machine.post(pool, sent).catch(() => undefined) // the machine has died, or what stands before it answers for it
    if (!ack) {
      this.unheard++
      return 'unheard'
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

  /** What the ledger may hold of a payment, and holds if it holds the payment. */
  #consequencesOf(number: number): string[] {
    const { pool, next, text, isLoop } = this.#paymentOf(number)
    const steps = Array.from({ length: isLoop ? STEPS : 0 }, (_, left) => lineOf(next, payment(`${text} ${left}`)))
    return [lineOf(pool, payment(text)), ...steps]
  }

  /** Entries that the machine has to have for all that was acknowledged. */
  get owed(): number {
    return [...this.#acknowledged.keys()].reduce((sum, number) => sum + this.#consequencesOf(number).length, 0)
  }

  /** Entries for which the handler has run to its end. */
  get handled(): number {
    return this.#options.pools.reduce((sum, pool) => sum + new Set(this.#machine.ended(pool)).size, 0)
  }

  /** Resolves when nothing is left to be done: no post waits, and the handler has come to the end of each pool. */
  async settled(ms = 60_000): Promise<void> {
    const machine = this.#machine
    const lengths = () => Promise.all(this.#options.pools.map((pool) => machine.call('length', pool)))
    await until(
      async () => {
        const before = await lengths()
        const cursors = await Promise.all(this.#options.pools.map((pool) => machine.call('cursor', pool)))
        const behind = before.map((length, i) => length - 1 - cursors[i]!.seq)
        const { waiting, inFlight } = await machine.call('ingress') // what those entries have led to
        const after = await lengths()
        return { behind, waiting, inFlight, grew: after.map((length, i) => length - before[i]!) }
      },
      ({ behind, waiting, inFlight, grew }) => [...behind, waiting, inFlight, ...grew].every((count) => count === 0),
      ms,
    )
  }

  /**
   * The ledger holds all that was acknowledged, each once, and every step of the loops that this began, once; it holds nothing that was not posted; and the handler
   * ran for each entry, in order.
   * @returns how many entries that is
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
    expect(lost, 'acknowledged, and lost').toEqual([])
    for (let number = 0; number < this.#posted; number++) {
      const consequences = this.#consequencesOf(number)
      const there = consequences.filter((line) => held.delete(line)).length
      expect([0, consequences.length], `entries of payment ${number}`).toContain(there)
    }
    expect([...held], 'in the ledger, and never posted').toEqual([])
    return ledger.length
  }
}

function lineOf(pool: string, { transaction }: { transaction: string }): string {
  return `${pool} ${transaction}`
}
