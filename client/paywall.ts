import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MiddlewareHandler } from 'hono'
import { OverpoolError, stackOf } from '../shared/errors.ts'
import type { TxEvent } from '../shared/ledger/event.ts'
import { idOfName } from '../shared/ledger/ids.ts'
import { hex } from '../shared/ledger/values.ts'
import type { Pools } from '../shared/machine/machine.ts'
import type { Payee } from '../shared/paywall/payee.ts'
import { type Asked, checkPrice, type Payment, refused } from '../shared/paywall/payment.ts'
import { entryOf, jsonAnswer, type PaidFor, Paywall, useOf, type WallAnswer } from '../shared/paywall/paywall.ts'
import { logged } from '../shared/printed.ts'

export interface PaywallOptions {
  /** where payments are recorded: an `Overpool`, or the pools that a handler gets */
  pool: Pools & { payee?: (options: { path: string }) => Promise<Payee> }
  /** the name of the pool that keeps them */
  path: string
  /** what a request costs, satoshis; or a function of the request, which returns undefined for one that costs nothing */
  price: number | ((request: Request) => number | undefined | Promise<number | undefined>)
  /** whose keys are paid to; default: those that the machine has for this pool (docs/paywall.md) */
  wallet?: Payee
  network?: 'main' | 'test' | 'regtest'
  /**
   * What a payment must have reached before the route runs. 'recorded': it is in the pool. 'seen': the Bitcoin network has it as well, to which the machine hands it. Default: 'seen' on a
   * machine with `bitcoin` in its settings, else 'recorded'
   */
  waitFor?: 'recorded' | 'seen'
  /** how long 'seen' is waited for, ms, default 10,000. After that the client gets 500, and may send the same payment again */
  waitMs?: number
  /**
   * The same request with the same payment: 'answer' (default) runs the route again; 'refuse' answers 402, unless the route failed before. A payment never buys another request
   */
  again?: 'answer' | 'refuse'
  /** called with what the route threw, and with other failures; default: printed on standard error */
  failed?: (error: unknown) => void
  now?: () => number
}

/** What a route gets to know of its payment. */
export interface PaidRequest {
  /** of the entry in the pool */
  id: string
  txid: string
  /** satoshis: the price, or more */
  satoshis: number
  protocol: 'BRC-121' | 'BRC-166'
  /** public key of the payer (BRC-121) */
  sender?: string
  /** the same request was paid with the same payment before: its answer may have been lost */
  again: boolean
}

export type PaidHandler = (request: Request, payment: PaidRequest | undefined) => Response | Promise<Response>

/** Puts a price on a route: as a wrapper of a `fetch`-style function, and as Hono middleware, whose route finds the payment by `c.get('payment')`. */
export interface PaywallOf {
  (handler: PaidHandler): (request: Request) => Promise<Response>
  readonly middleware: MiddlewareHandler<{ Variables: { payment: PaidRequest | undefined } }>
}

/** How often is looked whether a payment is in the ledger, and whether the network has it, ms. */
const LOOK_MS = 100
const WAIT_MS = 10_000
/** Largest body of a paid request, bytes: its hash is a part of what was bought. */
const MAX_BODY_BYTES = 10_000_000
const TOO_LARGE = jsonAnswer(413, { error: `a paid request may have a body of ${MAX_BODY_BYTES} bytes`, retryable: false })
/** How many payments are remembered: those that came, and those whose route failed. */
const MAX_REMEMBERED = 10_000
const SEND_AGAIN = 'send the same request with the same payment again: it is charged once'
const ROUTE_FAILED = `the payment is recorded, and the answer could not be made; ${SEND_AGAIN}`
const NOT_TAKEN = `the payment could not be taken; ${SEND_AGAIN}`

/**
 * Puts a price on requests. Who sends one without a payment gets 402, with the terms of BRC-121 and BRC-166. A payment is durable in the pool before the route runs. It buys one request
 * (method, path, query and body); sent again with the same request, it gets the answer again.
 */
