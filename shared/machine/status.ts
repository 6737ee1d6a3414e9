import type { ChainState, DesiredState, Network, PoolControl } from '../store/control.ts'
import type { LedgerPools } from './pools.ts'

/** The state of a pool, here and in the network. */
export interface PoolStatus {
  path: string
  /** public key, 64 hex */
  key: string
  entries: number
  /** of our own pool */
  published?: boolean
  /** of a peer's pool */
  subscribed?: boolean
  encrypted?: boolean
  /** the only machines that may have it */
  allow?: string[]
  /** where a subscription begins, if not at the first entry */
  begins?: { block: number; seq: number }
  /** as last seen by the sidecar, at `at` */
  network?: Network
  /** blocks of the subscription that the publisher has signed and that are not here yet, as far as we know; missing until the subscription knows where it begins */
  behind?: number
  halted?: string
  /** of a pool whose entries come from the chain: how it stands with it */
  chain?: ChainState
}

export async function statusOf(pools: LedgerPools): Promise<PoolStatus[]> {
  return Promise.all(
    (await pools.list()).map(async ({ path, kind, key, desired = {}, network, begins, halted, chain }) => {
      const { blocks, entries } = await pools.size(path)
      const isPeers = kind === 'peer'
      const next = nextBlock(blocks, desired, begins)
      return {
        path,
        key,
        entries,
        ...(isPeers ? { subscribed: desired.subscribe ?? false } : { published: desired.publish ?? false }),
        ...((desired.encrypt ?? desired.secret) && { encrypted: true }),
        ...(desired.allow && { allow: desired.allow }),
        ...(begins && { begins }),
        ...(network && { network: { ...network, terms: undefined } }), // the signed terms are for machines
        ...(network?.remoteLength !== undefined && next !== undefined && { behind: Math.max(0, network.remoteLength - next) }),
        ...(halted !== undefined && { halted }),
        ...(chain && { chain }),
      }
    }),
  )
}

/** The block that a subscription waits for; undefined until it knows where it begins. */
function nextBlock(blocks: number, { from = 'start' }: DesiredState, begins: PoolControl['begins']): number | undefined {
  if (blocks || from === 'start' || from === 0) return blocks
  return begins?.block
}
