import { type PostFailed, type RunnerReport, lineOf as runnerLineOf } from '../functions/handler/report.ts'
import { stackOf } from '../shared/errors.ts'
import { type SidecarReport, lineOf as sidecarLineOf } from '../sidecar/report.ts'

/** What a machine reports to its operator. */
export type MachineReport =
  | SidecarReport
  | RunnerReport
  | PostFailed
  /** the door answered 5xx */
  | { kind: 'door'; error: unknown }
  /** the machine could not be opened for a registered handler; the next call tries again */
  | { kind: 'not-open'; error: unknown }

/** A report as a line for people; undefined if nothing is wrong. */
export function lineOf(report: MachineReport): string | undefined {
  switch (report.kind) {
    case 'door':
      return `a payment could not be taken: ${stackOf(report.error)}`
    case 'not-open':
      return `the handler does not work: ${stackOf(report.error)}`
    case 'failed':
    case 'given-up':
    case 'stopped':
    case 'lost':
    case 'unknown-kind':
    case 'post-failed':
      return runnerLineOf(report)
    default:
      return sidecarLineOf(report)
  }
}
