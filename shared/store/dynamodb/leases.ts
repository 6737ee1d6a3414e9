import type { Leases } from '../leases.ts'
import { PARTITION } from './partitions.ts'
import { attributesOf, type Key, number, type Table, text } from './table.ts'

const leaseIsFreeOrOurs = 'attribute_not_exists(pk) OR #owner = :owner OR #until <= :now'
const leaseIsOurs = '#owner = :owner'

/** Leases as items of `lease#<shard>`. */
export class DynamoLeases implements Leases {
  readonly #table: Table
  readonly #now: () => number

  constructor(table: Table, now: () => number) {
    this.#table = table
    this.#now = now
  }

  async take(shard: string, owner: string, ms: number): Promise<boolean> {
    const now = this.#now()
    return this.#table.update(leaseKey(shard), attributesOf({ owner, until: now + ms }), leaseIsFreeOrOurs, { ':now': number(now) })
  }

  async release(shard: string, owner: string): Promise<void> {
    await this.#table.delete(leaseKey(shard), leaseIsOurs, attributesOf({ owner }))
  }
}

function leaseKey(shard: string): Key {
  return { pk: text(PARTITION.lease + shard), sk: text('lease') }
}
