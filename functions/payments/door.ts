import { type CheckedPayment, dialectOf, readPayment } from '../../shared/bip270/payment.ts'
import type { Word } from '../../shared/broadcast/service.ts'
import { OverpoolError } from '../../shared/errors.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import { hex } from '../../shared/ledger/values.ts'
import { type AcceptDeps, accept, type PoolDoor } from '../../shared/machine/accept.ts'
import type { Invoicing } from '../../shared/machine/invoicing.ts'
import type { Known } from '../../shared/machine/known.ts'
import type { Paywall } from '../../shared/paywall/paywall.ts'
import type { Ancestors } from '../../shared/store/ancestors.ts'
import { turn } from '../../shared/turn.ts'
import type { FollowDeps } from '../events/follow.ts'
import { answerAsArc } from './arc.ts'
import { CORS, type DoorAnswer, type DoorRequest, forOrigin, HTML_HEADERS, JSON_HEADERS, preflight, unescaped } from './http.ts'
import { showInvoice, takeForInvoice } from './invoice-door.ts'
import { isForwarded, isLoopback } from './loopback.ts'
import { poolPage } from './page.ts'
import { placeOf } from './place.ts'
import type { Quotas } from './quotas.ts'
import { checkOrigin, checkThere, isRefusal, NO_EVENTS, problemOf, reasonPhrase, refusal, statusOf } from './refusal.ts'

export interface DoorDeps extends AcceptDeps {
  ancestors: Pick<Ancestors, 'put'>
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
  /** what a pool knows of a transaction; undefined if the door cannot read that */
  known?: (pool: string, txid: string) => Promise<Known | undefined>
  /** payment requests and invoices; undefined: no pool here asks for anything */
  invoicing?: Invoicing
  /** waits for a while, ms; given where a connection may stay open: then pages are told what becomes of an invoice */
  wait?: (ms: number, signal: AbortSignal) => Promise<unknown>
  /** where wallets reach this door, if the config says so */
  url?: string | undefined
  /** takes what services call back about transactions; undefined: none was told to */
  callbacks?: { secret: () => Promise<string>; hear: (word: Word) => Promise<void> }
  /** whom a pool with a price or a paymail is paid to */
  paywall?: (pool: string) => Paywall
  /** pools that can be followed here */
  follow?: Omit<FollowDeps, 'quotas' | 'log'>
  /** where they can be followed instead, if another program sends the events: a URL with a slash at its end */
  followAt?: string | undefined
}

/** A payment that was refused. */
export interface Refusal {
  /** where it was posted to */
  path: string
  status: number
  error: OverpoolError
}

/** The paths of paymail. What answers them, and pools with a price, is loaded with the first request of the kind. */
const PAYMAIL = /^\/(\.well-known\/bsvalias$|_\/paymail\/)/
/** How a pool with a price is asked and paid. */
const PRICED = new Set(['GET', 'HEAD', 'POST'])

/** Others have their turn before a message of this size, bytes, is answered. */
const LARGE = 64 * 1024
const BEFORE_TRANSACTION = '{"payment":{"transaction":'

/**
 * The HTTP door: `POST /{pool}` takes a BIP270 Payment and answers with a PaymentACK when it is durable; below `/{pool}/v1` it speaks as ARC does (arc.ts). The Lambda and the
 * local server share this function and bring their own way to read and to answer. It writes nothing but payments, and statuses of transactions by whom they were promised to (Promise 7).
 */
export async function answerAtDoor(request: DoorRequest, deps: DoorDeps): Promise<DoorAnswer> {
  let pool: PoolDoor | undefined
  const place = placeIn(request.path)
  try {
    const { name } = place
    const found = name === undefined ? undefined : deps.pool(name)
    pool = found instanceof Promise ? await found : found
    return forOrigin(await answer(request, place, pool, deps), request, originsOf(place, pool, deps))
  } catch (error) {
    noteFailure(error, request, deps)
    const refused = place.arc ? refusal(error, problemOf(error)) : place.isFollowed ? refusal(error, undefined, NO_EVENTS) : refusal(error)
    return forOrigin(refused, request, originsOf(place, pool, deps))
  }
}

