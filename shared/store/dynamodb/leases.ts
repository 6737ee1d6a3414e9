import type { Clock } from '../../clock.ts'
import { type Leases, OthersLeases } from '../leases.ts'
import { PARTITION } from './partitions.ts'
import { attributesOf, type Key, number, type Table, text, valuesOf } from './table.ts'

const leaseIsFreeOrOurs = 'attribute_not_exists(pk) OR #owner = :owner'
/** Or ours: the answer to an earlier attempt may have been lost. */
const leaseStandsUnchanged = '(#owner = :heldBy AND #until = :heldUntil) OR #owner = :owner'
const leaseIsOurs = '#owner = :owner'

/** Leases as items of `lease#<shard>`. */
export class DynamoLeases implements Leases {
  readonly #table: Table
  readonly #clock: Clock
  readonly #others: OthersLeases

  constructor(table: Table, clock: Clock) {
    this.#table = table
    this.#clock = clock
    this.#others = new OthersLeases(clock.elapsed)
  }

  async take(shard: string, owner: string, ms: number): Promise<boolean> {
    const key = leaseKey(shard)
    const lease = attributesOf({ owner, until: this.#clock.now() + ms })
    if (await this.#table.update(key, lease, leaseIsFreeOrOurs)) return true
    const item = await this.#table.get(key)
    if (!item) return false // it was released just now: the next try gets it
    const stands = valuesOf(item) as { owner: string; until: number }
    if (!this.#others.hasStood(shard, stands, ms)) return false
    return this.#table.update(key, lease, leaseStandsUnchanged, { ':heldBy': text(stands.owner), ':heldUntil': number(stands.until) })
  }

  async release(shard: string, owner: string): Promise<void> {
    await this.#table.delete(leaseKey(shard), leaseIsOurs, attributesOf({ owner }))
  }
}

function leaseKey(shard: string): Key {
  return { pk: text(PARTITION.lease + shard), sk: text('lease') }
}
