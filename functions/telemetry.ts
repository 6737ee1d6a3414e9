import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics'

/** Metrics go out at most so often, ms: a line of them costs as much as the rest of a payment. Those of the last second before a function sleeps go out when it wakes. */
const WINDOW_MS = 1_000

export interface TelemetryOptions {
  /** tells the machines of an account apart */
  namespace: string
  /** what stands in the logs, and as a dimension beside the metrics */
  service: string
}

/** What a function writes of itself: structured log lines, and metrics as lines of CloudWatch's embedded format. */
export class Telemetry {
  readonly log: Logger
  readonly #metrics: Metrics
  readonly #byCode = new Map<string, number>()
  #due = 0

  constructor({ namespace, service }: TelemetryOptions) {
    this.log = new Logger({ serviceName: service })
    this.#metrics = new Metrics({ namespace, serviceName: service })
    this.#metrics.setThrowOnEmptyMetrics(false)
  }

  count(name: string, times = 1): void {
    this.#metrics.addMetric(name, MetricUnit.Count, times)
  }

  time(name: string, ms: number): void {
    this.#metrics.addMetric(name, MetricUnit.Milliseconds, ms)
  }

  /** Counts a refusal, under its code. */
  refused(code: string): void {
    this.#byCode.set(code, (this.#byCode.get(code) ?? 0) + 1)
  }

  /** At the end of each call. */
  flush(): void {
    if (Date.now() < this.#due) return
    this.#due = Date.now() + WINDOW_MS
    this.#metrics.publishStoredMetrics()
    for (const [code, times] of this.#byCode)
      this.#metrics.singleMetric().addDimension('code', code).addMetric('refused', MetricUnit.Count, times)
    this.#byCode.clear()
  }
}
