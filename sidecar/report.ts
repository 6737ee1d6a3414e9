import { type OverpoolError, reasonOf } from '../shared/errors.ts'

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

/** A report as a line for people; undefined where all is well. */
export function lineOf(report: SidecarReport): string | undefined {
  switch (report.kind) {
    case 'block':
      return undefined
    case 'retrying':
      return `${report.pool ? `pool ${report.pool}: ` : ''}${report.step} failed and is tried again: ${reasonOf(report.error)}`
    case 'halted':
      return `pool ${report.pool} is halted: ${reasonOf(report.error)}`
    case 'passed-over':
      return `pool ${report.pool}: block ${report.n} of its publisher is passed over: ${report.problem}`
    case 'no-network':
      return `no network: ${reasonOf(report.error)}`
    case 'post-differs':
      return `pool ${report.pool}: a handler that ran twice posted ${report.dropped} where it had posted ${report.kept}; the first stands. Make the handler deterministic, or name the post: post({ …, id })`
    case 'bad-message':
      return `a post is set aside: ${reasonOf(report.error)}`
  }
}
