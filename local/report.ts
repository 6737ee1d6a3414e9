import { type PostFailed, type RunnerReport, lineOf as runnerLineOf } from '../functions/handler/report.ts'
import { stackOf } from '../shared/errors.ts'
import { EVENTS } from '../shared/machine/handlers.ts'
import { type SidecarReport, lineOf as sidecarLineOf } from '../sidecar/report.ts'

/** What a machine reports to its operator. */
export type MachineReport =
  | SidecarReport
  | RunnerReport
  | PostFailed
  /** the door answered 5xx */
  | { kind: 'door'; error: unknown }
  /** the studio could not answer */
  | { kind: 'studio'; error: unknown }
  /** code that a filter had started, or a file when it was loaded, threw where nobody could catch it */
  | { kind: 'code-threw-late'; code: string; error: unknown }
  /** the machine could not be opened for a registered handler; the next call tries again */
  | { kind: 'not-open'; error: unknown }
  /** a handler was registered for a pool that does not exist */
  | { kind: 'no-pool'; pool: string }

/** How serious a report is: 'error' needs an operator, 'warn' is retried or passed over. */
export function levelOf({ kind }: MachineReport): 'info' | 'warn' | 'error' {
  switch (kind) {
    case 'block':
      return 'info'
    case 'failed':
    case 'retrying':
    case 'passed-over':
    case 'unknown-kind':
    case 'advice':
    case 'post-failed':
      return 'warn'
    default:
      return 'error'
  }
}

/** A report as a line for people; undefined if nothing is wrong. */
export function lineOf(report: MachineReport): string | undefined {
  switch (report.kind) {
    case 'door':
      return `the door could not answer a request: ${stackOf(report.error)}`
    case 'studio':
      return `the studio could not answer: ${stackOf(report.error)}`
    case 'code-threw-late':
      return `code of ${report.code} that nothing waited for has failed; await every promise there: ${stackOf(report.error)}`
    case 'not-open':
      return `the handler does not work: ${stackOf(report.error)}`
    case 'no-pool':
      return `the handler of on('${report.pool}', …) waits: there is no pool "${report.pool}" yet. If an event was meant, they are ${EVENTS.join(', ')}`
    case 'failed':
    case 'given-up':
    case 'stopped':
    case 'threw-late':
    case 'lost':
    case 'unknown-kind':
    case 'post-failed':
      return runnerLineOf(report)
    default:
      return sidecarLineOf(report)
  }
}
