import type { IngressMessage } from '../ledger/messages.ts'

/** A message on its way into a queue. */
export interface Outgoing {
  body: Uint8Array
  /**
   * FIFO queues want one: messages of a group keep their order, and none is given out while an earlier one is in flight.
   * Ingress: the pool, whose shard takes it.
   */
  group?: string
  /** FIFO queues: a second message with this id within 5 minutes is dropped */
  dedupe?: string
}

/** A message taken from a queue. It comes back when its visibility lapses, unless it is deleted. */
export interface Message {
  body: Uint8Array
  group?: string
  /** names this receive of the message: after a redelivery the old handle does nothing */
  handle: string
  /** how often it has been given out, 1 the first time */
  receives: number
}

export interface ReceiveOptions {
  max: number
  /** how long to wait for a first message, ms; on AWS whole seconds, 20 at most */
  waitMs: number
  /** ends the wait early; what has arrived is still given, and what was on its way comes again when its visibility lapses */
  signal?: AbortSignal
}

/**
 * A durable queue, at least once. Two implementations pass one contract test.
 * How long a received message stays hidden (its visibility) is the queue's own setting.
 * A failure that waiting may mend is UNAVAILABLE and retryable; calls have retried by themselves before they say so.
 */
export interface Queue {
  readonly fifo: boolean
  /** Resolves when all of them are held durably. On a failure some may be held: who sends again relies on ids, not on this. */
  send(messages: Outgoing[]): Promise<void>
  receive(options: ReceiveOptions): Promise<Message[]>
  delete(messages: Message[]): Promise<void>
  /** Makes them visible again after `delayMs` (0: at once; on AWS whole seconds, rounded up). */
  giveBack(messages: Message[], delayMs: number): Promise<void>
  /** Messages that wait, and messages given out and not yet deleted. On AWS an estimate. */
  depth(): Promise<{ waiting: number; inFlight: number }>
}

/** The ingress queue, or those of all shards, as they who post know it. */
export interface Ingress extends Pick<Queue, 'send' | 'depth'> {
  /** Where the writer runs in this process: takes a post without its way through the queue. Resolves when it is held durably. */
  post?(post: IngressMessage): Promise<void>
}
