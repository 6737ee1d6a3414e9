import { reasonOf, stackOf } from '../../shared/errors.ts'

/** What the runner of a handler reports to the person on call. */
export type RunnerReport =
  | { kind: 'failed'; handler: string; pool: string; seq: number; attempt: number; error: unknown }
  | { kind: 'given-up'; handler: string; pool: string; seq: number; error: unknown }
  | { kind: 'stopped'; handler: string; pool: string; seq: number; error: unknown }
  /** code that a call had started threw where nobody could catch it: in a timer, or in a promise that is not awaited */
  | { kind: 'threw-late'; handler: string; pool: string; seq: number; error: unknown }
  /** an entry of an unknown kind was passed over */
  | { kind: 'unknown-kind'; handler: string; pool: string; seq: number; named: string }
  /** the entries of a lost block became dead letters */
  | { kind: 'lost'; handler: string; pool: string; n: number; first: number; count: number }

/** A post inside a handler was refused or could not be made. */
export interface PostFailed {
  kind: 'post-failed'
  error: unknown
}

/** A report as a line for people. */
export function lineOf(report: RunnerReport | PostFailed): string {
  switch (report.kind) {
    case 'failed':
      return `handler ${report.handler} failed at ${report.pool} #${report.seq} (attempt ${report.attempt}, it is retried): ${stackOf(report.error)}`
    case 'given-up':
      return `handler ${report.handler} gave up ${report.pool} #${report.seq} and goes on; \`overpool redrive ${report.pool}\` tries it again: ${stackOf(report.error)}`
    case 'stopped':
      return `handler ${report.handler} stopped at ${report.pool} #${report.seq}; mend the handler, then run \`overpool redrive ${report.pool}\`: ${stackOf(report.error)}`
    case 'threw-late':
      return `code of handler ${report.handler} that its call with ${report.pool} #${report.seq} did not wait for has failed; the entry is not tried again for that, so await every promise: ${stackOf(report.error)}`
    case 'unknown-kind':
      return `handler ${report.handler} passed over ${report.pool} #${report.seq}: it is a "${report.named}", which this version does not know; a newer version may know it`
    case 'lost':
      return `handler ${report.handler} passed over ${report.pool} #${report.first} to #${report.first + report.count - 1}: block ${report.n} was damaged, and could not be had anywhere`
    case 'post-failed':
      return `a post inside a handler failed: ${reasonOf(report.error)}`
  }
}
