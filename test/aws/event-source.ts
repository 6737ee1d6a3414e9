import { setTimeout as wait } from 'node:timers/promises'
import { DeleteMessageBatchCommand, ReceiveMessageCommand, type SQSClient } from '@aws-sdk/client-sqs'
import type { BellsEvent, BellsResponse } from '../../functions/handler/lambda.ts'

/** The most messages of a FIFO queue that Lambda gives a function in one call. */
const BATCH = 10
/** The wait of a receive, s, and the pause after a receive that failed, ms. */
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
  /** the number of functions that run at once, each with its poller; Lambda begins with five pollers */
  functions: number
  /** the function */
  invoke: (event: BellsEvent) => Promise<BellsResponse>
}

/** Lambda's event source mapping: calls the function with messages of a FIFO queue, and deletes those that the function has not named as failed. */
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

  /** Waits for messages and calls the function with them once; resolves to undefined if none came. */
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

  /** Receives no more, and waits for the running functions. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
  }
}
