import { type Bell, decodeBell } from '../../shared/ledger/messages.ts'
import type { Message } from '../../shared/queue/port.ts'
import { backoff } from '../../shared/retry.ts'
import type { Answer } from './runner.ts'

export interface BellsOptions {
  /** answers a bell. It throws if a store fails, not if the user's function fails */
  answer: (bell: Bell, receives: number) => Promise<Answer>
  report: (error: unknown) => void
}

/** Answers the bells of one pool together: the last covers the others. An unreadable bell is reported and counts as answered: the next bell, or the sweep, covers it. */
export async function answerBells(messages: Message[], { answer, report }: BellsOptions): Promise<Answer> {
  const receives = Math.max(...messages.map((message) => message.receives))
  let last: Bell | undefined
  for (const { body } of messages) {
    try {
      const bell = decodeBell(body)
      if (!last || bell.n >= last.n) last = bell
    } catch (error) {
      report(error)
    }
  }
  try {
    return last ? await answer(last, receives) : { done: true }
  } catch (error) {
    report(error)
    return { done: false, againMs: backoff(receives, 100, 30_000) }
  }
}
