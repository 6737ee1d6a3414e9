import type { Clock } from '../../shared/clock.ts'
import { closed, OverpoolError } from '../../shared/errors.ts'
import type { IngressMessage } from '../../shared/ledger/messages.ts'
import type { PoolWriter } from './writer.ts'

/** The state of a pool's writer at one moment. */
export interface Since {
  writer: PoolWriter
  foreign: number
}

/** At most this many posts, and bytes, are handed over at once. */
const MAX_POSTS = 512
const MAX_BYTES = 8 * 1024 * 1024
/** How long to wait for a writer that takes nothing now, ms. */
const WAIT_MS = 20

/**
 * Writes entries into a pool in their order, for one whose order matters, such as the chain follower: unlike other posts they never go through the ingress queue. It resolves when
 * all of them are in the mirror. Each is written once, however often this is called (Promise 3).
 * @param writer opens the writer of the pool
 * @param since the writer, and how many blocks of others it had adopted, when the caller looked at the pool: what it writes follows on that
 * @throws OverpoolError POOL_HALTED; OVERTAKEN if another process has written meanwhile, as one may that has just died; CLOSED once `stopping` is aborted
 */
export async function writeInOrder(
  writer: () => Promise<PoolWriter>,
  posts: readonly IngressMessage[],
  clock: Clock,
  stopping: AbortSignal,
  since?: Since,
): Promise<void> {
  let left = posts.map((post) => (since ? { ...post, foreign: since.foreign } : post))
  while (left.length) {
    if (stopping.aborted) throw closed()
    const open = await writer()
    if (open.halted) throw open.halted
    if (since && (open !== since.writer || open.foreign !== since.foreign))
      throw new OverpoolError('OVERTAKEN', `another process has written into "${open.path}"`, { retryable: true })
    if (!open.takesInOrder) {
      await clock.sleep(WAIT_MS, stopping)
      continue
    }
    let bytes = 0
    const end = left.findIndex((post, i) => (bytes += post.entry.length) > MAX_BYTES && i > 0)
    const batch = left.slice(0, Math.min(MAX_POSTS, end < 0 ? left.length : end))
    const written = await Promise.all(batch.map((post) => new Promise<boolean>((settled) => open.acceptDirect(post, settled))))
    const kept = batch.filter((_, i) => !written[i])
    left = [...kept, ...left.slice(batch.length)]
    if (kept.length) await clock.sleep(WAIT_MS, stopping)
  }
}
