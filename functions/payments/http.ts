/** The parts of a request that the door reads. */
export interface DoorRequest {
  method: string
  /** without the query, percent escapes as they are */
  path: string
  /** what follows on the first `?`, '' if there is none */
  query?: string
  /** @param name in small letters */
  header: (name: string) => string | undefined
  /** the client's IP address, if it is known */
  address?: string
  /** Reads the body, once; PAYMENT_TOO_LARGE, OVERLOADED, or MALFORMED_PAYMENT when it breaks off. */
  body: () => Promise<Uint8Array>
}

export interface DoorAnswer {
  status: number
  /** the reason phrase of a refusal: some wallets show nothing else */
  reason?: string
  headers: Readonly<Record<string, string>>
  body?: string
  /** server-sent events instead of a body: sends data until it resolves, or the client has gone */
  events?: (send: (data: string) => void, gone: AbortSignal) => Promise<void>
  /** a body of any length instead: it writes until it resolves, or the client has gone */
  stream?: (sink: Sink) => Promise<void>
}

/** Where a body without an end is written to. */
export interface Sink {
  /** Returns whether more may be written before `drained` resolves. The bytes must not change. */
  write: (bytes: Uint8Array) => boolean
  /** Resolves to true when the client has read what was written; to false if it has not after `ms`, or has gone. */
  drained: (ms: number) => Promise<boolean>
  /** Breaks the connection off. */
  cut: () => void
  /** aborted when the client has gone */
  gone: AbortSignal
}

/** Pages of any origin may post and read answers: a door reads no credentials. */
export const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, POST, OPTIONS',
  'access-control-allow-headers': 'Content-Type, Accept',
  'access-control-max-age': '86400',
}
/** Of server-sent events: no proxy may keep them. */
export const EVENT_HEADERS = { ...CORS, 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' }
export const JSON_HEADERS = { 'content-type': 'application/json', ...CORS }
/** Of a page without a script. */
export const HTML_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
}

/** A part of a path without its percent escapes; as it is, if they are wrong. */
export function unescaped(part: string): string {
  if (!part.includes('%')) return part
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** Names of headers, separated by commas (RFC 9110, tokens). */
const HEADER_NAMES = /^[\w!#$%&'*+.^`|~, -]{1,1000}$/

/** A page may send any header that it asks for: the door reads no credentials. A browser asks too whether a page may reach the machine that it runs on. */
export function preflight({ header }: DoorRequest, { isLoopback }: { isLoopback?: boolean | undefined }): Record<string, string> {
  const headers: Record<string, string> = { ...CORS, vary: 'Access-Control-Request-Headers, Access-Control-Request-Private-Network' }
  const asked = header('access-control-request-headers')
  if (asked !== undefined && HEADER_NAMES.test(asked)) headers['access-control-allow-headers'] = asked
  if (isLoopback && header('access-control-request-private-network') === 'true') headers['access-control-allow-private-network'] = 'true'
  return headers
}

/** An answer that only the pages can read that may post into the pool. */
export function forOrigin(answer: DoorAnswer, { header }: DoorRequest, pool: { origins?: string[] | undefined } | undefined): DoorAnswer {
  if (!pool?.origins) return answer
  const origin = header('origin')
  const { 'access-control-allow-origin': _, ...headers } = answer.headers
  const isAllowed = origin !== undefined && pool.origins.includes(origin)
  return {
    ...answer,
    headers: {
      ...headers,
      ...(isAllowed && { 'access-control-allow-origin': origin }),
      vary: headers.vary === undefined ? 'origin' : `${headers.vary}, origin`,
    },
  }
}
