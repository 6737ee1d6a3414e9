/** Who works on a shard: one at a time. */
export interface Leases {
  /** Takes the lease, or renews it, for `ms`; false while another owner holds it. */
  take(shard: string, owner: string, ms: number): Promise<boolean>
  release(shard: string, owner: string): Promise<void>
}
