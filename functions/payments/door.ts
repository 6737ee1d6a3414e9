import { dialectOf, readPayment } from '../../shared/bip270/payment.ts'
import { type ErrorCode, OverpoolError } from '../../shared/errors.ts'
import { hex } from '../../shared/ledger/values.ts'
import { type AcceptDeps, accept, type PoolDoor } from '../../shared/machine/accept.ts'
import type { TxEvent } from '../../shared/machine/event.ts'
import { isLoopback } from './loopback.ts'
import { poolPage } from './page.ts'

export interface DoorDeps extends AcceptDeps {
  pool: (path: string) => PoolDoor | undefined | Promise<PoolDoor | undefined>
  /** whether only programs of this host reach the door */
  isLoopback?: boolean
  /** the newest entries of a pool, for the page that a browser of this host gets */
  newest?: (path: string) => Promise<TxEvent[]>
  /** called with failures of ours, whose details the wallet does not get */
  log: (error: unknown) => void
}

/** The parts of a request that the door reads. */
export interface DoorRequest {
  method: string
  /** without the query, percent escapes as they are */
  path: string
  /** @param name in small letters */
  header: (name: string) => string | undefined
  /** Reads the body, once; PAYMENT_TOO_LARGE, OVERLOADED, or MALFORMED_PAYMENT when it breaks off. */
  body: () => Promise<Uint8Array>
}

export interface DoorAnswer {
  status: number
  /** the reason phrase of a refusal: some wallets show nothing else */
  reason?: string
  headers: Readonly<Record<string, string>>
  body?: string
}

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'POST, OPTIONS',
  'access-control-allow-headers': 'Content-Type, Accept',
  'access-control-max-age': '86400',
}
const JSON_HEADERS = { 'content-type': 'application/json', ...CORS }
/** A host and perhaps a port. */
const HOST = /^([\w.-]+|\[[\da-f:.]+\])(:\d+)?$/i
/** Characters of a reason phrase. */
const MAX_REASON = 200
/** Names of headers, separated by commas (RFC 9110, tokens). */
const HEADER_NAMES = /^[\w!#$%&'*+.^`|~, -]{1,1000}$/

/**
 * The HTTP door: `POST /{pool}` takes a BIP270 Payment and answers with a PaymentACK when it is durable. The Lambda and the local server share this function and bring
 * their own way to read and to answer. It writes nothing but payments (Promise 7).
 */
export async function answerAtDoor(request: DoorRequest, deps: DoorDeps): Promise<DoorAnswer> {
  try {
    return await answer(request, deps)
  } catch (error) {
    if (isOurFault(error)) deps.log(error)
    return refusal(error)
  }
}

async function answer(request: DoorRequest, deps: DoorDeps): Promise<DoorAnswer> {
  const { method, path, header, body } = request
  if (method === 'OPTIONS') return { status: 204, headers: preflight(request, deps) }
  if (path === '/_/health' && (method === 'GET' || method === 'HEAD')) return { status: 200, headers: JSON_HEADERS, body: '{"ok":true}' }
  const [name, ...more] = path.split('/').filter((part) => part) // people and proxies add slashes
  if (name === undefined || more.length) throw new OverpoolError('POOL_NOT_FOUND', 'payments are posted to /{pool}')
  const isPage = (method === 'GET' || method === 'HEAD') && (header('accept') ?? '').includes('text/html')
  if (method !== 'POST' && !isPage) throw new OverpoolError('METHOD_NOT_ALLOWED', 'a pool takes a POST with a BIP270 Payment')
  const found = deps.pool(unescaped(name))
  const pool = found instanceof Promise ? await found : found
  if (!pool) throw new OverpoolError('POOL_NOT_FOUND', 'no pool of this name takes payments here')
  if (isPage) return page(pool.path, request, deps)
  const dialect = dialectOf(header('content-type'), header('content-encoding'))
  const payment = readPayment(await body(), dialect)
  await accept(pool, payment, { source: 'http' }, deps)
  const copy = { transaction: hex(payment.scanned.bytes), ...payment.fields }
  return {
    status: 200,
    headers: JSON_HEADERS,
    body: JSON.stringify({ payment: copy, memo: `Received into ${pool.path}`, error: 0, success: true }),
  }
}

/** Without a header for other origins: a page of the web cannot read it. */
const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  vary: 'Accept',
}
/** Headers of proxies: behind one, a stranger may look at the page. */
const FORWARDED = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip']

