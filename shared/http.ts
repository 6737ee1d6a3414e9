import { OverpoolError } from './errors.ts'

/** An answer over HTTP, read to its end. */
export interface HttpAnswer {
  status: number
  headers: Headers
  body: Buffer
}

export interface HttpRequest {
  method?: 'GET' | 'POST'
  headers?: Record<string, string>
  body?: string | Uint8Array
  /** longest time until the end of the answer, ms, default 30,000 */
  timeoutMs?: number
  /** longest answer, bytes, default 8 MiB */
  maxBytes?: number
}

const TIMEOUT_MS = 30_000
const MAX_BYTES = 8 * 1024 * 1024

/**
 * Asks a service of the network over HTTP, within bounds of time and bytes, whatever its status says. A redirect is an answer and is not followed: it could take a key elsewhere.
 * @param name the service, as errors name it: URLs may hold secrets
 * @throws OverpoolError UNAVAILABLE, retryable: no whole answer came
 */
export async function askHttp(name: string, url: string | URL, request: HttpRequest = {}): Promise<HttpAnswer> {
  const { method = 'GET', headers, body, timeoutMs = TIMEOUT_MS, maxBytes = MAX_BYTES } = request
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(url, { method, headers, body, signal, redirect: 'manual' })
    return { status: response.status, headers: response.headers, body: await readAll(response, maxBytes) }
  } catch (cause) {
    const why = signal.aborted
      ? `did not answer within ${timeoutMs / 1000} s`
      : cause instanceof TooLong
        ? cause.message
        : 'cannot be reached'
    throw new OverpoolError('UNAVAILABLE', `${name} ${why}`, { cause, retryable: true })
  }
}

class TooLong extends Error {}

async function readAll(response: Response, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > maxBytes) throw new TooLong(`answers with more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** The error of an answer that is no answer to the question. It says when to come back if the service says so. */
export function unanswered(
  name: string,
  { status, headers }: Pick<HttpAnswer, 'status' | 'headers'>,
  what = `answers with HTTP status ${status}`,
): OverpoolError {
  const retryAfterS = secondsOf(headers.get('retry-after'))
  return new OverpoolError('UNAVAILABLE', `${name} ${what}`, { retryable: true, ...(retryAfterS !== undefined && { retryAfterS }) })
}

const MAX_RETRY_AFTER_S = 24 * 3600

/** `Retry-After` is seconds or a date. */
function secondsOf(retryAfter: string | null): number | undefined {
  if (!retryAfter) return undefined
  const seconds = /^\d+$/.test(retryAfter) ? Number(retryAfter) : Math.ceil((Date.parse(retryAfter) - Date.now()) / 1000)
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(0, seconds), MAX_RETRY_AFTER_S)
}
