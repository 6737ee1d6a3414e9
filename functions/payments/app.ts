import type { IncomingMessage, ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type Context, Hono } from 'hono'
import { dialectOf, readPayment } from '../../shared/bip270/payment.ts'
import { type ErrorCode, OverpoolError } from '../../shared/errors.ts'
import { type AcceptDeps, accept, type PoolDoor } from './accept.ts'

/** Bytes of messages that are being read at one time, all connections together: more are told to come again. */
const MAX_BYTES_IN_FLIGHT = 64 * 1024 * 1024

export interface PaymentsDeps extends AcceptDeps {
  pool: (path: string) => PoolDoor | undefined | Promise<PoolDoor | undefined>
  /** longest message, bytes */
  maxBytes: number
  /** what the wallet is not told of a failure that is ours */
  log: (error: unknown) => void
}

type Env = { Bindings: { incoming?: IncomingMessage; outgoing?: ServerResponse } }

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'POST, OPTIONS',
  'access-control-allow-headers': 'Content-Type, Accept',
  'access-control-max-age': '86400',
}
const JSON_HEADERS = { 'content-type': 'application/json', ...CORS }

/**
 * The HTTP door: `POST /{pool}` takes a BIP270 Payment and answers with a PaymentACK when the ingress queue holds it.
 * The same app is the Lambda behind the function URL and the local server. It writes nothing but payments (Promise 7).
 */
export function paymentsApp(deps: PaymentsDeps): Hono<Env> {
  const app = new Hono<Env>()
  const body = new BodyReader(deps.maxBytes)

  app.get('/_/health', (c) => c.json({ ok: true }))
  app.options('*', (c) => c.body(null, 204, CORS))
  app.post('/:pool', async (c) => {
    const pool = await deps.pool(c.req.param('pool'))
    if (!pool) throw new OverpoolError('POOL_NOT_FOUND', 'no pool of this name takes payments here')
    const dialect = dialectOf(c.req.header('content-type'))
    const payment = readPayment(await body.read(c), dialect)
    await accept(pool, payment, { source: 'http' }, deps)
    const { scanned, fields } = payment
    const copy = {
      transaction: Buffer.from(scanned.bytes.buffer, scanned.bytes.byteOffset, scanned.bytes.byteLength).toString('hex'),
      ...fields,
    }
    return send(c, JSON.stringify({ payment: copy, memo: `Received into ${pool.path}`, error: 0, success: true }))
  })
  app.all('/:pool', () => {
    throw new OverpoolError('METHOD_NOT_ALLOWED', 'a pool takes a POST with a BIP270 Payment')
  })
  app.notFound(() => refusal(new OverpoolError('POOL_NOT_FOUND', 'payments are posted to /{pool}')))
  app.onError((error) => {
    if (!(error instanceof OverpoolError) || statusOf(error.code) >= 500) deps.log(error)
    return refusal(error)
  })
  return app
}

/** Straight to Node's response where there is one: a web Response, and the stream in it, take as long as all the rest of the door. */
function send(c: Context<Env>, body: string): Response {
  const outgoing = c.env?.outgoing
  if (!outgoing) return c.body(body, 200, JSON_HEADERS)
  outgoing.writeHead(200, { ...JSON_HEADERS, 'content-length': Buffer.byteLength(body) }).end(body)
  return RESPONSE_ALREADY_SENT
}

/** A failure as the wallet sees it: a status and a PaymentACK, since one wallet reads only the status and another only `error`. */
function refusal(error: unknown): Response {
  const ours = error instanceof OverpoolError && statusOf(error.code) !== 500
  const status = ours ? statusOf(error.code) : 500
  const memo = ours ? error.message : 'The payment could not be taken; nothing was recorded. Please try again.'
  const headers: Record<string, string> = { ...JSON_HEADERS }
  if (status === 405) headers.allow = 'POST, OPTIONS'
  if (status === 503) headers['retry-after'] = '1'
  if (status === 413) headers.connection = 'close' // the rest of it is not read
  return new Response(JSON.stringify({ memo, error: 1, ...(ours && { code: error.code }) }), { status, headers })
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
    case 'UNAVAILABLE':
    case 'CLOSED':
      return 503
    default:
      return 500
  }
}

/** Reads bodies within bounds: of each, and of all together. */
class BodyReader {
  readonly #max: number
  #inFlight = 0

  constructor(max: number) {
    this.#max = max
  }

  async read(c: Context<Env>): Promise<Uint8Array> {
    const announced = Number(c.req.header('content-length') ?? 0)
    if (announced > this.#max) throw this.#tooLarge()
    const incoming = c.env?.incoming
    if (incoming) return this.#readIncoming(incoming)
    const body = new Uint8Array(await c.req.arrayBuffer())
    if (body.length > this.#max) throw this.#tooLarge()
    return body
  }

  /** Straight from Node's request: a web stream in between takes as long as all the rest of a post. */
  #readIncoming(incoming: IncomingMessage): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      let size = 0
      const done = () => {
        this.#inFlight -= size
        incoming.off('data', take).off('end', whole).off('error', broken).off('close', broken)
      }
      const fail = (error: OverpoolError) => {
        done()
        incoming.on('error', () => {}).resume() // what still comes is let go
        reject(error)
      }
      const take = (chunk: Buffer) => {
        size += chunk.length
        this.#inFlight += chunk.length
        if (size > this.#max) fail(this.#tooLarge())
        else if (this.#inFlight > MAX_BYTES_IN_FLIGHT)
          fail(new OverpoolError('OVERLOADED', 'too much is being sent at this moment; please try again', { retryable: true }))
        else chunks.push(chunk)
      }
      const whole = () => {
        done()
        resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
      }
      const broken = () => fail(new OverpoolError('MALFORMED_PAYMENT', 'the message broke off'))
      incoming.on('data', take).on('end', whole).on('error', broken).on('close', broken)
    })
  }

  #tooLarge(): OverpoolError {
    return new OverpoolError('PAYMENT_TOO_LARGE', `a Payment may have ${this.#max} bytes`)
  }
}
