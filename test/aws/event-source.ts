import { DeleteMessageBatchCommand, type Message, ReceiveMessageCommand, type SQSClient } from '@aws-sdk/client-sqs'
import type { BellsEvent, BellsResponse } from '../../functions/handler/lambda.ts'

/** As Lambda has it for a FIFO queue. */
const BATCH = 10
const WAIT_S = 20

export interface EventSourceOptions {
  client: SQSClient
  url: string
  call: (event: BellsEvent) => Promise<BellsResponse>
}

/**
 * What Lambda does with a queue for a function: it waits for messages, calls the function with a batch of them, and deletes those that are done. Here it is one
 * poller; Lambda has five, of which those that find nothing ask three times a minute each.
 */
export class EventSource {
  readonly #options: EventSourceOptions
  readonly #stopped = new AbortController()
  readonly #polling: Promise<void>

  constructor(options: EventSourceOptions) {
    this.#options = options
    this.#polling = this.#poll()
  }

  async #poll(): Promise<void> {
    const { client, url: QueueUrl, call } = this.#options
    const { signal } = this.#stopped
    const receive = new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: BATCH,
      WaitTimeSeconds: WAIT_S,
      MessageSystemAttributeNames: ['All'],
    })
    while (!signal.aborted) {
      const messages = await client.send(receive, { abortSignal: signal }).then(
        ({ Messages = [] }) => Messages,
        (error) => {
          if (!signal.aborted) throw error
          return []
        },
      )
      if (!messages.length) continue
      const { batchItemFailures } = await call({ Records: messages.map(recordOf) })
      const failed = new Set(batchItemFailures.map(({ itemIdentifier }) => itemIdentifier))
      const done = messages.filter(({ MessageId }) => !failed.has(MessageId!))
      if (!done.length) continue
      const Entries = done.map(({ ReceiptHandle }, i) => ({ Id: String(i), ReceiptHandle }))
      await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
    }
  }

  /** Ends when the batch under way has been answered. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#polling
  }
}

function recordOf({ MessageId, Body, ReceiptHandle, Attributes }: Message): BellsEvent['Records'][number] {
  const { ApproximateReceiveCount = '1', MessageGroupId } = Attributes ?? {}
  return { messageId: MessageId!, body: Body!, receiptHandle: ReceiptHandle!, attributes: { ApproximateReceiveCount, MessageGroupId } }
}
