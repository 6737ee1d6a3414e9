import { createHash } from 'node:crypto'
import { messageOf, OverpoolError } from '../shared/errors.ts'
import { askHttp, type HttpAnswer } from '../shared/http.ts'
import { hex } from '../shared/ledger/values.ts'
import { cut, inLine } from '../shared/printed.ts'
import type { ScannedTransaction } from '../shared/transaction/index.ts'
import type { KeptBudget, Limits, MadePayment } from './kept-budget.ts'
import { Budget, LOOPBACK, payingFetch, type Receipt } from './paying-fetch.ts'
import { MAX_DESCRIPTION, type PayingWallet, transactionBy } from './paying-wallet.ts'

export interface PurseOptions {
  budget: KeptBudget
  /** the limits of this process, besides those of the budget's file */
  limits: Limits
  wallet: PayingWallet
  network: 'main' | 'test' | 'regtest'
  /** hosts that may be paid, such as `shop.example` or `127.0.0.1:3000`; undefined: any by https */
  payees?: readonly string[]
}

/** Somebody's word that one payment above the budget may be made. */
export interface Approval {
  /** its name: it counts once */
  id: string
  url: string
  /** the most that it allows */
  satoshis: number
}

interface Call {
  url: string
  /** the most that the caller wants to pay for this */
  most?: number
  approval?: Approval
  signal?: AbortSignal
}

export interface UrlCall extends Call {
  method: string
  headers: Record<string, string>
  body?: string
}

/** What a URL has answered. What is in the body, its server has written. */
export interface UrlAnswer {
  status: number
  contentType?: string
  /** where it leads to, if it is a redirect, which is not followed */
  location?: string
  body: Buffer
  /** it is longer than what is in `body` */
  isCut: boolean
  /** what was paid for this answer; undefined if it was free */
  paid?: { satoshis: number; txid: string; before: boolean }
}

/** An invoice that was paid. */
export interface PaidInvoice {
  satoshis: number
  txid: string
  /** the payee's sentence */
  memo?: string
  /** it had been paid before this call */
  before: boolean
}

/** So much of an answer is read, bytes. */
const MAX_ANSWER = 1_000_000
const TIMEOUT_MS = 30_000
/** A call ends after this time, ms: a wallet may ask its user. */
const CALL_MS = 120_000
/** An invoice may ask for so many outputs. */
const MAX_OUTPUTS = 1_000
/** Characters of a payee's sentence that is repeated. */
const MAX_SAID = 300
const WANTED = 'application/bitcoinsv-paymentrequest, application/json'

/**
 * Pays what others ask for, within a budget. The money is set aside before the wallet is asked, and counts as spent unless it is certain that the wallet has not paid. A payment whose
 * answer is lost is sent again by the next call for the same thing; a second one is not made for it.
 */
export class Purse {
  readonly #options: PurseOptions
  readonly #working = new Set<Promise<unknown>>()

  constructor(options: PurseOptions) {
    this.#options = options
  }

  /**
   * Asks a URL, and pays if it answers 402.
   * @throws OverBudget nothing was paid
   * @throws OverpoolError BAD_ARGUMENT, PAYMENT_REFUSED, WALLET_UNAVAILABLE, BAD_TRANSACTION, UNAVAILABLE
   */
  payUrl(call: UrlCall): Promise<UrlAnswer> {
    return this.#work(this.#payUrl(call))
  }

  /** Pays an invoice (BIP270) by its URL. It is paid once, also by several processes that share the budget. @throws as payUrl */
  payInvoice(call: Call): Promise<PaidInvoice> {
    return this.#work(this.#payInvoice(call))
  }

