import type { EntryId } from '../../shared/ledger/kinds.ts'
import { encodeIngress, type IngressMessage } from '../../shared/ledger/messages.ts'
import type { Ingress, Outgoing } from '../../shared/queue/port.ts'
import type { IngressConsumer } from './ingress-consumer.ts'

export interface DirectIngressOptions {
  queue: Ingress
  consumer: IngressConsumer
  /** calls back after this turn of the event loop: posts until then go into one block (default `setImmediate`) */
  soon?: (callback: () => void) => void
}

interface Gathered {
  post: IngressMessage
  resolve: () => void
  reject: (error: unknown) => void
}

/**
 * The ingress for posts of the sidecar's own process. A post goes straight to the writer of its pool, and is acknowledged when its block is in the mirror: one commit
 * instead of two. When the writer cannot take it, it goes into the queue, like posts of other processes.
 */
export class DirectIngress implements Ingress {
  readonly #queue: Ingress
  readonly #consumer: IngressConsumer
  readonly #soon: (callback: () => void) => void
  #gathered: Gathered[] = []
  #underWay = 0

  constructor({ queue, consumer, soon = setImmediate }: DirectIngressOptions) {
    this.#queue = queue
    this.#consumer = consumer
    this.#soon = soon
  }

  post(post: IngressMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#gathered.push({ post, resolve, reject }) === 1) this.#soon(() => this.#handOver())
    })
  }

  enqueue(post: IngressMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#underWay++
      this.#enqueue({ post, resolve, reject })
    })
  }

  #handOver(): void {
    const gathered = this.#gathered
    this.#gathered = []
    const { handsFull } = this.#consumer
    for (const each of gathered) {
      this.#underWay++
      const writer = handsFull ? undefined : this.#consumer.directWriter(each.post.pool)
      if (!writer) {
        this.#enqueue(each)
        continue
      }
      writer.acceptDirect(each.post, (inMirror) => {
        if (!inMirror) return this.#enqueue(each)
        this.#underWay--
        each.resolve()
      })
    }
  }

  #enqueue({ post, resolve, reject }: Gathered): void {
    this.#consumer.noteQueued(post)
    this.#queue
      .send([{ body: encodeIngress(post), group: post.pool }])
      .then(resolve, (error) => {
        this.#consumer.forgetQueued(post)
        reject(error)
      })
      .finally(() => this.#underWay--)
  }

  holds(pool: string, id: EntryId): boolean {
    return this.#consumer.holds(pool, id)
  }

  send(messages: Outgoing[]): Promise<void> {
    return this.#queue.send(messages)
  }

  check(): Promise<void> {
    return this.#queue.check()
  }

  async depth(): Promise<{ waiting: number; inFlight: number }> {
    const { waiting, inFlight } = await this.#queue.depth()
    return { waiting, inFlight: inFlight + this.#gathered.length + this.#underWay }
  }
}