async function page(path: string, { header }: DoorRequest, { newest }: DoorDeps): Promise<DoorAnswer> {
  const host = header('host') ?? ''
  const scheme = header('x-forwarded-proto') === 'https' ? 'https' : 'http'
  // A name that is not of this host may have been made to lead here, so that a page of the web can read the answer.
  const isHere = isLoopback(HOST.exec(host)?.[1] ?? '') && !FORWARDED.some((name) => header(name) !== undefined)
  const entries = isHere ? await newest?.(path) : undefined
  const url = `${scheme}://${HOST.test(host) ? host : '<host>'}/${path}`
  return { status: 200, headers: PAGE_HEADERS, body: poolPage({ path, url, entries }) }
}

/** A page may send any header that it asks for: the door reads no credentials. A browser asks too whether a page may reach the machine that it runs on. */
function preflight({ header }: DoorRequest, { isLoopback }: DoorDeps): Record<string, string> {
  const headers: Record<string, string> = { ...CORS, vary: 'Access-Control-Request-Headers, Access-Control-Request-Private-Network' }
  const asked = header('access-control-request-headers')
  if (asked !== undefined && HEADER_NAMES.test(asked)) headers['access-control-allow-headers'] = asked
  if (isLoopback && header('access-control-request-private-network') === 'true') headers['access-control-allow-private-network'] = 'true'
  return headers
}

function unescaped(name: string): string {
  if (!name.includes('%')) return name
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

/** The answer to a failure: a status and a PaymentACK, since some wallets read only the status, others only `error`. */
function refusal(error: unknown): DoorAnswer {
  const code = error instanceof OverpoolError ? error.code : undefined
  const status = code ? statusOf(code) : 500
  const headers: Record<string, string> = { ...JSON_HEADERS }
  if (status === 405) headers.allow = 'POST, OPTIONS'
  if (status === 415) headers['accept-encoding'] = 'identity'
  if (status === 503) headers['retry-after'] = '1'
  const memo = sentence(error, status)
  return { status, reason: reasonPhrase(memo), headers, body: JSON.stringify({ memo, error: 1, ...(status !== 500 && { code }) }) }
}

/** A sentence in the status line: ASCII only, and no longer than a wallet shows. */
function reasonPhrase(memo: string): string {
  return memo.slice(0, MAX_REASON).replace(/[^\x20-\x7e]/g, '?')
}

/** Whether to log a failure. Overload and halted pools would fill the log with every post. */
function isOurFault(error: unknown): boolean {
  return !(error instanceof OverpoolError) || (statusOf(error.code) >= 500 && !['OVERLOADED', 'POOL_HALTED', 'CLOSED'].includes(error.code))
}

/** The sentence for the wallet. It names faults of the payment; details of our own faults go to the log only. */
function sentence(error: unknown, status: number): string {
  if (error instanceof OverpoolError && (status < 500 || error.code === 'OVERLOADED')) return error.message
  if (error instanceof OverpoolError && error.code === 'POOL_HALTED')
    return 'This pool takes no payments at this moment. Please try again later.'
  return 'The payment could not be taken. Please send it again: it is recorded once, however often it is sent.'
}

function statusOf(code: ErrorCode): number {
  switch (code) {
    case 'MALFORMED_PAYMENT':
      return 400
    case 'FILTER_REFUSED':
      return 403
    case 'POOL_NOT_FOUND':
      return 404
    case 'METHOD_NOT_ALLOWED':
      return 405
    case 'PAYMENT_TOO_LARGE':
      return 413
    case 'UNSUPPORTED_MEDIA_TYPE':
      return 415
    case 'BAD_PAYMENT':
    case 'BAD_TRANSACTION':
      return 422
    case 'OVERLOADED':
    case 'POOL_HALTED':
    case 'FILTER_SILENT':
    case 'UNAVAILABLE':
    case 'CLOSED':
      return 503
    default:
      return 500
  }
}
