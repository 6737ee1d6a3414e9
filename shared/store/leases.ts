/** Who works on a shard: one at a time. */
export interface Leases {
  /**
   * Takes the lease, or renews it, for `ms`; false while another owner holds it. A lease of another owner is free when it has stood unchanged for `ms` since this store first
   * saw it: that is measured here, so the clocks of two computers need not agree, and any of them may be set.
   */
  take(shard: string, owner: string, ms: number): Promise<boolean>
  release(shard: string, owner: string): Promise<void>
}

/** A lease as it is stored. `until`, ms since 1970, tells one renewal from the next; nothing is decided by it. */
export interface StoredLease {
  owner: string
  until: number
}

/** The leases that others hold, and since when they stand unchanged. */
export class OthersLeases {
  readonly #elapsed: () => number
  readonly #seen = new Map<string, StoredLease & { since: number }>()

  constructor(elapsed: () => number) {
    this.#elapsed = elapsed
  }

  /** Whether this lease has stood unchanged for `ms`. */
  hasStood(shard: string, { owner, until }: StoredLease, ms: number): boolean {
    const now = this.#elapsed()
    const seen = this.#seen.get(shard)
    if (seen?.owner === owner && seen.until === until) return now - seen.since >= ms
    this.#seen.set(shard, { owner, until, since: now })
    return false
  }
}
