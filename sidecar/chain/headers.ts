import { readHeader } from '../../shared/chain/header.ts'
import { OverpoolError } from '../../shared/errors.ts'
import type { ChainPool } from './chain-pool.ts'
import type { ChainSource } from './source.ts'

/** Headers that are asked for at once. */
const HEADERS = 2_000

/**
 * Brings the headers of a pool up to the best chain of a source. It goes back until the two have a block in common.
 * @throws OverpoolError UNAVAILABLE; BAD_HEADER; CHAIN_LIES if the source has nothing in common with the pool, or does not give what it names
 */
export async function readHeaders(pool: ChainPool, source: ChainSource): Promise<void> {
  const tip = await source.tip()
  let from = pool.headers!.tip.height + 1
  let hasBegun = false
  for (let back = 1; !pool.headers!.isBest(tip.hash); back *= 2) {
    const headers = from <= tip.height ? await source.headers(from, HEADERS) : []
    if (hasBegun && !headers.length)
      throw new OverpoolError('CHAIN_LIES', `${source.name} names block ${tip.height} as its last, and gives no headers from ${from} on`)
    const first = headers[0] && readHeader(headers[0].header)
    const isLinked = first && pool.headers!.get(first.previous) !== undefined
    if (isLinked) {
      pool.headers!.add(headers.map(({ header }) => header))
      from += headers.length
      if (from > tip.height) return // its chain may have less work than the one that we know
      hasBegun = true
      back = 1
    } else if (from > pool.headers!.oldest + 1) from = Math.max(pool.headers!.oldest + 1, Math.min(from, tip.height + 1) - back)
    else if (!(await pool.loadMore()))
      throw new OverpoolError('CHAIN_LIES', `the chain of ${source.name} has nothing in common with the blocks in "${pool.path}"`)
  }
}

/** The headers of a source from one height to another; undefined if it does not have all of them. */
export async function headersOf(source: ChainSource, from: number, to: number): Promise<Uint8Array[] | undefined> {
  const headers: Uint8Array[] = []
  while (headers.length <= to - from) {
    const more = await source.headers(from + headers.length, to - from + 1 - headers.length)
    if (!more.length) return undefined
    headers.push(...more.map(({ header }) => header))
  }
  return headers
}
