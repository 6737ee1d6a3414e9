import type { Clock } from '../shared/clock.ts'
import type { Stores } from '../shared/store/port.ts'

/** A lease that is not renewed is free after this time, ms. A task that begins after another has died without releasing it waits this long. */
export const LEASE_MS = 20_000
/** As parts of the lease time: how often it is renewed; how often it is asked for while another task holds it or the store does not answer. */
const RENEW = 1 / 4
const ASK = 1 / 20
/** It counts as lost when this part of the lease time is left: work under way finishes before another task gets it, even if clocks differ. */
const GRACE = 1 / 4

export interface LeaseOptions {
  stores: Pick<Stores, 'leases'>
  clock: Clock
  shard: string
  /** a name that no other process ever uses */
  owner: string
  /** how long it holds, ms */
  leaseMs: number
  /** a renewal that failed: it is tried again */
  report: (error: unknown) => void
}

/**
 * The right to work on a shard. It keeps two sidecars from doing the same work, above all during a deployment. If both believe that they hold it, the condition on
 * blocks keeps the ledger right (Promise 1).
 */
export class Lease {
  /** resolves when it is lost: another task holds it, or it was not renewed in time and another may get it in `graceMs` */
  readonly lost: Promise<void>
  readonly graceMs: number
  readonly #options: LeaseOptions
  readonly #released = new AbortController()
  #asking: Promise<unknown> = Promise.resolve()

  /** Waits until the lease is ours; undefined if the signal was aborted before. */
  static async acquire(options: LeaseOptions, signal: AbortSignal): Promise<Lease | undefined> {
    const { clock, leaseMs } = options
    while (!signal.aborted) {
      const asked = clock.elapsed()
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
      await clock.sleep(Math.max(0, Math.min(waitMs, ends - clock.elapsed())), signal)
      if (signal.aborted) return new Promise(() => {}) // released, not lost
      const asked = clock.elapsed()
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

  /** Releases it: a waiting task gets it at its next try. */
  async release(): Promise<void> {
    const { stores, shard, owner } = this.#options
    this.#released.abort()
    await this.#asking // a request under way would take it again
    await stores.leases.release(shard, owner)
  }
}

/** Asks for the lease, or for more time; undefined if there was no answer, which counts as no. */
async function ask({ stores, shard, owner, leaseMs, report }: LeaseOptions): Promise<boolean | undefined> {
  try {
    return await stores.leases.take(shard, owner, leaseMs)
  } catch (error) {
    report(error)
    return undefined
  }
}
