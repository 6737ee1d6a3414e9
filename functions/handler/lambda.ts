import type { Delivered, SqsQueue } from '../../shared/queue/sqs.ts'
import { answerBells, type BellsOptions } from './bells.ts'
import type { Answer, Receives } from './runner.ts'

/** Lambda's event for SQS messages. */
export interface BellsEvent {
  Records: (Delivered & { messageId: string })[]
}

/** The failed messages: Lambda leaves them in the queue and deletes the others. */
export interface BellsResponse {
  batchItemFailures: { itemIdentifier: string }[]
}

export interface BellsDeps extends Omit<BellsOptions, 'answer'> {
  queue: Pick<SqsQueue, 'delivered' | 'giveBack'>
  /** @param remainingMs until Lambda ends this call */
  answer: (bell: Parameters<BellsOptions['answer']>[0], receives: Receives, remainingMs: () => number) => Promise<Answer>
}

/**
 * Answers the bells of a batch: pools side by side, the bells of one pool together. If a pool's bells are not done, all of them go back, so that none overtakes an earlier
 * one. They come again when the answer says so, not only when their visibility time is over.
 */
export async function answerBatch(
  { Records }: BellsEvent,
  remainingMs: () => number,
  { queue, answer, report }: BellsDeps,
): Promise<BellsResponse> {
  const byPool = Map.groupBy(Records, ({ attributes }) => attributes.MessageGroupId)
  const failed = await Promise.all(
    [...byPool.values()].map(async (records) => {
      try {
        const messages = await Promise.all(records.map((record) => queue.delivered(record)))
        const verdict = await answerBells(messages, { answer: (bell, receives) => answer(bell, receives, remainingMs), report })
        if (verdict.done) return []
        await queue.giveBack(messages, verdict.againMs)
      } catch (error) {
        report(error) // they come again by themselves, later
      }
      return records
    }),
  )
  return { batchItemFailures: failed.flat().map(({ messageId }) => ({ itemIdentifier: messageId })) }
}