  /** Resolves when no payment is under way. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#working)
  }

  #work<T>(work: Promise<T>): Promise<T> {
    const over = () => this.#working.delete(work)
    this.#working.add(work)
    work.then(over, over)
    return work
  }

  async #payUrl({ url, method, headers, body, most, approval, signal }: UrlCall): Promise<UrlAnswer> {
    const { budget, network } = this.#options
    const place = this.#checked(url)
    const purpose = `402 ${method} ${digest(place.href, JSON.stringify(headers), body ?? '')}`
    const before = budget.find(purpose)
    const unanswered = before?.state === 'paid' ? before : undefined
    const wallet = new CertainWallet(this.#options.wallet)
    const reserving = new CallBudget((satoshis) => this.#reserve({ satoshis, url: place.href, purpose, most, approval }))
    const timed = AbortSignal.any([...(signal ? [signal] : []), AbortSignal.timeout(CALL_MS)])
    let receipt = unanswered?.receipt as Receipt | undefined
    try {
      const answer = await payingFetch(place, {
        wallet,
        budget: reserving,
        network,
        method,
        headers,
        body,
        signal: timed,
        redirect: 'manual',
        ...(receipt && { receipt }),
        keep: (made) => {
          receipt = made
          budget.paid(reserving.id!, { txid: made.txid, receipt: made })
        },
      })
      const id = unanswered?.id ?? reserving.id
      const read = await beginningOf(answer)
      if (id !== undefined && answer.status < 500) budget.answered(id, answer.status)
      return {
        status: answer.status,
        contentType: answer.headers.get('content-type') ?? undefined,
        location: answer.headers.get('location') ?? undefined,
        ...read,
        ...(receipt && { paid: { satoshis: receipt.satoshis, txid: receipt.txid, before: unanswered !== undefined } }),
      }
    } catch (error) {
      const id = unanswered?.id ?? reserving.id
      if (error instanceof OverpoolError && error.code === 'PAYMENT_REFUSED' && receipt && id !== undefined)
        budget.answered(id, receipt.status ?? 402)
      throw receipt ? error : this.#unpaid(sentenceOf(error, place), reserving.id, wallet)
    }
  }

  async #payInvoice({ url, most, approval, signal }: Call): Promise<PaidInvoice> {
    const { budget } = this.#options
    const place = this.#checked(url)
    const invoice = invoiceIn(await askHttp(place.host, place, { headers: { accept: WANTED }, timeoutMs: TIMEOUT_MS }), place)
    signal?.throwIfAborted()
    const { satoshis, purpose } = invoice
    const before = budget.find(purpose)
    if (before?.state === 'paid') return this.#send(before, invoice, true)
    if (before?.state === 'answered' && accepted(before)) return { satoshis: before.satoshis, txid: before.txid!, before: true }
    if (!before && invoice.expiresAt !== undefined && invoice.expiresAt <= Date.now())
      throw new OverpoolError('PAYMENT_REFUSED', `the invoice ${place.href} has expired: nothing was paid. Ask the payee for a new one`)
    const id = this.#reserve({ satoshis, url: place.href, purpose, most, approval, once: true })
    const wallet = new CertainWallet(this.#options.wallet)
    try {
      const { scanned } = await transactionBy(wallet, descriptionOf(place), outputsOf(invoice), { acceptDelayedBroadcast: false })
      checkPays(scanned, invoice)
      budget.paid(id, { txid: scanned.txid, receipt: { transaction: hex(scanned.bytes) } })
    } catch (error) {
      throw this.#unpaid(error, id, wallet)
    }
    return this.#send(budget.find(purpose)!, invoice, false)
  }

  /** Sends the payment of an invoice, again if no answer comes. */
  async #send({ id, txid, satoshis, receipt }: MadePayment, { paymentUrl, merchantData }: Invoice, before: boolean): Promise<PaidInvoice> {
    const { transaction } = receipt as { transaction: string }
    const body = JSON.stringify({ transaction, ...(merchantData !== undefined && { merchantData }) })
    const headers = { 'content-type': 'application/json', accept: 'application/json' }
    const { host } = paymentUrl
    const answer = await askHttp(host, paymentUrl, { method: 'POST', headers, body, timeoutMs: TIMEOUT_MS }).catch(
      (cause) => cause as OverpoolError,
    )
    if (answer instanceof Error || answer.status >= 500)
      throw new OverpoolError(
        'UNAVAILABLE',
        `${host} has not answered to the payment of ${satoshis} satoshis (${txid}): call again to send the same payment`,
        { cause: answer, retryable: true },
      )
    this.#options.budget.answered(id, answer.status)
    const memo = memoIn(answer)
    if (answer.status < 300) return { satoshis, txid: txid!, before, ...(memo !== undefined && { memo }) }
    throw new OverpoolError(
      'PAYMENT_REFUSED',
      `${host} refused the payment of ${satoshis} satoshis (${txid}), which may be on the network: ${inLine(cut(memo ?? `HTTP ${answer.status}`, MAX_SAID))}. No second payment is made: ask the payee, with this txid`,
    )
  }

  #reserve(asked: { satoshis: number; url: string; purpose: string; most?: number; approval?: Approval; once?: boolean }): number {
    const { satoshis, url, purpose, most, approval, once } = asked
    if (most !== undefined && satoshis > most)
      throw new OverpoolError(
        'BUDGET_EXCEEDED',
        `${url} costs ${satoshis} satoshis, more than the ${most} that this call may pay: nothing was paid`,
      )
    const { budget, limits } = this.#options
    const isApproved = approval?.url === url && satoshis <= approval.satoshis
    return budget.reserve({ satoshis, url, purpose, limits, ...(isApproved && { approval: approval.id }), ...(once && { once }) })
  }

  /** The error of a payment that was not made, as far as is known. */
  #unpaid(error: unknown, id: number | undefined, wallet: CertainWallet): unknown {
    if (id === undefined) return error
    if (!wallet.mayHavePaid) {
      this.#options.budget.release(id)
      return error
    }
    const code = error instanceof OverpoolError ? error.code : 'WALLET_UNAVAILABLE'
    return new OverpoolError(
      code,
      `${cut(messageOf(error), MAX_SAID)}. The wallet may have paid all the same, so the money counts as spent (payment ${id}). If the wallet shows that it has not paid, the operator releases the amount by \`overpool budget --release ${id}\``,
      { cause: error },
    )
  }

  /** A URL that may be paid. */
  #checked(url: string): URL {
    const place = URL.parse(url)
    if (!place || place.username || place.password)
      throw new OverpoolError(
        'BAD_ARGUMENT',
        `${inLine(cut(url, MAX_SAID))} is not a URL that can be paid: give one such as https://shop.example/article`,
      )
    const { payees } = this.#options
    const { protocol, host, hostname } = place
    if (payees && !payees.some((named) => named === host || named === hostname))
      throw new OverpoolError(
        'BAD_ARGUMENT',
        `${host} is not among the hosts that may be paid: ${payees.join(', ')}. The operator adds hosts with --payee`,
      )
    const isLocal = protocol === 'http:' && LOOPBACK.test(hostname)
    if (protocol === 'https:' || (payees && isLocal)) return withoutHash(place)
    throw new OverpoolError(
      'BAD_ARGUMENT',
      isLocal
        ? `${host} is on this computer: the operator must allow payments to it by --payee ${host}`
        : `${inLine(cut(place.href, MAX_SAID))} is not https: anyone on the way could take the payment`,
    )
  }
}

