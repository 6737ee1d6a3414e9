import type { Clock } from '../shared/clock.ts'
import { OverpoolError } from '../shared/errors.ts'
import { decodeIngress, type IngressMessage } from '../shared/ledger/messages.ts'
import type { Mirror } from '../shared/mirror/port.ts'
import type { Message, Queue } from '../shared/queue/port.ts'
import { backoff } from '../shared/retry.ts'
import type { CoreStore } from './core.ts'
import type { Ringer } from './effects.ts'
import type { Report } from './report.ts'
import { PoolWriter } from './writer.ts'

/** Messages taken from the ingress queue at once. */
const RECEIVE_MAX = 256
/** None are taken while so many posts, or bytes of them, are in hand: enough for the writers, and what lies in the queue costs no memory. */
const MAX_POSTS_IN_HAND = 2_048
const MAX_BYTES_IN_HAND = 16 * 1024 * 1024
/** A message that nothing can be done with for now is given back for so long, ms. */
const SET_ASIDE_MS = 60_000

export interface SidecarOptions {
  mirror: Mirror
  ingress: Queue
  cores: Pick<CoreStore, 'open'>
  ringers: (pool: string) => Ringer[]
  clock: Clock
  report: Report
  batchMs?: (pool: string) => number
  sweepMs?: number
}

/** Takes posts from the ingress queue to the writers of their pools. Ends with `stop`. */
export class Sidecar {
  readonly #options: SidecarOptions
  readonly #writers = new Map<string, Promise<PoolWriter>>()
  readonly #open: PoolWriter[] = []
  readonly #stopped = new AbortController()
  readonly #receiving: Promise<void>

  constructor(options: SidecarOptions) {
    this.#options = options
    this.#receiving = this.#receive()
  }

  /** Opens the writer of a pool, if it is not open: recovers what an earlier process left (Promise 4). */
  writer(path: string): Promise<PoolWriter> {
    let writer = this.#writers.get(path)
    if (!writer) {
      writer = this.#openWriter(path)
      this.#writers.set(path, writer)
      writer.catch(() => this.#writers.delete(path)) // so that the next call tries again
    }
    return writer
  }

  async #openWriter(path: string): Promise<PoolWriter> {
    const { mirror, ingress, cores, ringers, clock, report, batchMs, sweepMs } = this.#options
    if (!(await mirror.readPool(path))) throw new OverpoolError('POOL_NOT_FOUND', `no pool named "${path}" in this ledger`)
    const alarm = (what: string) =>
      report({ kind: 'halted', pool: path, error: new OverpoolError('POOL_HALTED', `the hypercore of "${path}" reports ${what}`) })
    const core = await cores.open(path, alarm)
    const writer = await PoolWriter.open({
      path,
      mirror,
      ingress,
      core,
      clock,
      report,
      ringers: () => ringers(path),
      batchMs: batchMs?.(path),
      sweepMs,
    })
    this.#open.push(writer)
    await writer.ringAgain()
    return writer
  }

  /** Rings for handlers whose cursor lags, one that has just begun among them. */
  async ringAgain(): Promise<void> {
    await Promise.all(this.#open.map((writer) => writer.ringAgain()))
  }

  async #receive(): Promise<void> {
    const { ingress, clock, report } = this.#options
    const signal = this.#stopped.signal
    for (let failures = 0; !signal.aborted; ) {
      try {
        if (this.#handsFull()) {
          await clock.sleep(5, signal)
          continue
        }
        const messages = await ingress.receive({ max: RECEIVE_MAX, waitMs: 20_000, signal })
        failures = 0
        for (const message of messages) await this.#handOver(message)
      } catch (error) {
        if (signal.aborted) return
        report({ kind: 'retrying', pool: '', step: 'receive', error })
        await clock.sleep(backoff(++failures, 50, 5_000), signal)
      }
    }
  }

  #handsFull(): boolean {
    const sum = (of: (writer: PoolWriter) => number) => this.#open.reduce((all, writer) => all + of(writer), 0)
    return sum(({ postsInHand }) => postsInHand) >= MAX_POSTS_IN_HAND || sum(({ bytesInHand }) => bytesInHand) >= MAX_BYTES_IN_HAND
  }

  async #handOver(message: Message): Promise<void> {
    let post: IngressMessage
    let writer: PoolWriter
    try {
      post = decodeIngress(message.body)
      writer = await this.writer(post.pool)
    } catch (error) {
      // Not ours, or for a pool that is not there: kept, since a person may know more.
      this.#options.report({ kind: 'bad-message', error })
      return this.#options.ingress.giveBack([message], SET_ASIDE_MS)
    }
    if (writer.halted) return this.#options.ingress.giveBack([message], SET_ASIDE_MS)
    writer.accept(post, message)
  }

  /** Receives no more, puts what is in hand, lets the effects go out. What remains is redone by the next start. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#receiving
    const writers = await Promise.allSettled(this.#writers.values())
    await Promise.all(writers.flatMap((writer) => (writer.status === 'fulfilled' ? [writer.value.stop()] : [])))
  }
}
