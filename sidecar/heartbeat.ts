import { utimesSync, writeFileSync } from 'node:fs'
import type { Clock } from '../shared/clock.ts'

/** The file is touched so often, and something is said every so many times. */
const BEAT_MS = 5_000
const SAID_EACH = 12
/** A file that is older than this belongs to a sidecar that stands still, ms. */
export const STALE_MS = 30_000

/** Touches a file for as long as the loops move, for the container's health check (`health.ts`), and says once a minute that it is there. */
export function beat(file: string, clock: Clock, look: () => { moves: boolean; say: () => void }): { stop: () => void } {
  const stopped = new AbortController()
  writeFileSync(file, '')
  const run = async () => {
    for (let beats = 0; !stopped.signal.aborted; beats++) {
      const { moves, say } = look()
      if (moves) utimesSync(file, new Date(), new Date())
      if (moves && beats % SAID_EACH === 0) say()
      await clock.sleep(BEAT_MS, stopped.signal)
    }
  }
  void run()
  return { stop: () => stopped.abort() }
}