/** The budget of one call: what it sets aside is in the file. */
class CallBudget extends Budget {
  id: number | undefined
  readonly #set: (satoshis: number) => number

  constructor(set: (satoshis: number) => number) {
    super({ perCall: Number.MAX_SAFE_INTEGER })
    this.#set = set
  }

  override reserve(satoshis: number): void {
    this.id = this.#set(satoshis)
    this.spent += satoshis
  }
}

/** A wallet that notes whether it may have paid. It has not if it was not asked for a transaction, could not be reached, or lacks the money. */
class CertainWallet implements PayingWallet {
  readonly #wallet: PayingWallet
  mayHavePaid = false

  constructor(wallet: PayingWallet) {
    this.#wallet = wallet
  }

  getPublicKey: PayingWallet['getPublicKey'] = (args: never) => this.#wallet.getPublicKey(args)

  createAction: PayingWallet['createAction'] = async (args) => {
    this.mayHavePaid = true
    try {
      return await this.#wallet.createAction(args)
    } catch (error) {
      if (isUnreached(error) || lacksMoney(error)) this.mayHavePaid = false
      throw error
    }
  }

  signAction: PayingWallet['signAction'] = (args) => this.#wallet.signAction(args)
}

/** Errors of a connection that was never made. */
const NOT_CONNECTED: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

function isUnreached(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined
  return NOT_CONNECTED.has(cause?.code ?? '')
}

/** WERR_INSUFFICIENT_FUNDS of @bsv/sdk. */
function lacksMoney(error: unknown): boolean {
  return error instanceof Error && error.name === 'WERR_INSUFFICIENT_FUNDS'
}

/** An invoice as its payee gives it (BIP270). */
interface Invoice {
  outputs: { satoshis: number; script: string }[]
  satoshis: number
  paymentUrl: URL
  merchantData?: string
  expiresAt?: number
  purpose: string
}

