import type { PoolSettings } from '../../shared/config/config.ts'
import { withFilter } from './filters.ts'

// All scenarios run on one deployed machine, and each needs empty pools with settings of its own. So the machine has many pools of each kind.

/** How often the suite can run on one stack. */
const RUNS = 2

/** The settings that scenarios need, with the number of such pools in one run of the suite. */
const KINDS: [settings: Omit<PoolSettings, 'filter'> & { filter?: string }, pools: number][] = [
  [{}, 56],
  [{ maxAttempts: 2 }, 1],
  [{ maxAttempts: 2, onPoison: 'stop' }, 2],
  [{ timeoutMs: 300 }, 1],
  [{ maxHops: 5, maxAttempts: 1 }, 1],
  [{ maxHops: 0, maxAttempts: 1 }, 1],
  [{ unique: 'transaction' }, 2],
  [{ filter: 'no-memo' }, 1],
  [{ filter: 'only-data' }, 1],
]

const pools = KINDS.flatMap(([settings, count], kind) =>
  Array.from({ length: count * RUNS }, (_, i) => ({ name: `kind${kind}-${i}`, settings })),
)

/** The pools in the suite's config. */
export const stackPools: Record<string, PoolSettings> = Object.fromEntries(pools.map(({ name, settings }) => [name, withFilter(settings)]))

/** Names of pools with these settings. */
export function poolsOfKind(settings: object): string[] {
  const wanted = JSON.stringify(settings)
  const names = pools.filter((pool) => JSON.stringify(pool.settings) === wanted).map(({ name }) => name)
  if (!names.length) throw new Error(`no pool of the stack has the settings ${wanted}: add them to KINDS in test/machine/kinds.ts`)
  return names
}
