import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics'
import { elapsed } from '../shared/clock.ts'

import { printable } from '../shared/printed.ts'

/** Metrics are written at most once in this time, ms: a line of them costs as much as the rest of a payment. The last second before a function sleeps is written when it wakes. */
const WINDOW_MS = 1_000

export interface TelemetryOptions {
  /** distinguishes the machines of an account */
  namespace: string
  /** the service name in logs and metrics */
  service: string
}

/** A function's structured log lines, and its metrics in CloudWatch's embedded metric format. */
export class Telemetry {
  readonly log: Logger
  readonly #metrics: Metrics
  readonly #byCode = new Map<string, number>()
  #due = 0

  constructor({ namespace, service }: TelemetryOptions) {
    this.log = new Logger({ serviceName: service, jsonReplacerFn: printable })
    this.#metrics = new Metrics({ namespace, serviceName: service })
    this.#metrics.setThrowOnEmptyMetrics(false)
  }

  count(name: string, times = 1): void {
    this.#metrics.addMetric(name, MetricUnit.Count, times)
  }

  time(name: string, ms: number): void {
    this.#metrics.addMetric(name, MetricUnit.Milliseconds, ms)
  }

  /** Counts a refusal by its code. */
  refused(code: string): void {
    this.#byCode.set(code, (this.#byCode.get(code) ?? 0) + 1)
  }

  /** Writes the metrics that are due. Call it at the end of each invocation. */
  flush(): void {
    const now = elapsed()
    if (now < this.#due) return
    this.#due = now + WINDOW_MS
    this.#metrics.publishStoredMetrics()
    for (const [code, times] of this.#byCode)
      this.#metrics.singleMetric().addDimension('code', code).addMetric('refused', MetricUnit.Count, times)
    this.#byCode.clear()
  }
}
