import type { OverpoolError } from '../shared/errors.ts'

/** What the sidecar has to say to the person on call. Entry files log it; the domain only emits. */
export type SidecarReport =
  /** a step failed and is being tried again */
  | { kind: 'retrying'; pool: string; step: string; error: unknown }
  /** nothing is appended to this pool any more until an operator acts */
  | { kind: 'halted'; pool: string; error: OverpoolError }
  /** a handler that ran twice posted something else the second time: the first stands */
  | { kind: 'post-differs'; pool: string; id: string; kept: string; dropped: string }
  /** a message in the ingress queue that this program did not write, or for a pool that is not there */
  | { kind: 'bad-message'; error: unknown }
  /** what a peer signed as a block is none: it has no entries, and the next one is taken */
  | { kind: 'passed-over'; pool: string; n: number; problem: string }
  /** there is no network to be had with the settings that were given */
  | { kind: 'no-network'; error: OverpoolError }
  | { kind: 'block'; pool: string; n: number; entries: number }

export type Report = (report: SidecarReport) => void
