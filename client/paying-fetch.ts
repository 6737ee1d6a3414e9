import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { unlessAborted } from '../shared/clock.ts'
import { OverpoolError, reasonOf } from '../shared/errors.ts'
import { hex } from '../shared/ledger/values.ts'
import { suffixOf } from '../shared/paywall/brc121.ts'
import { base64, type Offer166, offer166, refuses166 } from '../shared/paywall/brc166.ts'
import { BRC29, isPublicKey, type KeyAsked, p2pkh } from '../shared/paywall/payee.ts'
import { paidTo } from '../shared/paywall/payment.ts'
import { cut } from '../shared/printed.ts'
import { type ActionOptions, MAX_DESCRIPTION, ofWallet, type PayingWallet, transactionBy } from './paying-wallet.ts'

/** How much calls may cost, satoshis. */
export interface Limit {
  perCall: number
  /** all calls with this budget together; default: as much as one */
  total?: number
}

/** A payment that was made. It is kept before it is sent: with it the same payment can be sent again. */
export interface Receipt {
  url: string
  method: string
  satoshis: number
  txid: string
  protocol: 'BRC-121' | 'BRC-166'
  /** when it was made, ms since 1970 */
  at: number
  /** the headers of the payment */
  headers: Record<string, string>
  /** the status of the answer, when there was one */
  status?: number
}

/** What calls may cost, and what they have cost. One object for all calls that share it. */
export class Budget {
  readonly perCall: number
  readonly total: number
  /** satoshis that were paid, or are being paid */
  spent = 0
  readonly receipts: Receipt[] = []

  constructor({ perCall, total = perCall }: Limit) {
    for (const [name, value] of Object.entries({ perCall, total }))
      if (!(Number.isSafeInteger(value) && value >= 0))
        throw new OverpoolError('BAD_ARGUMENT', `${name} of a budget is a whole number of satoshis`)
    this.perCall = perCall
    this.total = total
  }

  /** Sets satoshis aside. @throws OverpoolError BUDGET_EXCEEDED */
  reserve(satoshis: number, url: string): void {
    const left = Math.min(this.perCall, this.total - this.spent)
    if (satoshis > left)
      throw new OverpoolError(
        'BUDGET_EXCEEDED',
        `${url} costs ${satoshis} satoshis, and this call may cost ${left}: nothing was paid (perCall ${this.perCall}, total ${this.total}, spent ${this.spent})`,
      )
    this.spent += satoshis
  }
}

export interface PayingOptions extends RequestInit {
  wallet: PayingWallet
  budget: Budget | Limit
  /** a payment that was made for this request before: it is sent again, and no other is made */
  receipt?: Receipt
  /** called with each receipt before its payment is sent, and awaited: where it is stored, a payment survives the end of this process */
  keep?: (receipt: Receipt) => unknown
  /** which chain is paid on, default main */
  network?: 'main' | 'test' | 'regtest'
  /** default: that of Node */
  fetch?: typeof globalThis.fetch
}

/** How often the same payment is sent when no answer comes, or a 5xx; and the wait between, ms, longer each time. BRC-121 gives 30 s in all. */
const ATTEMPTS = 4
const WAIT_MS = 500
/** Hosts of this computer: nobody is on the way to them. */
export const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/
/** Characters of a server's sentence that an error repeats. */
const MAX_SAID = 300
const MAX_REFUSAL_BYTES = 10_000

/**
 * `fetch` that pays. A request that is answered with 402 is paid for, by BRC-121, else BRC-166, within the budget, and sent again. When the answer to a payment is lost the same payment is
 * sent again; a second one is never made.
 * @throws OverpoolError BUDGET_EXCEEDED, WALLET_UNAVAILABLE: nothing was paid; BAD_TRANSACTION: the wallet's transaction is not what it was asked for, and may have been sent;
 * PAYMENT_REFUSED, UNAVAILABLE: `budget.receipts` has the payment, if one was made
 */