function invoiceIn({ status, body, headers }: HttpAnswer, place: URL): Invoice {
  const bad = (what: string) =>
    new OverpoolError('PAYMENT_REFUSED', `${place.href} gives no invoice that can be paid: ${what}. Nothing was paid`)
  if (status === 402) throw bad('it has a price (HTTP 402): pay it as a URL')
  if (status !== 200) throw bad(`it answers ${status}${headers.has('location') ? ', a redirect, which is not followed' : ''}`)
  let read: Record<string, unknown>
  try {
    read = Object(JSON.parse(body.toString())) as Record<string, unknown>
  } catch {
    throw bad('it is not JSON')
  }
  const { outputs, paymentUrl, merchantData, expirationTimestamp } = read
  if (!Array.isArray(outputs) || !outputs.length || outputs.length > MAX_OUTPUTS) throw bad(`it must have 1 to ${MAX_OUTPUTS} outputs`)
  const wanted = outputs.map((output) => {
    const { amount, script } = Object(output) as Record<string, unknown>
    if (!Number.isSafeInteger(amount) || (amount as number) < 0) throw bad('an output has no amount in satoshis')
    if (typeof script !== 'string' || !/^([\da-f]{2})+$/i.test(script)) throw bad('an output has no script in hex')
    return { satoshis: amount as number, script: script.toLowerCase() }
  })
  const satoshis = wanted.reduce((sum, output) => sum + output.satoshis, 0)
  const to = typeof paymentUrl === 'string' ? URL.parse(paymentUrl, place.href) : null
  if (to?.origin !== place.origin) throw bad('its paymentUrl leads to another server')
  if (merchantData !== undefined && typeof merchantData !== 'string') throw bad('its merchantData is not a text')
  if (!Number.isSafeInteger(satoshis)) throw bad('its amounts are too large')
  const ends = typeof expirationTimestamp === 'number' ? { expiresAt: expirationTimestamp * 1_000 } : {}
  const purpose = `invoice ${digest(to.href, JSON.stringify(wanted))}`
  return { outputs: wanted, satoshis, paymentUrl: to, ...(merchantData !== undefined && { merchantData }), ...ends, purpose }
}

function outputsOf({ outputs }: Invoice) {
  return outputs.map(({ satoshis, script }) => ({ lockingScript: script, satoshis, outputDescription: 'invoice payment' }))
}

/** @throws OverpoolError BAD_TRANSACTION: the wallet's transaction lacks an output of the invoice */
function checkPays(scanned: ScannedTransaction, { outputs }: Invoice): void {
  const paid = Array.from(scanned.readOutputs(), ({ satoshis, script }) => ({ satoshis: Number(satoshis), script: hex(script) }))
  for (const { satoshis, script } of outputs) {
    const at = paid.findIndex((output) => output.script === script && output.satoshis === satoshis)
    if (at < 0)
      throw new OverpoolError(
        'BAD_TRANSACTION',
        `the wallet's transaction ${scanned.txid} lacks an output of ${satoshis} satoshis of the invoice`,
      )
    paid.splice(at, 1)
  }
}

/** The payee's sentence in a PaymentACK. */
function memoIn({ body }: HttpAnswer): string | undefined {
  try {
    const { memo } = Object(JSON.parse(body.toString())) as { memo?: unknown }
    return typeof memo === 'string' ? cut(memo, MAX_SAID) : undefined
  } catch {
    return undefined
  }
}

/** Whether the payee has taken a payment. */
function accepted({ status = 0 }: MadePayment): boolean {
  return status < 300
}

function descriptionOf({ host, pathname }: URL): string {
  return `Invoice: ${host}${pathname}`.slice(0, MAX_DESCRIPTION)
}

/** The error of a request that has no answer. */
function sentenceOf(error: unknown, { host }: URL): unknown {
  if (error instanceof OverpoolError) return error
  const why = error instanceof DOMException ? 'did not answer in time, or the call was cancelled' : 'cannot be reached'
  return new OverpoolError('UNAVAILABLE', `${host} ${why}`, { cause: error, retryable: true })
}

/** An answer, up to so many bytes. */
async function beginningOf(answer: Response): Promise<Pick<UrlAnswer, 'body' | 'isCut'>> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of answer.body ?? []) {
    chunks.push(chunk)
    size += chunk.length
    if (size > MAX_ANSWER) break // which cancels the rest
  }
  return { body: Buffer.concat(chunks).subarray(0, MAX_ANSWER), isCut: size > MAX_ANSWER }
}

function withoutHash(url: URL): URL {
  url.hash = ''
  return url
}

function digest(...parts: string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}