export function createPaywall(options: PaywallOptions): PaywallOf {
  const seller = new Seller(options)
  const wrapped = (handler: PaidHandler) => async (request: Request) => {
    const sale = await seller.admit(request)
    if (sale instanceof Response) return sale
    if (!sale) return handler(request, undefined)
    try {
      return seller.answered(sale, await handler(request, sale.paid))
    } catch (error) {
      return seller.failed(sale, error)
    }
  }
  const middleware: PaywallOf['middleware'] = async (c, next) => {
    const sale = await seller.admit(c.req.raw)
    if (sale instanceof Response) return sale
    c.set('payment', sale?.paid)
    await next()
    if (!sale) return undefined
    const answer = seller.answered(sale, c.res) // an error of the route has become its answer already
    c.res = undefined // Hono would put the headers of the old answer over those of the new one
    c.res = answer
    return undefined
  }
  return Object.assign(wrapped, { middleware })
}

/** A payment that has bought the request, and its entry. */
interface Sale {
  payment: Payment
  paid: PaidRequest
  isSeen: boolean
}

/** What an entry of a sale keeps besides. */
interface Kept extends Partial<PaidFor> {
  /** which request made the entry: another one with the same payment comes again */
  attempt?: string
}

/** The entry of a payment. */
interface Recorded {
  id: string
  /** what it has bought */
  use?: string
  /** another request has made it */
  again: boolean
}

class Seller {
  readonly #options: PaywallOptions
  readonly #wall: Paywall
  /** payments that this process has recorded, or is recording, by name */
  readonly #recording = new Map<string, Promise<Recorded>>()
  /** ids of entries whose route failed */
  readonly #failed = new Set<string>()

  constructor(options: PaywallOptions) {
    const { pool, path, price, wallet, network = 'main', now = Date.now } = Object(options) as PaywallOptions
    if (typeof pool?.post !== 'function' || typeof path !== 'string')
      throw new OverpoolError('BAD_ARGUMENT', 'createPaywall({ pool, path, price }) takes an Overpool, and the name of one of its pools')
    if (typeof price !== 'function') checkPrice(price)
    const payee = async () => wallet ?? pool.payee!({ path })
    if (!wallet && !pool.payee)
      throw new OverpoolError('BAD_ARGUMENT', 'createPaywall needs an Overpool as `pool`, whose keys are paid to, or a `wallet` besides')
    this.#options = options
    this.#wall = new Paywall({ payee, network, now })
  }

  /** Lets a request to its route, with the payment if it costs something; otherwise the answer to it. */
  async admit(request: Request): Promise<Sale | Response | undefined> {
    if (request.method === 'OPTIONS') return undefined // a preflight carries no payment
    try {
      const { price: set } = this.#options
      const price = typeof set === 'function' ? await set(request) : set
      if (price === undefined) return undefined
      const { pathname, search } = new URL(request.url)
      const resource = `${request.method} ${pathname}${search}`
      const sold = await this.#sell(request, { price: checkPrice(price), resource, url: request.url })
      return 'status' in sold ? responseOf(sold) : sold
    } catch (error) {
      if (error instanceof OverpoolError && error.code === 'FILTER_REFUSED')
        return responseOf(jsonAnswer(403, { error: error.message, retryable: false }))
      this.#report(error)
      const isWallet = error instanceof OverpoolError && error.code === 'WALLET_UNAVAILABLE'
      return responseOf(jsonAnswer(500, { error: isWallet ? error.message : NOT_TAKEN, retryable: true }))
    }
  }

