import type { Clock } from '../clock.ts'
import { backoff } from '../retry.ts'
import type { Message, Queue } from './port.ts'

/** The wait for a first message, ms: the longest that SQS allows. */
const WAIT_MS = 20_000
/** Waits after failures, ms: the first, doubling up to the longest. */
const RETRY_MS = 50
const RETRY_MOST_MS = 5_000

export interface ReceiveLoopOptions {
  queue: Pick<Queue, 'receive'>
  /** messages taken at once at most */
  max: number
  clock: Clock
  /** ends the loop */
  signal: AbortSignal
  /** resolves when there is room for more messages */
  room: () => Promise<void>
  /** called after each receive with the messages, of which there may be none */
  take: (messages: Message[]) => void
  /** called with a failure; the loop goes on after a wait */
  report: (error: unknown) => void
}

/** Receives from a queue until the signal is aborted. Messages on their way then come again when their visibility time is over. */
export async function receiveLoop({ queue, max, clock, signal, room, take, report }: ReceiveLoopOptions): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    try {
      await room()
      if (signal.aborted) return
      take(await queue.receive({ max, waitMs: WAIT_MS, signal }))
      failures = 0
    } catch (error) {
      if (signal.aborted) return
      report(error)
      await clock.sleep(backoff(++failures, RETRY_MS, RETRY_MOST_MS), signal)
    }
  }
}
