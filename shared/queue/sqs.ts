import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import {
  type BatchResultErrorEntry,
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  type MessageSystemAttributeName,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  type SendMessageBatchRequestEntry,
  type SQSClient,
  type Message as SqsMessage,
} from '@aws-sdk/client-sqs'
import { ATTEMPT_MS, type CallOptions, call, chunks, parallel, passesByName, unavailable, untilNoneIsLeft } from '../aws/call.ts'
import type { Blobs } from '../blobs/port.ts'
import type { Message, Outgoing, Queue, ReceiveOptions } from './port.ts'

/** SQS: messages in one request. */
const BATCH = 10
/** SQS: the largest message, and the largest batch of messages, bytes as sent. */
const MAX_BYTES = 1024 * 1024
/** SQS: the longest wait for a first message, and the longest visibility time, seconds. */
const MAX_WAIT_S = 20
const MAX_HIDDEN_S = 12 * 3600
/** A receive takes no more bytes than this, except those of its last request. */
const RECEIVE_BYTES = 8 * 1024 * 1024
/** Requests that one call has under way at most. */
const WIDTH = 16

/** A body is base64; or this, followed by the sha256 of a blob. */
const POINTER = 'blob:'
const ATTRIBUTES: MessageSystemAttributeName[] = ['ApproximateReceiveCount', 'MessageGroupId']

/** A bell with its block inside stays below 64 KiB in base64: that much is one request, as SQS bills it. */
export const CARRY_BYTES = 48_000

export interface SqsQueueOptions {
  /** made with `maxAttempts: 1`: retries are ours (shared/aws/call.ts) */
  client: SQSClient
  /** of a queue whose messages may have 1 MiB; a FIFO queue's ends with `.fifo`, as SQS demands */
  url: string
  /** for bodies that are too large */
  blobs: Blobs
  /**
   * Gathers requests for this time, ms (default 0). After a receive that emptied the queue the next one waits, and a delete takes later ones along. A lone message is not
   * delayed; of many, ten share a request, and SQS bills requests.
   */
  gatherMs?: number
  giveUpMs?: number
}

/** The parts of a record of an SQS event that are used here. */
export interface Delivered {
  body: string
  receiptHandle: string
  attributes: { ApproximateReceiveCount: string; MessageGroupId?: string }
}

/** A queue in SQS, standard or FIFO. */
export class SqsQueue implements Queue {
  readonly fifo: boolean
  readonly #client: SQSClient
  readonly #url: string
  readonly #blobs: Blobs
  readonly #gatherMs: number
  readonly #options: CallOptions
  /** when the next receive may begin */
  #receiveAt = 0
  #leaving: { messages: Message[]; gone: Promise<void> } | undefined
  readonly #deleting = new Set<Promise<void>>()

  constructor({ client, url, blobs, gatherMs = 0, giveUpMs }: SqsQueueOptions) {
    this.fifo = url.endsWith('.fifo')
    this.#client = client
    this.#url = url
    this.#blobs = blobs
    this.#gatherMs = gatherMs
    this.#options = { giveUpMs }
  }

  // ---- send

