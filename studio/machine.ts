import type { LedgerPools } from '../shared/machine/pools.ts'
import type { Redriven, RedriveOptions } from '../shared/machine/progress.ts'
import type { Ingress } from '../shared/queue/port.ts'
import type { Stores } from '../shared/store/port.ts'
import type { Run, RunsQuery } from '../shared/store/runs.ts'

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
  /** Pauses a handler in a pool. @throws OverpoolError HANDLER_NOT_FOUND: it has not worked on the pool */
  pause(path: string, handler: string, reason: string): Promise<void>
  /** @returns whether the handler was paused */
  unpause(path: string, handler: string): Promise<boolean>
  /** the runs of its handlers; left out: it keeps none */
  runs?(query: RunsQuery): Promise<Run[]>
}
