/** What a pool is: this machine's own, a peer's that it subscribes to, or one whose entries come from the chain. */
export type PoolKind = 'own' | 'peer' | 'chain'

/** A pool's name and what it is: handlers are chosen by these. */
export interface PoolName {
  path: string
  kind: PoolKind
}

/** The pool in which a shard of the machine keeps the blocks and reorganisations that it has followed: no transactions, nobody posts into it, and no handler gets it. */
const CHAIN_POOL = '_chain'

/** The name of that pool. Each shard follows the chain for its own pools, so each has one. */
export function chainPoolOf(shard = 0): string {
  return shard ? `${CHAIN_POOL}-${shard}` : CHAIN_POOL
}

/** The shard whose blocks of the chain a pool keeps; undefined if it is a pool like any other. */
export function shardOfChainPool(path: string): number | undefined {
  const found = /^_chain(?:-(\d+))?$/.exec(path)
  return found ? Number(found[1] ?? 0) : undefined
}