export async function payingFetch(url: string | URL, options: PayingOptions): Promise<Response> {
  const { wallet, budget: limit, receipt, keep, network = 'main', fetch = globalThis.fetch, ...init } = Object(options) as PayingOptions
  if (typeof wallet?.createAction !== 'function' || !limit)
    throw new OverpoolError(
      'BAD_ARGUMENT',
      'payingFetch(url, { wallet, budget }) takes a wallet of BRC-100, and a Budget or { perCall, total }',
    )
  if (init.body instanceof ReadableStream)
    throw new OverpoolError(
      'BAD_ARGUMENT',
      'a body that is a stream can be sent once, and a paid request is sent twice: give text or bytes',
    )
  const budget = limit instanceof Budget ? limit : new Budget(limit)
  if (receipt) return present(receipt, init, fetch)
  const first = await fetch(url, init)
  if (first.status !== 402) return first
  await first.body?.cancel()
  const place = first.url || String(url) // after redirects
  const method = (init.method ?? 'GET').toUpperCase()
  const offer = offerIn(first.headers, network)
  if (!offer)
    throw new OverpoolError(
      'PAYMENT_REFUSED',
      `${place} wants a payment, and names none that is known here: BRC-121 (x-bsv-sats, x-bsv-server), or BRC-166 on ${network} (PAYMENT-REQUIRED)`,
    )
  const { protocol, hostname, origin } = new URL(place)
  if (origin !== new URL(url).origin)
    throw new OverpoolError('PAYMENT_REFUSED', `${String(url)} leads to another server: if you trust it, call payingFetch with ${place}`)
  if (protocol !== 'https:' && !LOOPBACK.test(hostname))
    throw new OverpoolError('PAYMENT_REFUSED', `${place} is no https: anybody on the way could be the one who is paid`)
  budget.reserve(offer.satoshis, place)
  const paying = payAndKeep(wallet, offer, { url: place, method }, budget, keep)
  paying.catch(() => {}) // a wallet may answer after the caller has given up: then the receipt is kept all the same
  return present(await (init.signal ? unlessAborted(init.signal, paying) : paying), init, fetch)
}

async function payAndKeep(
  wallet: PayingWallet,
  offer: Offer121 | Offer166,
  request: Pick<Receipt, 'url' | 'method'>,
  budget: Budget,
  keep: PayingOptions['keep'],
): Promise<Receipt> {
  const { satoshis, protocol } = offer
  const paid = await pay(wallet, offer, request.url).catch((error) => {
    if (error instanceof OverpoolError && error.code === 'WALLET_UNAVAILABLE') budget.spent -= satoshis // it has made no transaction
    throw error
  })
  const receipt: Receipt = { ...request, satoshis, protocol, at: Date.now(), ...paid }
  budget.receipts.push(receipt)
  await keep?.(receipt)
  return receipt
}

interface Offer121 {
  protocol: 'BRC-121'
  satoshis: number
  server: string
}

/** What a server asks for, in the first protocol that both sides know. */
function offerIn(headers: Headers, network: NonNullable<PayingOptions['network']>): Offer121 | Offer166 | undefined {
  const [sats, server] = [headers.get('x-bsv-sats')?.trim() ?? '', headers.get('x-bsv-server')?.trim() ?? '']
  const satoshis = Number(sats)
  if (/^\d{1,16}$/.test(sats) && satoshis > 0 && Number.isSafeInteger(satoshis) && isPublicKey(server))
    return { protocol: 'BRC-121', satoshis, server }
  const required = headers.get('payment-required')
  return required === null ? undefined : offer166(required, network)
}

