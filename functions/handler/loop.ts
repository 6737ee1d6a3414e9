import type { Clock } from '../../shared/clock.ts'
import type { Message, Queue } from '../../shared/queue/port.ts'
import { receiveLoop } from '../../shared/queue/receive.ts'
import { untilDone } from '../../shared/retry.ts'
import { Wake } from '../../shared/wake.ts'
import { answerBells, type BellsOptions } from './bells.ts'
import type { Answer } from './runner.ts'

/** Bells received at once. Those of one pool are answered together, since the last covers the others. */
const RECEIVE_MAX = 64
/** At most this many pools have their handler running at a time. */
const MAX_POOLS = 64

export interface LoopOptions extends Omit<BellsOptions, 'answer'> {
  queue: Queue
  clock: Clock
  /**
   * As for `answerBells`. `stopping` is aborted when the loop is to stop: the entry under way is finished, and no further one is begun.
   */
  answer: (...bell: [...Parameters<BellsOptions['answer']>, stopping: AbortSignal]) => Promise<Answer>
}

/** Receives bells from a handler's queue and answers them: in order within a pool, in parallel across pools. On AWS Lambda's event source does so. */
export class HandlerLoop {
  readonly #options: LoopOptions
  readonly #stopped = new AbortController()
  /** the answer under way in each pool; a later one waits for it */
  readonly #running = new Map<string | undefined, Promise<void>>()
  /** wakes when an answer has ended */
  readonly #ended = new Wake()
  #receiving = Promise.resolve()

  static start(options: LoopOptions): HandlerLoop {
    const loop = new HandlerLoop(options)
    loop.#receiving = loop.#receive()
    return loop
  }

  private constructor(options: LoopOptions) {
    this.#options = options
  }

  #receive(): Promise<void> {
    const { queue, clock, report } = this.#options
    return receiveLoop({
      queue,
      max: RECEIVE_MAX,
      clock,
      signal: this.#stopped.signal,
      room: async () => {
        // No race between the answers: each race would leave a listener at an answer that takes long.
        while (this.#running.size >= MAX_POOLS) await this.#ended.sleep(clock)
      },
      take: (messages) => {
        for (const [pool, bells] of Map.groupBy(messages, (message) => message.group)) this.#begin(pool, bells)
      },
      report,
    })
  }

  /** A bell may be delivered again while its first delivery is being answered, for example after the computer slept. The second answer waits for the first. */
  #begin(pool: string | undefined, bells: Message[]): void {
    const task = (this.#running.get(pool) ?? Promise.resolve()).then(() => this.#answer(bells)).catch(this.#options.report)
    this.#running.set(pool, task)
    void task.finally(() => {
      if (this.#running.get(pool) === task) this.#running.delete(pool)
      this.#ended.wake()
    })
  }

  /** Answers the bells of one pool. */
  async #answer(messages: Message[]): Promise<void> {
    const { queue, clock, answer, report } = this.#options
    const { signal } = this.#stopped
    const verdict = await answerBells(messages, { answer: (...bell) => answer(...bell, signal), report })
    // A bell that stays in flight blocks its pool until its visibility time is over.
    await untilDone(
      () => (verdict.done ? queue.delete(messages) : queue.giveBack(messages, verdict.againMs)),
      clock,
      report,
      () => signal.aborted,
    )
  }

  /** Receives no more bells, and waits until each running handler has finished its current entry. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#receiving
    await Promise.all(this.#running.values())
  }
}