  /** The answer of a route to a paid request. */
  answered({ payment, paid, isSeen }: Sale, answer: Response): Response {
    if (answer.status >= 500) this.#remember(paid.id)
    const headers = new Headers(answer.headers)
    const { 'access-control-expose-headers': exposed, ...said } = this.#wall.accepted(payment, isSeen)
    for (const [name, value] of Object.entries(said)) if (!headers.has(name)) headers.set(name, value)
    headers.append('access-control-expose-headers', exposed!)
    return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers })
  }

  /** The answer to a paid request whose route threw. */
  failed(sale: Sale, error: unknown): Response {
    this.#report(error)
    return this.answered(sale, responseOf(jsonAnswer(500, { error: ROUTE_FAILED, retryable: true })))
  }

  #report(error: unknown): void {
    const { failed = (thrown: unknown) => console.error(logged(stackOf(thrown))) } = this.#options
    failed(error)
  }

  #remember(id: string): void {
    this.#failed.add(id)
    if (this.#failed.size > MAX_REMEMBERED) this.#failed.delete(this.#failed.values().next().value!)
  }

  /** Takes the payment of a request. @returns the answer that says why not, or what is to be paid */
  async #sell(request: Request, asked: Asked): Promise<Sale | WallAnswer> {
    const wall = this.#wall
    const read = await wall.read((name) => request.headers.get(name) ?? undefined, asked)
    if (!read) return Number(request.headers.get('content-length')) > MAX_BODY_BYTES ? TOO_LARGE : wall.challenge(asked)
    const { payment, refusal } = read
    if (!payment) return wall.refuse(refusal!, asked)
    const isBroadcast = payment.protocol === 'BRC-121' // by its wallet: the money is there, whatever is said of it
    const body = await bodyOf(request)
    if (!body) {
      if (isBroadcast) await this.#post(payment, { for: useOf(asked.resource), refused: 'body_too_large' })
      return TOO_LARGE
    }
    const use = useOf(asked.resource, body)
    if (refusal) {
      const earlier = await this.#find(payment)
      if (earlier && keptIn(earlier).for === use) return this.#sold(payment, earlier.id, true, asked) // what was bought in time stays bought
      if (isBroadcast) await this.#post(payment, { for: use, refused: refusal.reason })
      return wall.refuse(refusal, asked)
    }
    const recorded = await this.#record(payment, use)
    if (recorded.use !== use)
      return wall.refuse(refused(payment.protocol, 'payment_used', 'this payment has bought another request: a payment buys one'), asked)
    return this.#sold(payment, recorded.id, recorded.again, asked)
  }

  /**
   * Records a payment for a use. The writer takes one entry with its id, however often the payment is sent, to whichever process, and for whatever: what that entry says counts. This
   * process posts it once.
   */
  async #record(payment: Payment, use: string): Promise<Recorded> {
    const name = this.#nameOf(payment)
    const before = this.#recording.get(name)
    if (before) return { ...(await before), again: true }
    const attempt = randomBytes(9).toString('base64url')
    const record = async () => {
      await this.#post(payment, { for: use }, attempt)
      const entry = await this.#standing(payment)
      const kept = keptIn(entry)
      return { id: entry.id, use: kept.for, again: kept.attempt !== attempt }
    }
    const recording = record()
    this.#recording.set(name, recording)
    if (this.#recording.size > MAX_REMEMBERED) this.#recording.delete(this.#recording.keys().next().value!)
    recording.catch(() => this.#recording.delete(name))
    return recording
  }

  /** The sale of a payment whose entry is in the ledger, if the network has it where that is waited for. */
  async #sold(payment: Payment, id: string, again: boolean, asked: Asked): Promise<Sale | WallAnswer> {
    const { protocol, scanned, satoshis, derivation } = payment
    if (again && this.#options.again === 'refuse' && !this.#failed.delete(id))
      return this.#wall.refuse(refused(protocol, 'payment_used', 'this payment has bought its answer already'), asked)
    const seen = await this.#seen(id, scanned.txid)
    if (seen && seen !== 'seen') return this.#wall.refuse(refused(protocol, seen.reason, seen.sentence), asked)
    const sender = protocol === 'BRC-121' ? derivation.sender : undefined
    const paid = { id, txid: scanned.txid, satoshis, protocol, ...(sender && { sender }), again }
    return { payment, paid, isSeen: seen === 'seen' }
  }

  /** The id of a refused payment differs: it may still be enough for something else. */
  #nameOf({ scanned, script }: Payment, isRefused = false): string {
    return `402 ${scanned.txid} ${script}${isRefused ? ' refused' : ''}`
  }

  async #post(payment: Payment, more: Pick<PaidFor, 'for' | 'refused'>, attempt?: string): Promise<void> {
    const { pool, path } = this.#options
    const { fields } = entryOf(payment, more)
    const merchantData = { ...(fields.merchantData as PaidFor), ...(attempt && { attempt }) }
    const id = this.#nameOf(payment, more.refused !== undefined)
    await pool.post({ path, id, payment: { transaction: payment.sent ?? hex(payment.scanned.bytes), merchantData } })
  }

  /** The entry of a payment, if it is in the ledger. */
  async #find(payment: Payment): Promise<TxEvent | undefined> {
    const { pool, path } = this.#options
    try {
      return await pool.get({ path, hash: payment.scanned.txid, id: idOfName(path, this.#nameOf(payment)) })
    } catch (error) {
      if (error instanceof OverpoolError && error.code === 'ENTRY_NOT_FOUND') return undefined
      throw error
    }
  }

  /** The entry of a payment that was just posted. In a pool that takes each transaction once it may be one that came another way. */
  async #standing(payment: Payment): Promise<TxEvent> {
    const { pool, path, waitMs = WAIT_MS } = this.#options
    for (const end = performance.now() + waitMs; performance.now() < end; await sleep(LOOK_MS)) {
      const entry = await this.#find(payment)
      if (entry) return entry
    }
    return pool.get({ path, hash: payment.scanned.txid })
  }

  /** Whether the network has a payment; undefined where that is not waited for. */
  async #seen(
    id: string,
    hash: string,
  ): Promise<'seen' | { reason: 'broadcast_rejected' | 'broadcast_unavailable'; sentence: string } | undefined> {
    const { pool, path, waitFor, waitMs = WAIT_MS } = this.#options
    if (waitFor === 'recorded') return undefined
    const look = () => pool.get({ path, hash, id })
    let now = await look()
    if (now.status === 'local') {
      try {
        await pool.broadcast({ path, hash }, { path, id: `402 ${hash}` })
      } catch (error) {
        if (waitFor === undefined && error instanceof OverpoolError && error.code === 'NO_BROADCASTER') return undefined
        throw error
      }
    }
    for (const end = performance.now() + waitMs; performance.now() < end; now = await look()) {
      if (now.status === 'seen' || now.status === 'mined') return 'seen'
      if (now.status === 'sent' && now.by?.startsWith('function ')) return 'seen' // a function of the config cannot be asked for more
      if (now.final && (now.status === 'rejected' || now.status === 'double-spent'))
        return {
          reason: 'broadcast_rejected',
          sentence: `the network does not take this transaction${now.reason ? `: ${now.reason}` : ''}`,
        }
      await sleep(LOOK_MS)
    }
    return { reason: 'broadcast_unavailable', sentence: `the network has not shown this transaction yet; ${SEND_AGAIN}` }
  }
}

function keptIn({ payment: { merchantData } }: TxEvent): Kept {
  return Object(merchantData) as Kept
}

/** The body of a request, which stays to be read by the route; undefined if it is too large. */
async function bodyOf(request: Request): Promise<Uint8Array | undefined> {
  if (!request.body && !request.bodyUsed) return new Uint8Array()
  if (request.bodyUsed)
    throw new OverpoolError('BAD_ARGUMENT', 'the body of the request was read before the paywall saw it: put the paywall first')
  const reader = request.clone().body!.getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    size += read.value.length
    if (size > MAX_BODY_BYTES) {
      for (const copy of [reader, request.body!]) copy.cancel().catch(() => {}) // it ends when both are cancelled
      return undefined
    }
    chunks.push(read.value)
  }
  return Buffer.concat(chunks)
}

/** Any page may read what it pays for, unless the server says otherwise. */
function responseOf({ status, headers, body }: WallAnswer): Response {
  return new Response(body, { status, headers: { 'access-control-allow-origin': '*', ...headers } })
}
