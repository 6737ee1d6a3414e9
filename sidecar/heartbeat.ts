import { utimesSync, writeFileSync } from 'node:fs'
import type { Clock } from '../shared/clock.ts'

/** How often the file is touched, ms. */
const BEAT_MS = 5_000
/** Beats between two log lines. */
const BEATS_PER_REPORT = 12
/** A file older than this belongs to a stuck sidecar, ms. */
export const STALE_MS = 30_000

/** Touches a file while the loops make progress, for the container's health check (`health.ts`), and logs once a minute that the sidecar is alive. */
export function beat(file: string, clock: Clock, look: () => { moves: boolean; report: () => void }): { stop: () => void } {
  const stopped = new AbortController()
  writeFileSync(file, '')
  const run = async () => {
    for (let beats = 0; !stopped.signal.aborted; beats++) {
      const { moves, report } = look()
      if (moves) utimesSync(file, new Date(), new Date())
      if (moves && beats % BEATS_PER_REPORT === 0) report()
      await clock.sleep(BEAT_MS, stopped.signal)
    }
  }
  void run()
  return { stop: () => stopped.abort() }
}
