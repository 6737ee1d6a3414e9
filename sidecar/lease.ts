import type { Clock } from '../shared/clock.ts'
import type { Stores } from '../shared/store/port.ts'

/** A lease that is not renewed is another's after this time, ms: so long nobody works after a task has died without a word. */
export const LEASE_MS = 20_000
/** Parts of it: it is renewed so often; asked for so often while another has it, or when nobody has answered. */
const RENEW = 1 / 4
const ASK = 1 / 20
/** It counts as lost so long before it ends: what is under way can be finished before another has it, whose clock may not be ours. */
const GRACE = 1 / 4

export interface LeaseOptions {
  stores: Pick<Stores, 'leases'>
  clock: Clock
  shard: string
  /** names this process among all that ever ask */
  owner: string
  /** how long it holds, ms */
  leaseMs: number
  /** a renewal that failed: it is tried again */
  report: (error: unknown) => void
}

/**
 * The right to work on a shard. It keeps two sidecars from doing the same work, during a deployment above all; that they cannot do harm if both believe that
 * they have it is the condition on blocks (Promise 1).
 */
export class Lease {
  /** resolves when it is lost: another has it, or it could not be renewed in time, and is to be another's in `graceMs` */
  readonly lost: Promise<void>
  readonly graceMs: number
  readonly #options: LeaseOptions
  readonly #released = new AbortController()
  #asking: Promise<unknown> = Promise.resolve()

  /** Waits until the lease is ours; undefined if it was given up before. */
  static async acquire(options: LeaseOptions, signal: AbortSignal): Promise<Lease | undefined> {
    const { clock, leaseMs } = options
    while (!signal.aborted) {
      const asked = clock.now()
      const taken = await ask(options)
      if (taken) return new Lease(options, asked)
      await clock.sleep(leaseMs * ASK, signal)
    }
    return undefined
  }

  private constructor(options: LeaseOptions, asked: number) {
    this.#options = options
    this.graceMs = options.leaseMs * GRACE
    this.lost = this.#renew(asked + options.leaseMs - this.graceMs)
  }

  async #renew(ends: number): Promise<void> {
    const { clock, leaseMs } = this.#options
    const { signal } = this.#released
    for (let waitMs = leaseMs * RENEW; ; ) {
      await clock.sleep(Math.max(0, Math.min(waitMs, ends - clock.now())), signal)
      if (signal.aborted) return new Promise(() => {}) // given back, not lost
      const asked = clock.now()
      if (asked >= ends) return
      const late = new AbortController()
      const asking = ask(this.#options)
      this.#asking = asking
      const renewed = await Promise.race([asking, clock.sleep(ends - asked, late.signal).then(() => false)])
      late.abort()
      if (renewed === false) return
      if (renewed) ends = asked + leaseMs - this.graceMs
      waitMs = leaseMs * (renewed ? RENEW : ASK)
    }
  }

  /** Gives it back: who waits for it has it when it asks next. */
  async release(): Promise<void> {
    const { stores, shard, owner } = this.#options
    this.#released.abort()
    await this.#asking // or it would take it again
    await stores.leases.release(shard, owner)
  }
}

/** Asks for it, or for more time; undefined if nobody knows, which is no yes. */
async function ask({ stores, shard, owner, leaseMs, report }: LeaseOptions): Promise<boolean | undefined> {
  try {
    return await stores.leases.take(shard, owner, leaseMs)
  } catch (error) {
    report(error)
    return undefined
  }
}
