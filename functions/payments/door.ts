import { type CheckedPayment, dialectOf, readPayment } from '../../shared/bip270/payment.ts'
import { type ErrorCode, OverpoolError } from '../../shared/errors.ts'
import { hex } from '../../shared/ledger/values.ts'
import { type AcceptDeps, accept, type PoolDoor } from '../../shared/machine/accept.ts'
import type { TxEvent } from '../../shared/machine/event.ts'
import { turn } from '../../shared/turn.ts'
import { isLoopback } from './loopback.ts'
import { poolPage } from './page.ts'
import type { Quotas } from './quotas.ts'

export interface DoorDeps extends AcceptDeps {
  pool: (path: string) => PoolDoor | undefined | Promise<PoolDoor | undefined>
  /** all pools that take payments here */
  pools: () => PoolDoor[]
  /** whether only programs of this host reach the door */
  isLoopback?: boolean
  /** the newest entries of a pool, for the page that a browser of this host gets */
  newest?: (path: string) => Promise<TxEvent[]>
  /** called with failures of ours, whose details the wallet does not get */
  log: (error: unknown) => void
  /** called with refused payments */
  refused?: (refusal: Refusal) => void
  quotas: Quotas
}

/** A payment that was refused. */
export interface Refusal {
  /** where it was posted to */
  path: string
  status: number
  error: OverpoolError
}

/** The parts of a request that the door reads. */
export interface DoorRequest {
  method: string
  /** without the query, percent escapes as they are */
  path: string
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

/** Others have their turn before a message of this size, bytes, is answered. */
const LARGE = 64 * 1024
const BEFORE_TRANSACTION = '{"payment":{"transaction":"'

/**
 * The HTTP door: `POST /{pool}` takes a BIP270 Payment and answers with a PaymentACK when it is durable. The Lambda and the local server share this function and bring
 * their own way to read and to answer. It writes nothing but payments (Promise 7).
 */
export async function answerAtDoor(request: DoorRequest, deps: DoorDeps): Promise<DoorAnswer> {
  let pool: PoolDoor | undefined
  try {
    const name = poolNameIn(request.path)
    const found = name === undefined ? undefined : deps.pool(name)
    pool = found instanceof Promise ? await found : found
    return forOrigin(await answer(request, name, pool, deps), request, pool)
  } catch (error) {
    if (!isRefusal(error)) deps.log(error)
    else if (request.method === 'POST') deps.refused?.({ path: request.path, status: statusOf(error.code), error })
    return forOrigin(refusal(error), request, pool)
  }
}

/** The name in a path such as `/mypool`. People and proxies add slashes. */
function poolNameIn(path: string): string | undefined {
  const [name, ...more] = path.split('/').filter((part) => part)
  return name === undefined || more.length ? undefined : unescaped(name)
}

/** An answer that only the pages can read that may post into the pool. */
function forOrigin(answer: DoorAnswer, { header }: DoorRequest, pool: PoolDoor | undefined): DoorAnswer {
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

async function answer(request: DoorRequest, name: string | undefined, pool: PoolDoor | undefined, deps: DoorDeps): Promise<DoorAnswer> {
  const { method, path, header, address = '' } = request
  if (method === 'OPTIONS') return { status: 204, headers: preflight(request, deps) }
  if (path === '/_/health' && (method === 'GET' || method === 'HEAD')) return healthOf(deps)
  if (name === undefined) throw new OverpoolError('POOL_NOT_FOUND', 'payments are posted to /{pool}')
  const isPage = (method === 'GET' || method === 'HEAD') && (header('accept') ?? '').includes('text/html')
  if (method !== 'POST' && !isPage) throw new OverpoolError('METHOD_NOT_ALLOWED', 'a pool takes a POST with a BIP270 Payment')
  if (!pool) throw new OverpoolError('POOL_NOT_FOUND', 'no pool of this name takes payments here')
  if (isPage) return page(pool.path, request, deps)
  const origin = header('origin')
  if (origin !== undefined && pool.origins && !pool.origins.includes(origin))
    throw new OverpoolError('ORIGIN_REFUSED', 'this pool takes no payments from this web page')
  const dialect = dialectOf(header('content-type'), header('content-encoding'))
  deps.quotas.spend(pool, address, 1, 0)
  const body = await request.body()
  deps.quotas.spend(pool, address, 0, body.length)
  const payment = await readPayment(body, dialect)
  await accept(pool, payment, { source: 'http' }, deps)
  if (body.length > LARGE) await turn()
  return { status: 200, headers: JSON_HEADERS, body: acknowledgement(pool.path, payment) }
}

/** The PaymentACK. The transaction is put into the finished JSON: JSON.stringify looks at each of its digits, which are up to ten million. */
function acknowledgement(path: string, { scanned, fields, nulls }: CheckedPayment): string {
  const copy = { transaction: '', ...fields, ...nulls }
  const said = JSON.stringify({ payment: copy, memo: `Received into ${path}`, error: 0, success: true })
  return `${BEFORE_TRANSACTION}${hex(scanned.bytes)}${said.slice(BEFORE_TRANSACTION.length)}`
}

/** 503 while every post would be answered so, with the reasons; a pool that is halted beside others is only named. Strangers read this: details stay in the log. */
async function healthOf({ pools, ingress }: DoorDeps): Promise<DoorAnswer> {
  const all = pools()
  const halted = all.filter((pool) => pool.halted !== undefined)
  const writes = await ingress.check().then(
    () => true,
    () => false,
  )
  const ok = writes && (halted.length < all.length || !all.length)
  const problems = [
    ...(writes ? [] : ['the ledger cannot be written']),
    ...halted.map(({ path }) => `pool ${path} takes no payments at this moment`),
  ]
  return { status: ok ? 200 : 503, headers: JSON_HEADERS, body: JSON.stringify({ ok, ...(problems.length && { problems }) }) }
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
  if (error instanceof OverpoolError && error.retryAfterS !== undefined) headers['retry-after'] = String(error.retryAfterS)
  const memo = sentence(error, status)
  return { status, reason: reasonPhrase(memo), headers, body: JSON.stringify({ memo, error: 1, ...(status !== 500 && { code }) }) }
}

/** A sentence in the status line: ASCII only, and no longer than a wallet shows. */
function reasonPhrase(memo: string): string {
  return memo.slice(0, MAX_REASON).replace(/[^\x20-\x7e]/g, '?')
}

/** Whether a failure says something about the payment, or about the state of the door. Others are faults of ours. */
function isRefusal(error: unknown): error is OverpoolError {
  return error instanceof OverpoolError && (statusOf(error.code) < 500 || ['OVERLOADED', 'POOL_HALTED', 'CLOSED'].includes(error.code))
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
    case 'ORIGIN_REFUSED':
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
    case 'QUOTA_EXCEEDED':
      return 429
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
