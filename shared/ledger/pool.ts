/** What a pool is: this machine's own, a peer's that it follows, or one whose entries come from the chain. */
export type PoolKind = 'own' | 'peer' | 'chain'

/** A pool's name and what it is, as handlers are chosen by. */
export interface PoolName {
  path: string
  kind: PoolKind
}
