import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type Context, Hono } from 'hono'
import { dialectOf, readPayment } from '../../shared/bip270/payment.ts'
import { type ErrorCode, OverpoolError } from '../../shared/errors.ts'
import { type AcceptDeps, accept, type PoolDoor } from '../../shared/machine/accept.ts'
import { BodyReader, letGo, type NodeBindings } from './body.ts'

export interface PaymentsDeps extends AcceptDeps {
  pool: (path: string) => PoolDoor | undefined | Promise<PoolDoor | undefined>
  /** longest message, bytes */
  maxBytes: number
  /** what the wallet is not told of a failure that is ours */
  log: (error: unknown) => void
}

type Env = { Bindings: NodeBindings }

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
    const payment = readPayment(await body.read(c.req.raw, c.req.header('content-length'), c.env ?? {}), dialect)
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
  app.notFound(() => {
    throw new OverpoolError('POOL_NOT_FOUND', 'payments are posted to /{pool}')
  })
  app.onError(async (error, c) => {
    if (isOurFault(error)) deps.log(error)
    await letGo(c.env ?? {})
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
  const code = error instanceof OverpoolError ? error.code : undefined
  const status = code ? statusOf(code) : 500
  const headers: Record<string, string> = { ...JSON_HEADERS }
  if (status === 405) headers.allow = 'POST, OPTIONS'
  if (status === 503) headers['retry-after'] = '1'
  return new Response(JSON.stringify({ memo: sentence(error, status), error: 1, ...(status !== 500 && { code }) }), { status, headers })
}

/** Too much work, or a halted pool that has said so before, would fill the log at every post. */
function isOurFault(error: unknown): boolean {
  return !(error instanceof OverpoolError) || (statusOf(error.code) >= 500 && !['OVERLOADED', 'POOL_HALTED', 'CLOSED'].includes(error.code))
}

/** What the wallet did is named; what is the matter with us is for the log. */
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