  async send(messages: Outgoing[]): Promise<void> {
    const bodies = await parallel(messages, WIDTH, ({ body }) => this.#textOf(body))
    const entries = messages.map(
      ({ group, dedupe }, i): SendMessageBatchRequestEntry => ({
        Id: String(i),
        MessageBody: bodies[i]!,
        ...(this.fifo && { MessageGroupId: group, MessageDeduplicationId: dedupe ?? randomUUID() }),
      }),
    )
    for (const round of this.fifo ? inTurns(entries) : [entries]) {
      await parallel(batches(round), WIDTH, (batch) =>
        untilNoneIsLeft('sending', batch, (left) => this.#sendBatch(left), this.#options.giveUpMs),
      )
    }
  }

  async #textOf(body: Uint8Array): Promise<string> {
    if (Math.ceil(body.length / 3) * 4 > MAX_BYTES) return POINTER + (await this.#blobs.put(body)) // the blob is written before its message is sent
    return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64') || POINTER // SQS takes no empty body
  }

  async #sendBatch(Entries: SendMessageBatchRequestEntry[]): Promise<SendMessageBatchRequestEntry[]> {
    const command = new SendMessageBatchCommand({ QueueUrl: this.#url, Entries })
    const { Failed = [] } = await call('sending', (options) => this.#client.send(command, options), this.#options)
    const refused = Failed.find((failed) => !passes(failed))
    if (refused) throw unavailable('sending', new Error(`${refused.Code}: ${refused.Message}`), false)
    return named(Entries, Failed)
  }

  // ---- receive

  async receive({ max, waitMs, signal }: ReceiveOptions): Promise<Message[]> {
    try {
      if (this.#gatherMs) await wait(Math.max(0, this.#receiveAt - performance.now()), undefined, { signal })
      const messages = await this.#take(Math.min(BATCH, max), Math.min(MAX_WAIT_S, Math.ceil(waitMs / 1000)), signal)
      let isEmpty = messages.length < Math.min(BATCH, max)
      // A full answer means that there are more: then one more request, then two side by side, then four, until one is not full.
      for (let width = 1; !isEmpty && messages.length < max && bytesOf(messages) < RECEIVE_BYTES; width *= 2) {
        const wanted = chunks(new Array<number>(max - messages.length), BATCH).slice(0, width)
        const answers = await Promise.allSettled(wanted.map(({ length }) => this.#take(length, 0)))
        const more = answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : [])) // a failed one comes again later; we have some messages
        isEmpty = more.some(({ length }, i) => length < wanted[i]!.length)
        messages.push(...more.flat())
      }
      this.#receiveAt = isEmpty ? performance.now() + this.#gatherMs : 0
      return messages
    } catch (error) {
      if (signal?.aborted) return []
      throw error
    }
  }

  async #take(max: number, waitS: number, signal?: AbortSignal): Promise<Message[]> {
    const command = new ReceiveMessageCommand({
      QueueUrl: this.#url,
      MaxNumberOfMessages: max,
      WaitTimeSeconds: waitS,
      MessageSystemAttributeNames: ATTRIBUTES,
      // After a lost answer the next attempt gets the same messages: otherwise their groups would be blocked until their visibility time is over.
      ...(this.fifo && { ReceiveRequestAttemptId: randomUUID() }),
    })
    const request = (options: { abortSignal: AbortSignal }) => this.#client.send(command, options)
    const options = { ...this.#options, attemptMs: waitS * 1000 + ATTEMPT_MS, signal }
    const { Messages = [] } = await call('receiving', request, options)
    const read = await Promise.allSettled(Messages.map((message) => this.#read(message)))
    // A message whose blob cannot be read comes again when its visibility time is over, and so do later ones of its group.
    const held = new Set<string | undefined>()
    const messages = read.flatMap((one, i) => {
      const group = Messages[i]!.Attributes?.MessageGroupId
      if (one.status === 'fulfilled' && !(this.fifo && held.has(group))) return [one.value]
      held.add(group)
      return []
    })
    const failed = read.find((one) => one.status === 'rejected')
    if (failed && !messages.length) throw failed.reason
    return messages
  }

  /** A message that Lambda has received and passed to a function. */
  delivered({ body, receiptHandle, attributes }: Delivered): Promise<Message> {
    return this.#read({ Body: body, ReceiptHandle: receiptHandle, Attributes: attributes })
  }

  async #read({ Body = '', ReceiptHandle, Attributes = {} }: SqsMessage): Promise<Message> {
    return {
      body: await this.#bytesOf(Body),
      group: Attributes.MessageGroupId,
      handle: ReceiptHandle!,
      receives: Number(Attributes.ApproximateReceiveCount ?? 1),
    }
  }

  async #bytesOf(text: string): Promise<Uint8Array> {
    if (!text.startsWith(POINTER)) return Buffer.from(text, 'base64')
    return text === POINTER ? new Uint8Array(0) : this.#blobs.get(text.slice(POINTER.length))
  }

  // ---- delete, give back

  delete(messages: Message[]): Promise<void> {
    const gone = this.#gatherMs ? this.#gather(messages) : this.#deleteAll(messages)
    this.#deleting.add(gone)
    const forget = () => this.#deleting.delete(gone)
    gone.then(forget, forget)
    return gone
  }

  #gather(messages: Message[]): Promise<void> {
    if (!this.#leaving) {
      const together: Message[] = []
      const gone = wait(this.#gatherMs).then(() => {
        this.#leaving = undefined
        return this.#deleteAll(together)
      })
      this.#leaving = { messages: together, gone }
    }
    this.#leaving.messages.push(...messages)
    return this.#leaving.gone
  }

  async #deleteAll(messages: Message[]): Promise<void> {
    const entries = messages.map(({ handle }, i) => ({ Id: String(i), ReceiptHandle: handle }))
    await this.#forEach('deleting', entries, (Entries, options) =>
      this.#client.send(new DeleteMessageBatchCommand({ QueueUrl: this.#url, Entries }), options),
    )
  }

  async giveBack(messages: Message[], delayMs: number): Promise<void> {
    const VisibilityTimeout = Math.min(MAX_HIDDEN_S, Math.ceil(delayMs / 1000))
    const entries = messages.map(({ handle }, i) => ({ Id: String(i), ReceiptHandle: handle, VisibilityTimeout }))
    await this.#forEach('giving back', entries, (Entries, options) =>
      this.#client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: this.#url, Entries }), options),
    )
  }

