import type { Clock } from '../../shared/clock.ts'
import type { Message, Queue } from '../../shared/queue/port.ts'
import { backoff } from '../../shared/retry.ts'
import { answerBells, type BellsOptions } from './bells.ts'
import type { Answer } from './runner.ts'

/** Bells taken at once: all of one pool are answered together, since the last covers the others. */
const RECEIVE_MAX = 64
/** Pools whose handlers run side by side at most. */
const MAX_POOLS = 64

export interface LoopOptions extends BellsOptions {
  queue: Queue
  clock: Clock
}

/** Takes bells from a handler's queue and has them answered: in order within a pool, in parallel across pools. What a Lambda's event source does on AWS. */
export class HandlerLoop {
  readonly #options: LoopOptions
  readonly #stopped = new AbortController()
  readonly #running = new Set<Promise<void>>()
  readonly #receiving: Promise<void>

  constructor(options: LoopOptions) {
    this.#options = options
    this.#receiving = this.#receive()
  }

  async #receive(): Promise<void> {
    const { queue, clock, report } = this.#options
    const { signal } = this.#stopped
    for (let failures = 0; !signal.aborted; ) {
      try {
        if (this.#running.size >= MAX_POOLS) await Promise.race(this.#running)
        const messages = await queue.receive({ max: RECEIVE_MAX, waitMs: 20_000, signal })
        failures = 0
        for (const group of Map.groupBy(messages, (message) => message.group).values()) {
          const task = this.#answer(group).catch(report)
          this.#running.add(task)
          void task.finally(() => this.#running.delete(task))
        }
      } catch (error) {
        if (signal.aborted) return
        report(error)
        await clock.sleep(backoff(++failures, 50, 5_000), signal)
      }
    }
  }

  /** Answers the bells of one pool. */
  async #answer(messages: Message[]): Promise<void> {
    const { queue, answer, report } = this.#options
    const stopping: Answer = { done: false, againMs: 0 }
    const verdict = await answerBells(messages, {
      answer: async (...bell) => (this.#stopped.signal.aborted ? stopping : answer(...bell)),
      report,
    })
    if (verdict.done) await queue.delete(messages)
    else await queue.giveBack(messages, verdict.againMs)
  }

  /** Takes no more bells, and waits for the handlers that run. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#receiving
    await Promise.all(this.#running)
  }
}
