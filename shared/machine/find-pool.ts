import { OverpoolError } from '../errors.ts'
import type { Control, PoolControl } from '../store/control.ts'

/** An error names at most this many pools. */
const MAX_LISTED = 50

/** The control item of a pool, or POOL_NOT_FOUND with the names of the machine's pools. */
export async function findPool(control: Control, path: unknown): Promise<PoolControl> {
  const pool = typeof path === 'string' ? await control.read(path) : undefined
  if (pool) return pool
  const paths = (await control.list()).map((each) => each.path)
  const named = typeof path === 'string' ? `no pool named "${path.slice(0, 80)}"` : 'say which pool: { path: … }'
  throw new OverpoolError(
    'POOL_NOT_FOUND',
    `${named}; ${paths.length ? `this machine has: ${listed(paths)}` : 'this machine has none yet: make one with create({ path })'}`,
  )
}

function listed(names: string[]): string {
  const more = names.length - MAX_LISTED
  return names.slice(0, MAX_LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
