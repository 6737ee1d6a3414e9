import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** So many bytes of buffers may be garbage. V8 by itself lets 64 MB gather, whatever the size of the heap. */
const GARBAGE_BYTES = 16 * 1024 * 1024
/** How often it looks, ms. */
const LOOK_MS = 25
/** At most one part in so many of the time is spent on it. */
const SHARE = 5

/**
 * Keeps the heap of this process close to the size of its live objects. Posts leave garbage: by default V8 lets the young generation grow to 100 MB under load, and
 * the old one to several times its live objects. Only for a process that runs nothing but the machine, since the flags change the whole process.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1') // the young generation stays at the 16 MB that it begins with
  setFlagsFromString('--heap-growing-percent=70') // a smaller number costs processor time, a larger one memory
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (how?: { type: 'minor' }) => void
  let least = Number.POSITIVE_INFINITY
  let notBefore = 0
  setInterval(() => {
    const begun = performance.now()
    const now = buffers()
    least = Math.min(least, now)
    if (now - least < GARBAGE_BYTES || begun < notBefore) return
    collect({ type: 'minor' }) // cheaper, and often enough
    if (buffers() - least >= GARBAGE_BYTES) {
      collect()
      least = buffers()
    }
    notBefore = begun + SHARE * (performance.now() - begun)
  }, LOOK_MS).unref()
}

/** Bytes of all buffers that are not collected yet. */
function buffers(): number {
  return process.memoryUsage().arrayBuffers
}