/** Has the wallet make the payment. @returns what is sent */
async function pay(wallet: PayingWallet, offer: Offer121 | Offer166, url: string): Promise<Pick<Receipt, 'txid' | 'headers'>> {
  const { host, pathname } = new URL(url)
  const description = `HTTP 402: ${host}${pathname}`.slice(0, MAX_DESCRIPTION)
  if (offer.protocol === 'BRC-166') {
    const tx = await transactionOf(wallet, offer.script, offer.satoshis, description, { noSend: true }) // the server broadcasts it
    const payload = { x402Version: 2, accepted: offer.accepted, payload: { lockingScriptHex: offer.script, rawtx: hex(tx.scanned.bytes) } }
    return { txid: tx.scanned.txid, headers: { 'payment-signature': base64(payload) } }
  }
  const time = String(Date.now())
  const nonce = randomBytes(16).toString('base64')
  const asked: KeyAsked = { protocolID: [2, BRC29], keyID: `${nonce} ${suffixOf(time)}`, counterparty: offer.server }
  const [{ publicKey: sender }, { publicKey }] = await ofWallet(() =>
    Promise.all([wallet.getPublicKey({ identityKey: true }), wallet.getPublicKey(asked)]),
  )
  const kept = { derivationPrefix: nonce, derivationSuffix: suffixOf(time), payee: offer.server }
  const made = await transactionOf(wallet, p2pkh(publicKey), offer.satoshis, description, { acceptDelayedBroadcast: false }, kept)
  return {
    txid: made.scanned.txid,
    headers: {
      'x-bsv-beef': Buffer.from(made.beef).toString('base64'),
      'x-bsv-sender': sender,
      'x-bsv-nonce': nonce,
      'x-bsv-time': time,
      'x-bsv-vout': String(made.vout),
    },
  }
}

/** A transaction of the wallet that pays to a script, checked. */
async function transactionOf(
  wallet: PayingWallet,
  script: string,
  satoshis: number,
  description: string,
  options: ActionOptions,
  kept?: object,
) {
  const output = {
    lockingScript: script,
    satoshis,
    outputDescription: 'HTTP 402 payment',
    ...(kept && { customInstructions: JSON.stringify(kept) }),
  }
  const { beef, scanned } = await transactionBy(wallet, description, [output], options)
  const paid = paidTo(scanned, script)
  if (paid.satoshis < satoshis)
    throw new OverpoolError('BAD_TRANSACTION', `the wallet's transaction ${scanned.txid} pays ${paid.satoshis} of ${satoshis} satoshis`)
  return { beef, scanned, vout: paid.vout }
}

/** Sends a request with its payment, again if no answer comes. A redirect is an answer: it could take the payment elsewhere. */
async function present(receipt: Receipt, init: RequestInit, fetch: typeof globalThis.fetch): Promise<Response> {
  const headers = new Headers(init.headers)
  for (const [name, value] of Object.entries(receipt.headers)) headers.set(name, value)
  let last: unknown
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    if (attempt > 1) await sleep(WAIT_MS * 2 ** (attempt - 2), undefined, { signal: init.signal ?? undefined })
    try {
      const answer = await fetch(receipt.url, { ...init, headers, redirect: 'manual' })
      receipt.status = answer.status
      if (isRefusal(answer)) throw await refusedBy(answer, receipt)
      if (answer.status < 500 || attempt === ATTEMPTS) return answer
      await answer.body?.cancel()
    } catch (error) {
      if (error instanceof OverpoolError || init.signal?.aborted) throw error
      last = error
    }
  }
  throw new OverpoolError(
    'UNAVAILABLE',
    `${receipt.url} was paid ${receipt.satoshis} satoshis (${receipt.txid}) and does not answer; call payingFetch with this receipt to send the same payment again: ${reasonOf(last)}`,
    { cause: last, retryable: true },
  )
}

/** Whether an answer refuses the payment. Another 4xx is what the route says. */
function isRefusal({ status, headers }: Response): boolean {
  if (status === 400) return refuses166(headers.get('payment-response'))
  return status === 402 || status === 431
}

async function refusedBy(answer: Response, { url, satoshis, txid }: Receipt): Promise<OverpoolError> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of answer.body ?? []) {
    chunks.push(chunk)
    if ((size += chunk.length) > MAX_REFUSAL_BYTES) break
  }
  let said: unknown
  try {
    said = (JSON.parse(Buffer.concat(chunks).toString()) as { error?: unknown; memo?: unknown }).error
  } catch {}
  const why = cut(typeof said === 'string' ? said : answer.statusText || String(answer.status), MAX_SAID)
  return new OverpoolError(
    'PAYMENT_REFUSED',
    `${url} has not taken the payment of ${satoshis} satoshis (${txid}): ${why}. No second one is made: ask the server's owner, with this txid`,
  )
}
