import type { EntryId } from '../ledger/kinds.ts'
import type { IngressMessage } from '../ledger/messages.ts'

/** A message on its way into a queue. */
export interface Outgoing {
  body: Uint8Array
  /**
   * Required by FIFO queues: messages of a group keep their order, and none is received while an earlier one is in flight.
   * Ingress: the pool.
   */
  group?: string
  /** FIFO queues: a second message with this id within 5 minutes is dropped */
  dedupe?: string
}

/** A received message. It comes again when its visibility time is over, unless it is deleted. */
export interface Message {
  body: Uint8Array
  group?: string
  /** names this receive of the message: after a redelivery an old handle has no effect */
  handle: string
  /** how often it has been received, 1 the first time */
  receives: number
}

export interface ReceiveOptions {
  max: number
  /** how long to wait for a first message, ms; on AWS whole seconds, 20 at most */
  waitMs: number
  /** ends the wait early: messages that have arrived are returned; those on their way come again when their visibility time is over */
  signal?: AbortSignal
}

/**
 * A durable queue, at least once. Two implementations pass one contract test.
 * How long a received message stays hidden (its visibility) is the queue's own setting.
 * A temporary failure is UNAVAILABLE and retryable; calls retry by themselves before they throw it.
 */
export interface Queue {
  readonly fifo: boolean
  /** Resolves when all messages are durable. After a failure some may be in the queue: a caller that sends again relies on ids. */
  send(messages: Outgoing[]): Promise<void>
  receive(options: ReceiveOptions): Promise<Message[]>
  delete(messages: Message[]): Promise<void>
  /** Makes them visible again after `delayMs` (0: at once; on AWS whole seconds, rounded up). */
  giveBack(messages: Message[], delayMs: number): Promise<void>
  /** Waiting messages, and messages that were received and not deleted. An estimate on AWS. */
  depth(): Promise<{ waiting: number; inFlight: number }>
  /** Fails as `send` would at this moment. */
  check(): Promise<void>
}

/** The ingress for posters: one queue, or those of all shards. */
export interface Ingress extends Pick<Queue, 'send' | 'depth' | 'check'> {
  /** Only where the writer runs in this process: takes a post without the queue. Resolves when it is durable. */
  post?(post: IngressMessage): Promise<void>
  /** Only there: puts it into the queue, and knows it as one that is on its way into the ledger. */
  enqueue?(post: IngressMessage): Promise<void>
  /** Only there: whether a post is on its way into the ledger, or in a block whose receipts may not be written yet. */
  holds?(pool: string, id: EntryId): boolean
}
