import type { LedgerPools } from '../shared/machine/pools.ts'
import type { Redriven, RedriveOptions } from '../shared/machine/progress.ts'
import type { Ingress } from '../shared/queue/port.ts'
import type { Stores } from '../shared/store/port.ts'

/** A machine as the studio sees it: one of this process, of a folder, or on AWS. */
export interface StudioMachine {
  readonly pools: LedgerPools
  readonly stores: Stores
  readonly ingress: Pick<Ingress, 'depth'>
  readonly isRunning: boolean
  /** the addresses of its doors */
  readonly doors: string[]
  /** the public keys by which other machines know it, one for each shard */
  ids(): Promise<string[]>
  /** Resolves when something may have been written, after `ms`, or when the signal is aborted. */
  changed(ms: number, signal?: AbortSignal): Promise<void>
  redrive(path: string, options: RedriveOptions): Promise<Redriven[]>
}
