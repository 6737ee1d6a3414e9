import type { ServerContext } from '@modelcontextprotocol/server'
import { z } from 'zod'
import type { RemoteMachine } from '../../client/remote.ts'

const MAX_SECONDS = 300
/** It looks this often without being notified, and says this often that it still waits, ms. */
const LOOK_MS = 1_000
const PROGRESS_MS = 10_000

export const SECONDS = z
  .number()
  .min(0)
  .max(MAX_SECONDS)
  .default(25)
  .describe('how long to wait at most. Many clients end a call after 60 s: rather wait several times')

/** Looks until there is something, the time is over, or the call was cancelled. Undefined: nothing came. */
export async function waited<T>(
  machine: RemoteMachine,
  seconds: number,
  { mcpReq: { signal, _meta, notify } }: ServerContext,
  look: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const begun = performance.now()
  let saidAt = begun
  while (true) {
    const found = await look()
    const now = performance.now()
    const left = seconds * 1_000 - (now - begun)
    if (found !== undefined || left <= 0 || signal.aborted) return found
    if (_meta?.progressToken !== undefined && now - saidAt > PROGRESS_MS) {
      const params = { progressToken: _meta.progressToken, progress: Math.round((now - begun) / 1_000), total: seconds }
      await notify({ method: 'notifications/progress', params })
      saidAt = now
    }
    await machine.changed(Math.min(left, LOOK_MS), signal)
  }
}
