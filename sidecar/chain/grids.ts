import { ChainFilter, type FilterConfig, joined, type Watch } from '../../shared/chain/filter.ts'
import type { GridSettings } from '../../shared/config/bitcoin.ts'
import type { KeptGrid, PoolControl } from '../../shared/store/control.ts'
import type { ScannedTransaction } from '../../shared/transaction/index.ts'

/** Which transactions are wanted. */
export interface Wanted {
  /** compiled */
  filter: ChainFilter
  /** as the config or `pool.watch` says it */
  asked: FilterConfig
}

/** A pool whose entries come from the chain. */
export interface Grid {
  path: string
  from: number | 'now'
  mempool: boolean
  /** undefined: every transaction */
  wanted?: Wanted
}

/** A function of the user's in the filter of a pool has thrown. */
export class FilterFailed extends Error {
  readonly path: string

  constructor(path: string, cause: unknown) {
    super(`the filter of "${path}" failed`, { cause })
    this.path = path
  }
}

/** Whether a pool wants a transaction. @throws FilterFailed */
export function wants({ path, wanted }: { path: string; wanted?: Wanted | undefined }, scanned: ScannedTransaction): boolean {
  try {
    return wanted?.filter.matches(scanned) ?? false
  } catch (error) {
    throw new FilterFailed(path, error)
  }
}

/** What makes a pool's entries come from the chain, with its filter compiled. @throws OverpoolError BAD_CONFIG */
export function gridOf(path: string, { chain: { from = 'now', mempool = true, filter } }: GridSettings): Grid {
  const wanted = filter && { filter: new ChainFilter(filter, `pools.${path}.grid.chain.filter`), asked: filter }
  return { path, from, mempool, ...(wanted && { wanted }) }
}

/** A grid's settings as they are kept with its pool, to see whether they change. */
export function keptGrid({ chain: { from = 'now', filter } }: GridSettings): KeptGrid {
  const { match, ...asked } = filter ?? {}
  return { from, filter: JSON.stringify({ ...asked, ...(match && { match: match.toString() }) }) }
}

/** What changed settings of a grid mean for a pool that has begun, a sentence each. */
export function changesOf(before: KeptGrid, now: KeptGrid): string[] {
  return [
    ...(now.from === before.from
      ? []
      : [
          `its \`from\` was ${before.from} when it began, and it goes on where it is: to read from ${now.from}, give the pool another name`,
        ]),
    ...(now.filter === before.filter
      ? []
      : ['its filter has changed: it applies to the blocks from now on, and what was read before stays as it is']),
  ]
}

/** What each pool watches on the chain: by its settings, and by what was asked for while the machine ran. A filter is compiled anew only when that changes. */
export function watchedBy(settings: (pool: string) => Watch | undefined): (pool: PoolControl) => Wanted | undefined {
  const compiled = new Map<string, { of: string; wanted: Wanted | undefined }>()
  return (pool) => {
    const configured = settings(pool.path)
    const of = JSON.stringify([configured, pool.watch])
    const before = compiled.get(pool.path)
    if (before?.of === of) return before.wanted
    const wanted = wantedBy({ watch: configured }, pool)
    compiled.set(pool.path, { of, wanted })
    return wanted
  }
}

/** What a pool takes from the chain; undefined: it takes all, or looks for nothing. @throws OverpoolError BAD_CONFIG */
export function wantedBy(
  { grid, watch }: { grid?: GridSettings; watch?: Watch },
  pool: Pick<PoolControl, 'path' | 'watch'>,
): Wanted | undefined {
  if (grid) return gridOf(pool.path, grid).wanted
  const asked = joined(watch ?? {}, pool.watch ?? {})
  const isEmpty = Object.values(asked).every((list) => !list.length)
  return isEmpty ? undefined : { filter: new ChainFilter(asked, `the watch of "${pool.path}"`), asked }
}
