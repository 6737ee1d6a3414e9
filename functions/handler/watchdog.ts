import { url as inspectorUrl } from 'node:inspector'
import { Worker } from 'node:worker_threads'
import { stackOf } from '../../shared/errors.ts'
import { type LogFormat, logLine } from '../../shared/log.ts'
import { codeContext, handlerContext } from '../../shared/machine/context.ts'

/** How often this thread shows that it is not blocked, ms. */
const BEAT_MS = 500
/** A handler may block the process for about this long, ms. */
const BLOCKED_MS = 10_000

/** What the watchdog's thread is started with. */
export interface Watched {
  /** counts up while the watched thread is not blocked */
  beats: Int32Array
  beatMs: number
  blockedMs: number
  /** of what it says */
  format: LogFormat
  /** an expression for the watched thread: the name of the call that it is running, undefined if it is none of the user's */
  question: string
}

const BLOCKING_CALL = 'overpool.blocking-call'

let isWatching = false

/**
 * Starts a thread that ends the process when code of a handler or a filter keeps the process busy without a pause, such as an endless loop: door, timers and signals wait for it for ever. It
 * first says which one it is. It runs until the process ends, and does not keep it from ending.
 */
export function watchForBlocking(format: LogFormat = 'plain', blockedMs = BLOCKED_MS): void {
  if (isWatching) return
  isWatching = true
  const beats = new Int32Array(new SharedArrayBuffer(4))
  setInterval(() => Atomics.add(beats, 0, 1), BEAT_MS).unref()
  Reflect.set(globalThis, Symbol.for(BLOCKING_CALL), () => {
    if (inspectorUrl() !== undefined) return undefined // at a breakpoint the process stands still, too
    const call = handlerContext.getStore()
    return codeContext.getStore()?.name ?? (call && `handler ${call.handler} with ${call.pool} #${call.cause.seq}`)
  })
  const ending = /\.\w+$/.exec(import.meta.url)![0] // .ts here, .js in the package, .mjs in a function's bundle
  const workerData: Watched = {
    beats,
    beatMs: BEAT_MS,
    blockedMs,
    format,
    question: `globalThis[Symbol.for('${BLOCKING_CALL}')]()`,
  }
  // Without the program's own flags and loaders: it needs none of them.
  const thread = new Worker(new URL(`./watchdog-thread${ending}`, import.meta.url), {
    workerData,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 16 },
  })
  thread.on('error', (error) =>
    process.stderr.write(`${logLine(format, 'warn', `handlers that block are not noticed from now on: ${stackOf(error)}`)}\n`),
  )
  thread.unref()
}