/** A pool may be followed where nobody posts into it. */
function originsOf({ name, isFollowed }: Place, pool: PoolDoor | undefined, { follow }: DoorDeps): Pick<PoolDoor, 'origins'> | undefined {
  return isFollowed && name !== undefined && follow ? follow.pool(name) : pool
}

function noteFailure(error: unknown, { method, path }: DoorRequest, { log, refused }: DoorDeps): void {
  if (!isRefusal(error)) log(error)
  else if (method === 'POST') refused?.({ path, status: statusOf(error.code), error })
}

interface Place {
  name?: string
  arc?: string[]
  /** the last part of an invoice's URL, and what of it is asked for; undefined: the whole */
  invoice?: string
  part?: 'state' | 'events'
  /** these are the events of the pool */
  isFollowed?: true
}

/** The pool's name in a path such as `/mypool` or `/mypool/v1/tx`, and what follows on it where ARC is spoken, or where it has an invoice. People and proxies add slashes. */
function placeIn(path: string): Place {
  const [name, first, ...more] = path.split('/').filter((part) => part)
  if (name === undefined) return {}
  const pool = { name: unescaped(name) }
  if (first === undefined) return pool
  if (first === 'v1') return { ...pool, arc: more }
  if (first === 'events' && !more.length) return { ...pool, isFollowed: true }
  if (!more.length) return { ...pool, invoice: unescaped(first) }
  const [part, ...others] = more
  return !others.length && (part === 'state' || part === 'events') ? { ...pool, invoice: unescaped(first), part } : {}
}

async function answer(request: DoorRequest, place: Place, pool: PoolDoor | undefined, deps: DoorDeps): Promise<DoorAnswer> {
  const { name, arc, invoice } = place
  const { invoicing, paywall } = deps
  const { method, path, header, address = '' } = request
  if (method === 'OPTIONS') return { status: 204, headers: preflight(request, deps) }
  if (path === '/_/health' && (method === 'GET' || method === 'HEAD')) return healthOf(deps)
  if (path === '/_/arc' && method === 'POST' && deps.callbacks) return hearCallback(request, deps.callbacks)
  if (paywall && PAYMAIL.test(path)) return (await import('./paymail.ts')).answerPaymail(request, { ...deps, paywall })
  if (name === undefined) throw new OverpoolError('POOL_NOT_FOUND', 'payments are posted to /{pool}')
  if (place.isFollowed) return followed(request, name, deps)
  if (arc) {
    const { status, said } = await answerAsArc(arc, request, pool, { ...deps, refusedOne: (error) => noteFailure(error, request, deps) })
    return { status, headers: JSON_HEADERS, body: JSON.stringify(said) }
  }
  if (pool?.price !== undefined && invoice === undefined && PRICED.has(method)) {
    // Without keys nobody can pay, and nobody gets in for nothing.
    if (!paywall) throw new OverpoolError('BAD_CONFIG', `the pool "${pool.path}" has a price, and this door has no keys to be paid to`)
    checkOrigin(pool, header('origin'))
    const { answerPriced } = await import('./priced.ts')
    const { headers, ...priced } = await answerPriced(request, pool, { ...deps, paywall: paywall(pool.path) })
    return { ...priced, ...(priced.reason && { reason: reasonPhrase(priced.reason) }), headers: { ...CORS, ...headers } }
  }
  const isGet = method === 'GET' || method === 'HEAD'
  if (isGet && pool && invoicing && (invoice !== undefined || pool.request !== undefined)) {
    const answered = await showInvoice(request, place, pool, { ...deps, invoicing })
    if (answered) return answered
  }
  if (invoice !== undefined && !invoicing) throw new OverpoolError('POOL_NOT_FOUND', 'payments are posted to /{pool}')
  const isPage = isGet && invoice === undefined && (header('accept') ?? '').includes('text/html')
  if (method !== 'POST' && !isPage) throw new OverpoolError('METHOD_NOT_ALLOWED', 'a pool takes a POST with a BIP270 Payment')
  checkThere(pool)
  if (isPage) return page(pool.path, request, deps)
  checkOrigin(pool, header('origin'), placeOf(header, deps.url).url)
  const dialect = dialectOf(header('content-type'), header('content-encoding'))
  deps.quotas.spend(pool, address, 1, 0)
  const body = await request.body()
  deps.quotas.spend(pool, address, 0, body.length)
  const payment = await readPayment(body, dialect)
  if (payment.along) deps.quotas.spend(pool, address, payment.along.length, 0) // each is kept, as a payment is
  const asked = await invoicing?.askedBy(pool.path, invoice, payment.fields.merchantData)
  const memo =
    asked && invoicing ? await takeForInvoice(pool, payment, asked, { ...deps, invoicing }) : await takePayment(pool, payment, deps)
  if (body.length > LARGE) await turn()
  return { status: 200, headers: JSON_HEADERS, body: acknowledgement(payment, memo) }
}

