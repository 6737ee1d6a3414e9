import type { Network } from '../store/control.ts'
import type { LedgerPools } from './pools.ts'

/** How a pool stands, here and in the network. */
export interface PoolStatus {
  path: string
  /** public key, 64 hex */
  key: string
  entries: number
  /** ours: offered to the network */
  published?: boolean
  /** a peer's: followed */
  subscribed?: boolean
  encrypted?: boolean
  /** machines that may have it, if not all */
  allow?: string[]
  /** a peer's pool that is not followed from its first entry: where it begins */
  begins?: { block: number; seq: number }
  /** as last seen by the machine, at `at` */
  network?: Network
  /** blocks that its publisher has signed and that are not here, as far as we have heard */
  behind?: number
  halted?: string
}

export async function statusOf(pools: LedgerPools): Promise<PoolStatus[]> {
  return Promise.all(
    (await pools.list()).map(async ({ path, kind, key, desired = {}, network, begins, halted }) => {
      const { blocks, entries } = await pools.size(path)
      const isPeers = kind === 'peer'
      return {
        path,
        key,
        entries,
        ...(isPeers ? { subscribed: desired.subscribe ?? false } : { published: desired.publish ?? false }),
        ...((desired.encrypt ?? desired.secret) && { encrypted: true }),
        ...(desired.allow && { allow: desired.allow }),
        ...(begins && { begins }),
        ...(network && { network }),
        ...(network?.remoteLength !== undefined && { behind: Math.max(0, network.remoteLength - blocks) }),
        ...(halted !== undefined && { halted }),
      }
    }),
  )
}
