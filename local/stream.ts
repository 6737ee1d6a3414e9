import type { ServerResponse } from 'node:http'
import type { DoorAnswer, Sink } from '../functions/payments/http.ts'

/** Sends a body of any length, until it ends or the client has gone. */
export async function sendStream(
  outgoing: ServerResponse,
  { status, headers }: Pick<DoorAnswer, 'status' | 'headers'>,
  stream: NonNullable<DoorAnswer['stream']>,
): Promise<void> {
  const gone = new AbortController()
  if (outgoing.destroyed || !outgoing.socket) gone.abort()
  outgoing.once('close', () => gone.abort())
  if (!gone.signal.aborted) {
    outgoing.writeHead(status, headers)
    outgoing.flushHeaders()
  }
  await stream(sinkOf(outgoing, gone.signal))
  outgoing.end()
}

function sinkOf(outgoing: ServerResponse, gone: AbortSignal): Sink {
  return {
    write: (bytes) => gone.aborted || outgoing.write(bytes), // a write to a connection that is closed is an error that nobody listens for
    drained: (ms) => drained(outgoing, ms, gone),
    cut: () => void outgoing.destroy(),
    gone,
  }
}

function drained(outgoing: ServerResponse, ms: number, gone: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (gone.aborted || !outgoing.writableNeedDrain) return resolve(!gone.aborted)
    const over = (isDrained: boolean) => {
      clearTimeout(timer)
      outgoing.off('drain', yes)
      gone.removeEventListener('abort', no)
      resolve(isDrained)
    }
    const yes = () => over(true)
    const no = () => over(false)
    const timer = setTimeout(no, ms)
    outgoing.once('drain', yes)
    gone.addEventListener('abort', no)
  })
}