/** The events of a pool. What sends them is loaded with the first follower. */
async function followed(request: DoorRequest, path: string, { follow, followAt, quotas, log }: DoorDeps): Promise<DoorAnswer> {
  if (follow) return (await import('../events/follow.ts')).answerFollower(request, path, { ...follow, quotas, log })
  if (followAt === undefined) throw new OverpoolError('POOL_NOT_FOUND', 'no pool can be followed here')
  const query = request.query ? `?${request.query}` : ''
  const location = `${followAt}${encodeURIComponent(path)}/events${query}`
  return { status: 307, headers: { ...CORS, 'cache-control': 'no-store', location } }
}

async function takePayment(pool: PoolDoor, payment: CheckedPayment, deps: DoorDeps): Promise<string> {
  await accept(pool, payment, { source: 'http' }, deps)
  return `Received into ${pool.path}`
}

/** A callback of ARC or Arcade; what reads it is loaded with the first one. It is answered when what it says is held durably: without an answer the service calls again. */
async function hearCallback({ header, body }: DoorRequest, { secret, hear }: NonNullable<DoorDeps['callbacks']>): Promise<DoorAnswer> {
  const { readCallback } = await import('../../shared/broadcast/callbacks.ts')
  const words = readCallback(await body(), header('authorization'), await secret())
  for (const word of words) await hear(word)
  return { status: 200, headers: JSON_HEADERS, body: '{"ok":true}' }
}

/**
 * The PaymentACK, which holds a copy of the Payment: with the transaction as it was sent, whatever it came in. The transaction is put into the finished JSON: JSON.stringify looks
 * at each of its digits, which are up to ten million.
 */
function acknowledgement({ scanned, sent, fields, nulls }: CheckedPayment, memo: string): string {
  const copy = { transaction: '', ...fields, ...nulls }
  const said = JSON.stringify({ payment: copy, memo, error: 0, success: true })
  const transaction = typeof sent === 'object' ? `[${sent.join()}]` : `"${sent ?? hex(scanned.bytes)}"`
  return `${BEFORE_TRANSACTION}${transaction}${said.slice(BEFORE_TRANSACTION.length + 2)}`
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
  ...HTML_HEADERS,
  'cache-control': 'no-store',
  vary: 'Accept',
}

async function page(path: string, { header }: DoorRequest, { newest, url }: DoorDeps): Promise<DoorAnswer> {
  const place = placeOf(header, url)
  // A name that is not of this host may have been made to lead here, so that a page of the web can read the answer.
  const isHere = isLoopback(place.host) && !isForwarded(header)
  const entries = isHere ? await newest?.(path) : undefined
  return { status: 200, headers: PAGE_HEADERS, body: poolPage({ path, url: `${place.url}/${path}`, entries }) }
}
