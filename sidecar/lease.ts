import type { Clock } from '../shared/clock.ts'
import type { Mirror } from '../shared/mirror/port.ts'

/** A lease that is not renewed is another's after this time, ms: so long nobody works after a task has died without a word. */
const LEASE_MS = 20_000
/** It is renewed so often; asked for so often while another has it, or when nobody has answered, ms. */
const RENEW_MS = 5_000
const ASK_MS = 1_000
/** It counts as lost so long before it ends, ms: what is under way can be finished before another has it, whose clock may not be ours. */
export const GRACE_MS = 5_000

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
  /** resolves when it is lost: another has it, or it could not be renewed in time, and is to be another's in `GRACE_MS` */
  readonly lost: Promise<void>
  readonly #options: LeaseOptions
  readonly #released = new AbortController()
  #asking: Promise<unknown> = Promise.resolve()

  /** Waits until the lease is ours; undefined if it was given up before. */
  static async take(options: LeaseOptions, signal: AbortSignal): Promise<Lease | undefined> {
    const { clock } = options
    while (!signal.aborted) {
      const asked = clock.now()
      const taken = await ask(options)
      if (taken) return new Lease(options, asked)
      await clock.sleep(ASK_MS, signal)
    }
    return undefined
  }

  private constructor(options: LeaseOptions, asked: number) {
    this.#options = options
    this.lost = this.#renew(asked + LEASE_MS - GRACE_MS)
  }

  async #renew(ends: number): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#released
    for (let waitMs = RENEW_MS; ; ) {
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
      if (renewed) ends = asked + LEASE_MS - GRACE_MS
      waitMs = renewed ? RENEW_MS : ASK_MS
    }
  }

  /** Gives it back: who waits for it has it within a second. */
  async release(): Promise<void> {
    const { mirror, shard, owner } = this.#options
    this.#released.abort()
    await this.#asking // or it would take it again
    await mirror.releaseLease(shard, owner)
  }
}

/** Asks for it, or for more time; undefined if nobody knows, which is no yes. */
async function ask({ mirror, shard, owner, report }: LeaseOptions): Promise<boolean | undefined> {
  try {
    return await mirror.takeLease(shard, owner, LEASE_MS)
  } catch (error) {
    report(error)
    return undefined
  }
}
