import { type Bell, decodeBell } from '../../shared/ledger/messages.ts'
import type { Message } from '../../shared/queue/port.ts'
import { backoff } from '../../shared/retry.ts'
import type { Answer, Receives } from './runner.ts'

export interface BellsOptions {
  /** answers a bell. It throws if a store fails, not if the user's function fails */
  answer: (bell: Bell, receives: Receives) => Promise<Answer>
  report: (error: unknown) => void
}

/** Answers the bells of one pool together: the last covers the others. An unreadable bell is reported and counts as answered: the next bell, or the sweep, covers it. */
export async function answerBells(messages: Message[], { answer, report }: BellsOptions): Promise<Answer> {
  const all: { n: number; receives: number }[] = []
  let last: Bell | undefined
  for (const { body, receives } of messages) {
    try {
      const bell = decodeBell(body)
      all.push({ n: bell.n, receives })
      if (!last || bell.n >= last.n) last = bell
    } catch (error) {
      report(error)
    }
  }
  // A bell for an earlier block may come again after its work is done: nobody has died in this one for it.
  const receives: Receives = (block) => Math.max(1, ...all.filter(({ n }) => n >= block).map((bell) => bell.receives))
  try {
    return last ? await answer(last, receives) : { done: true }
  } catch (error) {
    report(error)
    return { done: false, againMs: backoff(receives(0), 100, 30_000) }
  }
}
