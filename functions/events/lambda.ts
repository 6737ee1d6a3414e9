import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { OverpoolError } from '../../shared/errors.ts'
import { type DoorAnswer, type DoorRequest, forOrigin, preflight, type Sink, unescaped } from '../payments/http.ts'
import { isRefusal, NO_EVENTS, refusal } from '../payments/refusal.ts'
import { answerFollower, type FollowDeps } from './follow.ts'

/** What a function URL calls its function with (payload format 2.0), as far as it is read here. */
export interface UrlEvent {
  rawPath: string
  rawQueryString?: string
  headers: Record<string, string | undefined>
  requestContext: { http: { method: string; sourceIp: string } }
}

/** Begins an answer: `awslambda.HttpResponseStream.from`. */
export type Begin = (stream: Writable, head: { statusCode: number; headers: Readonly<Record<string, string>> }) => Writable

/** A stream ends this long before the function does, ms. */
const MARGIN_MS = 10_000
/**
 * A stream lives for this long, ms. Lambda does not tell a function that its client has gone: one that was left costs this time. A client that is still there comes again, and goes on
 * where it was.
 */
const LIFE_MS = 240_000

/** The Lambda function that sends the events of pools, at a URL of its own whose answers are streams. */
export function eventsFunction(deps: Omit<FollowDeps, 'lifeMs'>, begin: Begin) {
  return async (event: UrlEvent, stream: Writable, remainingMs: () => number): Promise<void> => {
    const lifeMs = Math.max(0, Math.min(LIFE_MS, remainingMs() - MARGIN_MS))
    const { status: statusCode, headers, body, stream: send } = await answer(event, { ...deps, lifeMs })
    const out = begin(stream, { statusCode, headers })
    if (send) await send(sinkOf(out))
    else out.write(body ?? '')
    out.end()
  }
}

async function answer({ rawPath, rawQueryString, headers, requestContext }: UrlEvent, deps: FollowDeps): Promise<DoorAnswer> {
  const { method, sourceIp } = requestContext.http
  const request: DoorRequest = {
    method,
    path: rawPath,
    query: rawQueryString ?? '',
    header: (name) => headers[name],
    address: sourceIp,
    body: async () => new Uint8Array(),
  }
  const [name = '', events, ...more] = rawPath.split('/').filter((part) => part)
  const path = unescaped(name)
  try {
    if (method === 'OPTIONS') return { status: 204, headers: preflight(request, {}) }
    if (events !== 'events' || more.length)
      throw new OverpoolError('POOL_NOT_FOUND', 'this address only serves followers, at GET /{pool}/events; it takes no payments')
    return forOrigin(await answerFollower(request, path, deps), request, deps.pool(path))
  } catch (error) {
    if (!isRefusal(error)) deps.log(error)
    return forOrigin(refusal(error, undefined, NO_EVENTS), request, deps.pool(path))
  }
}

function sinkOf(out: Writable): Sink {
  const gone = new AbortController()
  out.once('close', () => gone.abort()).once('error', () => gone.abort())
  return {
    write: (bytes) => gone.signal.aborted || out.write(bytes),
    async drained(ms) {
      const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(ms)])
      return once(out, 'drain', { signal }).then(
        () => true,
        () => false,
      )
    },
    cut: () => void out.destroy(),
    gone: gone.signal,
  }
}
