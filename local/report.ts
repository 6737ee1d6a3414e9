import type { RunnerReport } from '../functions/handler/report.ts'
import { OverpoolError } from '../shared/errors.ts'
import type { SidecarReport } from '../sidecar/report.ts'

/** What a machine has to say to whoever runs it. */
export type MachineReport =
  | SidecarReport
  | RunnerReport
  /** a post inside a handler was refused or could not be made */
  | { kind: 'post-failed'; error: unknown }
  /** the door answered 5xx */
  | { kind: 'door'; error: unknown }
  /** a handler was registered, and the machine could not be opened; the next call tries again */
  | { kind: 'not-open'; error: unknown }

/** A report as a line for people; undefined where all is well. */
export function lineOf(report: MachineReport): string | undefined {
  switch (report.kind) {
    case 'block':
      return undefined
    case 'retrying':
      return `${report.pool ? `pool ${report.pool}: ` : ''}${report.step} failed and is tried again: ${reason(report.error)}`
    case 'halted':
      return `pool ${report.pool} is halted: ${reason(report.error)}`
    case 'passed-over':
      return `pool ${report.pool}: block ${report.n} of its publisher is passed over: ${report.problem}`
    case 'no-network':
      return `no network: ${reason(report.error)}`
    case 'post-differs':
      return `pool ${report.pool}: a handler that ran twice posted ${report.dropped} where it had posted ${report.kept}; the first stands. Make the handler deterministic, or name the post: post({ …, id })`
    case 'bad-message':
      return `a post is set aside: ${reason(report.error)}`
    case 'failed':
      return `handler ${report.handler} failed at ${report.pool} #${report.seq} (attempt ${report.attempt}, it is tried again): ${stack(report.error)}`
    case 'given-up':
      return `handler ${report.handler} gave up ${report.pool} #${report.seq} and goes on; \`overpool redrive ${report.pool}\` tries it again: ${stack(report.error)}`
    case 'stopped':
      return `handler ${report.handler} stopped at ${report.pool} #${report.seq}; mend it, then \`overpool redrive ${report.pool}\`: ${stack(report.error)}`
    case 'bad-block':
      return `handler ${report.handler} passed over block ${report.n} of ${report.pool}: ${reason(report.error)}`
    case 'post-failed':
      return `a post inside a handler failed: ${reason(report.error)}`
    case 'door':
      return `a payment could not be taken: ${stack(report.error)}`
    case 'not-open':
      return `the handler does not work: ${stack(report.error)}`
  }
}

/** Where this program's own files are, as a stack names them; a user's are named by their paths. */
const OURS = new URL('../', import.meta.url).href

/** One of ours is told by its sentence, anything else with where it came from, without the frames of this program around it. */
export function stack(error: unknown): string {
  if (error instanceof OverpoolError) return reason(error)
  if (!(error instanceof Error)) return String(error)
  const lines = (error.stack ?? String(error)).split('\n')
  const theirs = lines.filter((line) => !line.includes(OURS) && !line.includes('node:internal/'))
  return (theirs.some((line) => /^ +at /.test(line)) ? theirs : lines).join('\n')
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : ''
  return error instanceof OverpoolError ? `${error.message} [${error.code}]${cause}` : `${error.message}${cause}`
}
