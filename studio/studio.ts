import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { BodyReader, letGo } from '../functions/payments/body.ts'
import { statusOfError } from '../functions/payments/refusal.ts'
import { MAX_PAYMENT_BYTES } from '../shared/bip270/payment.ts'
import { systemClock } from '../shared/clock.ts'
import { OverpoolError } from '../shared/errors.ts'
import { SCRIPT, STYLE } from './bundle.ts'
import { type Knock, refusalOf, refusalOfCall } from './guard.ts'
import { STUDIO_PATH } from './path.ts'
import { overviewOf } from './routes/overview.ts'
import type { RouteDeps } from './routes/route.ts'
import { ROUTES } from './routes.ts'

export interface StudioDeps extends RouteDeps {
  /** what a caller has to know; asked at each call, undefined if there is none yet */
  token: () => string | undefined
  /** called with failures of ours */
  log: (error: unknown) => void
}

/** Open `live` connections of one studio. */
const MAX_LIVE = 20
/** The state is read for at most this share of the time: a machine of a thousand pools has other work. */
const LIVE_SHARE = 0.1
/** A change is sent at most this often; without one the state is sent again after the other time, ms: connections that are silent for a minute are closed. */
const LIVE_MS = 100
const BEAT_MS = 5_000

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Overpool Studio</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${STUDIO_PATH}/page.css">
<script src="${STUDIO_PATH}/page.js" defer></script>
</head>
<body>
<div id="studio"></div>
<noscript><p>The studio needs JavaScript.</p></noscript>
</body>
</html>
`

/** What the page is made of; none of it says anything about the machine. */
const FILES: Record<string, { type: string; body: string; tag: string }> = Object.fromEntries(
  (
    [
      ['', 'text/html', PAGE],
      ['/', 'text/html', PAGE],
      ['/page.js', 'text/javascript', SCRIPT],
      ['/page.css', 'text/css', STYLE],
    ] as const
  ).map(([path, type, body]) => [
    path,
    { type: `${type}; charset=utf-8`, body, tag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` },
  ]),
)

/** The studio over HTTP: its page, and the calls of the page. The caller that makes it closes it. */
export class Studio {
  readonly #deps: StudioDeps
  readonly #bodies = new BodyReader(2 * MAX_PAYMENT_BYTES) // a transaction in hex
  readonly #closed = new AbortController()
  #live = 0

  constructor(deps: StudioDeps) {
    this.#deps = deps
  }

  /** Ends the connections that are told what happens. */
  close(): void {
    this.#closed.abort()
  }

