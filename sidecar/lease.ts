import type { Clock } from '../shared/clock.ts'
import type { Mirror } from '../shared/mirror/port.ts'

/** A lease that is not renewed is another's after this time, ms: so long nobody works after a task has died without a word. */
const LEASE_MS = 20_000
/** It is renewed so often, and asked for so often while another has it, ms. */
const RENEW_MS = 5_000
const ASK_MS = 1_000

export interface LeaseOptions {
  mirror: Pick<Mirror, 'takeLease' | 'releaseLease'>
  clock: Clock
  shard: string
  /** names this process among all that ever ask */
  owner: string
  /** a renewal that failed: it is tried again */
  report: (error: unknown) => void
}

/**
 * The right to work on a shard. It keeps two sidecars from doing the same work, during a deployment above all; that they cannot do harm if both believe that
 * they have it is the condition on blocks (Promise 1).
 */
export class Lease {
  /** resolves when it is lost: another has it, or it could not be renewed in time */
  readonly lost: Promise<void>
  readonly #options: LeaseOptions
  readonly #released = new AbortController()

  /** Waits until the lease is ours; undefined if it was given up before. */
  static async take(options: LeaseOptions, signal: AbortSignal): Promise<Lease | undefined> {
    const { mirror, clock, shard, owner, report } = options
    while (!signal.aborted) {
      const asked = clock.now()
      const taken = await mirror.takeLease(shard, owner, LEASE_MS).catch(report)
      if (taken) return new Lease(options, asked)
      await clock.sleep(ASK_MS, signal)
    }
    return undefined
  }

  private constructor(options: LeaseOptions, asked: number) {
    this.#options = options
    this.lost = this.#renew(asked + LEASE_MS)
  }

  async #renew(ends: number): Promise<void> {
    const { mirror, clock, shard, owner, report } = this.#options
    const { signal } = this.#released
    while (true) {
      await clock.sleep(RENEW_MS, signal)
      if (signal.aborted) return new Promise(() => {}) // given back, not lost
      const asked = clock.now()
      const late = new AbortController()
      const renewed = await Promise.race([
        mirror.takeLease(shard, owner, LEASE_MS).catch(report),
        clock.sleep(ends - asked, late.signal).then(() => false),
      ])
      late.abort()
      if (renewed) ends = asked + LEASE_MS
      else if (renewed === false || clock.now() >= ends) return
    }
  }

  /** Gives it back: who waits for it has it within a second. */
  async release(): Promise<void> {
    const { mirror, shard, owner } = this.#options
    this.#released.abort()
    await mirror.releaseLease(shard, owner)
  }
}
