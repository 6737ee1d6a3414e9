import { hash } from 'node:crypto'
import type { CheckedPayment } from '../bip270/payment.ts'
import { OverpoolError } from '../errors.ts'
import { read121 } from './brc121.ts'
import { type Network, read166, required166, response166 } from './brc166.ts'
import { type Payee, payeeOf } from './payee.ts'
import type { Asked, Header, Payment, Read, Refusal } from './payment.ts'

export interface PaywallDeps {
  /** called when it is first needed, and again after it failed */
  payee: () => Promise<Payee>
  network: Network
  now: () => number
}

/** An answer before it becomes that of a server. */
export interface WallAnswer {
  status: number
  headers: Record<string, string>
  /** JSON; a challenge has none (BRC-121) */
  body?: string
}

/** What a page of another origin may read of an answer. */
const EXPOSED = 'x-bsv-sats, x-bsv-server, x-bsv-payment-satoshis-paid, PAYMENT-REQUIRED, PAYMENT-RESPONSE'
/** How a payment is named in full; a longer request is shown in part, with its hash. */
const MAX_USE = 500

/** What is kept with the entry of a payment, as its `merchantData`. */
export interface PaidFor {
  /** the protocol by which it came */
  paid: Payment['protocol'] | 'paymail'
  satoshis: number
  /** which key it went to, and the first output that pays it: with these the money can be spent (docs/paywall.md) */
  sender: string
  prefix: string
  suffix: string
  vout: number
  /** the request that it paid for */
  for?: string
  /** it bought nothing: it came too late, or was too little. The money is there */
  refused?: Refusal['reason']
}

/** Asks for payments and reads them, in both protocols. It keeps nothing. */
export class Paywall {
  readonly #deps: PaywallDeps
  #payee: Promise<Payee> | undefined
  #identity: Promise<string> | undefined

  constructor(deps: PaywallDeps) {
    this.#deps = deps
  }

  /** The answer to a request without a payment: both protocols in one, and no body. @throws OverpoolError WALLET_UNAVAILABLE: the payee does not answer */
  async challenge(asked: Asked): Promise<WallAnswer> {
    return { status: 402, headers: await this.#challengeHeaders(asked) }
  }

  async #challengeHeaders(asked: Asked): Promise<Record<string, string>> {
    const { network, now } = this.#deps
    return this.asPayee(async (payee) => ({
      'x-bsv-sats': String(asked.price),
      'x-bsv-server': await this.#identityOf(payee),
      'payment-required': await required166(asked, payee, now(), network),
      ...COMMON,
    }))
  }

  /**
   * What is to be said of the payment in a request; undefined if there is none. BRC-166 first, since it is bound to the request.
   * @throws OverpoolError WALLET_UNAVAILABLE: the payee does not answer
   */
  async read(header: Header, asked: Asked): Promise<Read | undefined> {
    const message = header('payment-signature')
    return this.asPayee(async (payee) =>
      message === undefined ? read121(header, asked, payee, this.#deps.now()) : read166(message, asked, payee, this.#deps.now()),
    )
  }

  /** The payment in the JSON of BRC-166 that came as a body. */
  async readMessage(json: Uint8Array, asked: Asked): Promise<Read> {
    const message = Buffer.from(json.buffer, json.byteOffset, json.byteLength).toString('base64')
    return this.asPayee((payee) => read166(message, asked, payee, this.#deps.now()))
  }

  /** The answer to a payment that does not count. A new challenge goes with it where another payment would help. */
  async refuse(refusal: Refusal, asked: Asked): Promise<WallAnswer> {
    const { protocol, reason, status, sentence, retryable } = refusal
    const again = status === 402 ? await this.#challengeHeaders(asked) : COMMON
    return {
      status,
      headers: {
        ...again,
        'content-type': 'application/json',
        ...(protocol === 'BRC-166' && { 'payment-response': response166(this.#deps.network, { reason }) }),
      },
      body: JSON.stringify({ error: sentence, errorReason: reason, retryable }),
    }
  }

  /** What the answer to a paid request says beside its own headers. */
  accepted({ protocol, scanned, satoshis }: Payment, isSeen = false): Record<string, string> {
    return {
      ...COMMON,
      'x-bsv-payment-satoshis-paid': String(satoshis),
      ...(protocol === 'BRC-166' && { 'payment-response': response166(this.#deps.network, { txid: scanned.txid, isSeen }) }),
    }
  }

  /** The public key by which the payee is known. */
  identity(): Promise<string> {
    return this.asPayee((payee) => this.#identityOf(payee))
  }

  /** Asks the payee. @throws OverpoolError WALLET_UNAVAILABLE; an error of ours passes as it is */
  async asPayee<T>(work: (payee: Payee) => Promise<T>): Promise<T> {
    this.#payee ??= this.#deps.payee()
    try {
      return await work(await this.#payee)
    } catch (cause) {
      if (cause instanceof OverpoolError) throw cause
      this.#payee = undefined
      this.#identity = undefined
      throw new OverpoolError('WALLET_UNAVAILABLE', 'wallet unavailable', { cause, retryable: true })
    }
  }

  #identityOf(payee: Payee): Promise<string> {
    return (this.#identity ??= payee.getPublicKey({ identityKey: true }).then(({ publicKey }) => publicKey))
  }
}

/** The paywalls of a machine's pools. @param secret called when it is first needed, and again after it failed */
export function paywallsOf(secret: () => Promise<string>, deps: Omit<PaywallDeps, 'payee'>): (pool: string) => Paywall {
  const walls = new Map<string, Paywall>()
  return (pool) => {
    const wall = walls.get(pool) ?? new Paywall({ ...deps, payee: async () => payeeOf(await secret(), pool) })
    walls.set(pool, wall)
    return wall
  }
}

/** A challenge and a paid answer are for one client: no cache may keep them. */
const COMMON = { 'access-control-expose-headers': EXPOSED, 'cache-control': 'no-store' }

export function jsonAnswer(status: number, body: object): WallAnswer {
  return { status, headers: { 'content-type': 'application/json', ...COMMON }, body: JSON.stringify(body) }
}

/** What a request asks for, as it is kept with the payment: the same text for the same request. @param body of a request that has one */
export function useOf(resource: string, body?: Uint8Array): string {
  const use = body?.length ? `${resource} sha256:${hash('sha256', body)}` : resource
  return use.length <= MAX_USE ? use : `${use.slice(0, MAX_USE - 100)}… sha256:${hash('sha256', use)}`
}

/** A payment as the ledger keeps it. */
export function entryOf(
  { protocol, scanned, along, satoshis, derivation, vout }: Payment,
  more: Pick<PaidFor, 'for' | 'refused'>,
): CheckedPayment {
  const paid: PaidFor = { paid: protocol, satoshis, ...derivation, vout, ...more }
  return { scanned, ...(along && { along }), fields: { merchantData: paid } }
}