  /** @param path without its query */
  async answer(path: string, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const method = incoming.method ?? ''
    const header = (name: string) => incoming.headers[name]?.toString()
    const knock: Knock = { method, header, address: incoming.socket.remoteAddress }
    const refusal = refusalOf(knock)
    if (refusal) return refuse(incoming, outgoing, refusal.status, refusal)
    const file = FILES[path.slice(STUDIO_PATH.length)]
    if (file && (method === 'GET' || method === 'HEAD')) return sendFile(outgoing, header, file)
    const name = path.startsWith(`${STUDIO_PATH}/api/`) ? path.slice(`${STUDIO_PATH}/api/`.length) : undefined
    const notCalled = name === undefined ? undefined : refusalOfCall(knock, this.#deps.token())
    if (notCalled) return refuse(incoming, outgoing, notCalled.status, notCalled)
    if (name === 'live' && method === 'GET') return this.#tell(outgoing)
    const route = Object.hasOwn(ROUTES, `${method} ${name}`) ? ROUTES[`${method} ${name}`] : undefined
    if (!route) return refuse(incoming, outgoing, 404, { code: 'NOT_FOUND', message: 'the studio has nothing there' })
    try {
      const query = new URL(incoming.url ?? '', 'http://studio').searchParams
      const body = method === 'POST' ? parsed(await this.#bodies.read(incoming, outgoing)) : undefined
      const text = JSON.stringify(await route({ query, body }, this.#deps), asJson)
      outgoing.writeHead(200, { ...HEADERS, 'content-type': 'application/json' }).end(text)
    } catch (error) {
      if (!(error instanceof OverpoolError)) this.#deps.log(error)
      const { code, message } =
        error instanceof OverpoolError ? error : { code: 'INTERNAL', message: 'the studio has failed; the log of the machine says why' }
      await refuse(incoming, outgoing, statusOf(error), { code, message })
    }
  }

  /** Sends the state of the machine whenever something may have changed: a line each. */
  async #tell(outgoing: ServerResponse): Promise<void> {
    if (this.#live >= MAX_LIVE)
      return void outgoing
        .writeHead(503, { ...HEADERS, 'content-type': 'application/json' })
        .end(JSON.stringify({ code: 'OVERLOADED', message: 'too many pages of the studio are open: close some' }))
    this.#live++
    const gone = new AbortController()
    outgoing.once('close', () => gone.abort())
    const over = AbortSignal.any([gone.signal, this.#closed.signal])
    // Nothing else comes over this connection: it ends with the machine.
    outgoing.writeHead(200, { ...HEADERS, 'content-type': 'application/x-ndjson', connection: 'close' })
    try {
      while (!over.aborted) {
        // The wait begins before the state is read: what is written meanwhile ends it.
        const changed = this.#deps.machine.changed(BEAT_MS, over)
        const begun = systemClock.elapsed()
        const isTaken = outgoing.write(`${JSON.stringify(await overviewOf(this.#deps))}\n`)
        const took = systemClock.elapsed() - begun
        if (!isTaken) await once(outgoing, 'drain', { signal: over })
        await systemClock.sleep(Math.max(LIVE_MS, took / LIVE_SHARE), over)
        await changed
      }
    } catch (error) {
      if (!over.aborted) this.#deps.log(error) // the page asks again
    } finally {
      this.#live--
      gone.abort()
      outgoing.end()
    }
  }
}

/** Of every answer: nothing is kept, framed or guessed at, and no other page reads it. */
const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'x-robots-tag': 'noindex',
}

type Header = (name: string) => string | undefined

function sendFile(outgoing: ServerResponse, header: Header, { type, body, tag }: (typeof FILES)[string]): void {
  const headers = { ...HEADERS, 'cache-control': 'no-cache', etag: tag, 'content-security-policy': policyFor(header('host') ?? '') }
  if (header('if-none-match') === tag) outgoing.writeHead(304, headers).end()
  else outgoing.writeHead(200, { ...headers, 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body)
}

/** The page runs its own script, from its own place and no other place of the door, makes no markup from text, and talks to its own origin alone. */
function policyFor(host: string): string {
  // A policy can name no address of IPv6.
  const own = (path: string) => (host.startsWith('[') ? "'self'" : `http://${host}${STUDIO_PATH}${path}`)
  return [
    "default-src 'none'",
    `script-src ${own('/page.js')}`,
    `style-src ${own('/page.css')}`,
    `connect-src ${own('/api/')}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')
}

async function refuse(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  status: number,
  { code, message }: { code: string; message: string },
): Promise<void> {
  await letGo(incoming)
  outgoing.writeHead(status, { ...HEADERS, 'content-type': 'application/json' }).end(JSON.stringify({ code, message }))
}

/** A wrong question of the page is 400, as are the failures that a door does not know. */
function statusOf(error: unknown): number {
  if (!(error instanceof OverpoolError)) return 500
  const status = statusOfError(error)
  return status === 500 ? (error.code === 'ENTRY_NOT_FOUND' || error.code === 'HANDLER_NOT_FOUND' ? 404 : 400) : status
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString('utf8'))
  } catch (cause) {
    throw new OverpoolError('BAD_ARGUMENT', 'the body is no JSON', { cause })
  }
}

/** Bytes become hex. */
function asJson(_: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value
}
