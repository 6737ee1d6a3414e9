/** What a pool is: this machine's own, a peer's that it subscribes to, or one whose entries come from the chain. */
export type PoolKind = 'own' | 'peer' | 'chain'

/** A pool's name and what it is: handlers are chosen by these. */
export interface PoolName {
  path: string
  kind: PoolKind
}