  /** Runs a batch request over received messages. A sender fault is an old handle, which has no effect: it is ignored. */
  async #forEach<T extends { Id: string }>(
    what: string,
    entries: T[],
    request: (entries: T[], options: { abortSignal: AbortSignal }) => Promise<{ Failed?: BatchResultErrorEntry[] }>,
  ): Promise<void> {
    const once = async (left: T[]) => {
      const { Failed = [] } = await call(what, (options) => request(left, options), this.#options)
      return named(left, Failed.filter(passes))
    }
    await parallel(chunks(entries, BATCH), WIDTH, (batch) => untilNoneIsLeft(what, batch, once, this.#options.giveUpMs))
  }

  async depth(): Promise<{ waiting: number; inFlight: number }> {
    const command = new GetQueueAttributesCommand({
      QueueUrl: this.#url,
      AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesDelayed', 'ApproximateNumberOfMessagesNotVisible'],
    })
    const { Attributes = {} } = await call('looking at the queue', (options) => this.#client.send(command, options), this.#options)
    const count = (name: keyof typeof Attributes) => Number(Attributes[name] ?? 0)
    return {
      waiting: count('ApproximateNumberOfMessages') + count('ApproximateNumberOfMessagesDelayed'),
      inFlight: count('ApproximateNumberOfMessagesNotVisible'),
    }
  }

  async check(): Promise<void> {
    await this.depth() // the right to send includes this one
  }

  /** Waits for the last deletes. The caller closes the client. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#deleting)
  }
}

/** Splits messages into rounds with at most one of each group: otherwise a failed one that is sent again would come after later ones. */
function inTurns(entries: SendMessageBatchRequestEntry[]): SendMessageBatchRequestEntry[][] {
  const rounds: SendMessageBatchRequestEntry[][] = []
  const turns = new Map<string | undefined, number>()
  for (const entry of entries) {
    const turn = turns.get(entry.MessageGroupId) ?? 0
    turns.set(entry.MessageGroupId, turn + 1)
    ;(rounds[turn] ??= []).push(entry)
  }
  return rounds
}

/** Batches of ten, or of fewer where the bytes would be too many. */
function batches(entries: SendMessageBatchRequestEntry[]): SendMessageBatchRequestEntry[][] {
  const all: SendMessageBatchRequestEntry[][] = []
  let bytes = 0
  for (const entry of entries) {
    const size = entry.MessageBody!.length
    bytes += size
    const last = all.at(-1)
    if (last && last.length < BATCH && bytes <= MAX_BYTES) last.push(entry)
    else {
      all.push([entry])
      bytes = size
    }
  }
  return all
}

function bytesOf(messages: Message[]): number {
  return messages.reduce((sum, { body }) => sum + body.length, 0)
}

/** Whether a part of a batch failed for a temporary reason. */
function passes({ SenderFault, Code = '' }: BatchResultErrorEntry): boolean {
  return !SenderFault || passesByName(Code)
}

function named<T extends { Id?: string }>(entries: T[], failed: BatchResultErrorEntry[]): T[] {
  const ids = new Set(failed.map(({ Id }) => Id))
  return entries.filter(({ Id }) => ids.has(Id))
}
