import { setTimeout as wait } from 'node:timers/promises'
import { DeleteMessageBatchCommand, ReceiveMessageCommand, type SQSClient } from '@aws-sdk/client-sqs'
import type { BellsEvent, BellsResponse } from '../../functions/handler/lambda.ts'

/** Lambda: messages of a FIFO queue that a function is given at once at most. */
const BATCH = 10
/** How long a receive waits, seconds, and how long after one that failed the next one comes, ms. */
const WAIT_S = 20
const AGAIN_MS = 50

/** A call of the function. */
export interface Invocation {
  event: BellsEvent
  response: BellsResponse
}

export interface EventSourceOptions {
  client: SQSClient
  url: string
  /** how many of the function run side by side, each with its poller; Lambda begins with five pollers */
  functions: number
  /** the function */
  invoke: (event: BellsEvent) => Promise<BellsResponse>
}

/** What stands between a FIFO queue and a function on AWS: calls it with what comes, and deletes what it has not named as failed. */
export class EventSource {
  readonly invocations: Invocation[] = []
  readonly #options: EventSourceOptions
  #stopped = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: EventSourceOptions) {
    this.#options = options
  }

  start(): void {
    this.#stopped = new AbortController()
    this.#running = Promise.all(Array.from({ length: this.#options.functions }, () => this.#run()))
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) await this.once().catch(() => wait(AGAIN_MS, undefined, { signal }).catch(() => {}))
  }

  /** Waits for messages and calls the function with them, once; undefined if none came. */
  async once(): Promise<Invocation | undefined> {
    const { client, url: QueueUrl, invoke } = this.#options
    const command = new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: BATCH,
      WaitTimeSeconds: WAIT_S,
      MessageSystemAttributeNames: ['ApproximateReceiveCount', 'MessageGroupId'],
    })
    const { Messages = [] } = await client.send(command, { abortSignal: this.#stopped.signal })
    if (!Messages.length) return undefined
    const Records = Messages.map(({ MessageId, Body, ReceiptHandle, Attributes = {} }) => ({
      messageId: MessageId!,
      body: Body!,
      receiptHandle: ReceiptHandle!,
      attributes: { ApproximateReceiveCount: Attributes.ApproximateReceiveCount!, MessageGroupId: Attributes.MessageGroupId },
    }))
    const event = { Records }
    const response = await invoke(event)
    const failed = new Set(response.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier))
    const Entries = Records.flatMap(({ messageId, receiptHandle }, i) =>
      failed.has(messageId) ? [] : [{ Id: String(i), ReceiptHandle: receiptHandle }],
    )
    if (Entries.length) await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
    this.invocations.push({ event, response })
    return { event, response }
  }

  /** Takes no more, and waits for the functions that run. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
  }
}
