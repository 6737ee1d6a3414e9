import { hash } from 'node:crypto'
import { shardOfChainPool } from '../ledger/pool.ts'
import type { Ingress, Outgoing } from './port.ts'

/** The shard of a pool: it decides the ingress queue of its posts and the sidecar that writes it. */
export function shardOf(path: string, shards: number): number {
  return (shardOfChainPool(path) ?? Number.parseInt(hash('sha256', path).slice(0, 8), 16)) % shards
}

/** The ingress queues of all shards as one: a post goes to that of its pool, which is its group. */
export class ShardedIngress implements Ingress {
  readonly #queues: Ingress[]

  /** @param queues in the order of their shards */
  constructor(queues: Ingress[]) {
    this.#queues = queues
  }

  get shards(): number {
    return this.#queues.length
  }

  async send(messages: Outgoing[]): Promise<void> {
    const byShard = Map.groupBy(messages, ({ group = '' }) => shardOf(group, this.#queues.length))
    await Promise.all([...byShard].map(([shard, some]) => this.#queues[shard]!.send(some)))
  }

  /** Fails if no shard takes posts. */
  async check(): Promise<void> {
    const checks = await Promise.allSettled(this.#queues.map((queue) => queue.check()))
    const failed = checks.filter((check) => check.status === 'rejected')
    if (failed.length === checks.length) throw failed[0]?.reason
  }

  async depth(): Promise<{ waiting: number; inFlight: number }> {
    const depths = await Promise.all(this.#queues.map((queue) => queue.depth()))
    const sum = (of: 'waiting' | 'inFlight') => depths.reduce((total, depth) => total + depth[of], 0)
    return { waiting: sum('waiting'), inFlight: sum('inFlight') }
  }
}
