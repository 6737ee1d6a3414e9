import { packRuns, RUNS_LINE, type Run, type RunsLine } from '../../shared/store/runs.ts'
import type { Telemetry } from '../telemetry.ts'

/** A line of the log has at most so many runs, and about so many characters of errors and console lines: CloudWatch takes 256 KB. */
const MAX_RUNS = 1_000
const MAX_CHARS = 50_000

/** Writes the runs of a function's handler into its log, many in a line: CloudWatch bills by the byte, and a line of its own for each would be an eighth of a payment's cost. */
export class RunLog {
  readonly #log: Telemetry['log']
  #gathered: Run[] = []
  #chars = 0

  constructor({ log }: Pick<Telemetry, 'log'>) {
    this.#log = log
  }

  add(run: Run): void {
    this.#gathered.push(run)
    this.#chars += (run.error?.length ?? 0) + run.console.reduce((sum, line) => sum + line.length, 0)
    if (this.#gathered.length >= MAX_RUNS || this.#chars >= MAX_CHARS) this.flush()
  }

  /** Writes what was gathered. Call it at the end of each invocation: Lambda may end the process afterwards. */
  flush(): void {
    for (const [pool, runs] of Map.groupBy(this.#gathered, ({ pool }) => pool)) {
      const seqs = runs.map(({ seq }) => seq)
      const line = { handler: runs[0]!.handler, pool, first: Math.min(...seqs), last: Math.max(...seqs), runs: packRuns(runs) }
      this.#log.info(RUNS_LINE, line satisfies Omit<RunsLine, 'message'>)
    }
    this.#gathered = []
    this.#chars = 0
  }
}
