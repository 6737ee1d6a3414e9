import { writeSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { workerData } from 'node:worker_threads'
import { logLine } from '../../shared/log.ts'
import type { Watched } from './watchdog.ts'

const { beats, beatMs, blockedMs, format, question } = workerData as Watched
let last = -1
/** Turns of this thread without a beat. They are counted, not timed: a process that was stopped, or whose host slept, gets one turn afterwards. */
let silent = 0
let asking = false

setInterval(() => {
  const beat = Atomics.load(beats, 0)
  silent = beat === last ? silent + 1 : 0
  last = beat
  if (silent * beatMs >= blockedMs && !asking) void ask(beat)
}, beatMs)

/** Interrupts the blocked thread, asks it whose call is running there, and ends the process if it is a handler's or a filter's. */
async function ask(beat: number): Promise<void> {
  asking = true
  const session = new Session()
  session.connectToMainThread()
  const paused = new Promise<string>((resolve) =>
    session.once('Debugger.paused', ({ params }) => resolve(params.callFrames[0]!.callFrameId)),
  )
  await session.post('Debugger.enable')
  await session.post('Debugger.pause')
  const callFrameId = await paused // in native code it comes when that returns
  const { result } = await session.post('Debugger.evaluateOnCallFrame', { callFrameId, expression: question })
  if (result.value !== undefined && Atomics.load(beats, 0) === beat) {
    const why = `${result.value} has blocked the process for ${blockedMs / 1_000} s, and with it every pool; the process ends now, its supervisor has to start it again, and a handler's entry counts an attempt: do long work in steps, or in a worker thread`
    writeSync(2, `${logLine(format, 'error', why)}\n`)
    process.kill(process.pid, 'SIGKILL') // it is too busy to hear any other signal
  }
  session.disconnect()
  asking = false
}
