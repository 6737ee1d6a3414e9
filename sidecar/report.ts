import { type OverpoolError, reasonOf } from '../shared/errors.ts'

/** What the sidecar reports to the person on call. Only entry files log it. */
export type SidecarReport =
  /** a step failed and is retried */
  | { kind: 'retrying'; pool: string; step: string; error: unknown }
  /** the pool is halted: nothing is appended until an operator acts */
  | { kind: 'halted'; pool: string; error: OverpoolError }
  /** a handler that ran twice posted another transaction the second time, or the same one with other fields: the first post is kept */
  | { kind: 'post-differs'; pool: string; id: string; kept: string; dropped: string }
  /** a message in the ingress queue that this program did not write, or for a pool that does not exist */
  | { kind: 'bad-message'; error: unknown }
  /** an invalid block of a peer: it counts as having no entries, and the next one is taken */
  | { kind: 'passed-over'; pool: string; n: number; problem: string }
  /** the hypercores could not be opened, and are made again from the mirror */
  | { kind: 'cores-set-aside'; folder: string; error: unknown }
  /** damaged blocks were put in place again, or are lost */
  | { kind: 'repaired'; pool: string; repaired: number; lost: number[]; aside?: string }
  /** nothing has failed, and an operator should know it */
  | { kind: 'advice'; pool: string; sentence: string }
  /** the network cannot be joined with these settings */
  | { kind: 'no-network'; error: OverpoolError }
  | { kind: 'block'; pool: string; n: number; entries: number }

export type Report = (report: SidecarReport) => void

/** A report as a line for people; undefined if nothing is wrong. */
export function lineOf(report: SidecarReport): string | undefined {
  switch (report.kind) {
    case 'block':
      return undefined
    case 'retrying':
      return `${report.pool ? `pool ${report.pool}: ` : ''}${report.step} failed; it is retried: ${reasonOf(report.error)}`
    case 'halted':
      return `pool ${report.pool} is halted: ${reasonOf(report.error)}`
    case 'passed-over':
      return `pool ${report.pool}: block ${report.n} of its publisher is passed over: ${report.problem}`
    case 'cores-set-aside':
      return `the hypercores in ${report.folder} could not be opened and are made again from the ledger; the old ones are in ${report.folder}.damaged: ${reasonOf(report.error)}`
    case 'repaired': {
      const { pool, repaired, lost, aside } = report
      const kept = aside === undefined ? '' : `; what was left of it is kept in ${aside}`
      return `pool ${pool}: ${repaired} damaged blocks are repaired${lost.length ? `; block ${lost.join(', ')} could not be had anywhere and is passed over${kept}` : ''}`
    }
    case 'advice':
      return `${report.pool ? `pool ${report.pool}: ` : ''}${report.sentence}`
    case 'no-network':
      return `no network: ${reasonOf(report.error)}`
    case 'post-differs':
      return `pool ${report.pool}: a handler that ran twice posted ${report.dropped} ${report.kept === report.dropped ? 'with other fields, such as its memo, than before' : `where it had posted ${report.kept}`}; the first stands. Make the handler deterministic, or name the post: post({ …, id })`
    case 'bad-message':
      return `a post is set aside: ${reasonOf(report.error)}`
  }
}
