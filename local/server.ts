import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { BodyReader, letGo } from '../functions/payments/body.ts'
import { answerAtDoor, type DoorDeps } from '../functions/payments/door.ts'
import type { DoorAnswer, DoorRequest } from '../functions/payments/http.ts'
import { isFromHere } from '../functions/payments/loopback.ts'
import { Quotas } from '../functions/payments/quotas.ts'
import { OverpoolError } from '../shared/errors.ts'
import { turn } from '../shared/turn.ts'
import { isForStudio } from '../studio/path.ts'
import { boundConnections } from './http-connections.ts'
import { sendStream } from './stream.ts'

/** A client has this time to send its headers, ms: slow-loris attacks hold no connection for long. */
const HEADERS_TIMEOUT_MS = 10_000
/** A client has this time to send its whole request, ms. */
const REQUEST_TIMEOUT_MS = 60_000
const KEEP_ALIVE_MS = 65_000
/** A connection without traffic in either direction is closed after this time, ms, even if the client has not read its answer. */
const IDLE_TIMEOUT_MS = 70_000
const MAX_HEADERS = 100
/** All headers of a request together. A payment of BRC-121 is in one: a BEEF of up to about 48 KB fits. Of each connection so many bytes may be in hand. */
const MAX_HEADER_BYTES = 64 * 1024
/** A client that has sent too long a header has this time to read the answer, ms. */
const CUT_OFF_MS = 5_000
/** Others have their turn before an answer of this many characters is sent. */
const LARGE = 64 * 1024
/** The answer to a request that the door cannot make sense of. */
const NOT_UNDERSTOOD = 'this is no request that can be understood; look at its path and its Host header'
const UNREADABLE: DoorAnswer = {
  status: 400,
  reason: NOT_UNDERSTOOD,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ memo: NOT_UNDERSTOOD, error: 1 }),
}
const TOO_LONG = `the headers of this request are longer than ${MAX_HEADER_BYTES} bytes: for a payment with many unconfirmed ancestors, pay by BRC-166, and POST it in the body to the submitUrl`
const TOO_LONG_BODY = JSON.stringify({ error: TOO_LONG, memo: TOO_LONG, retryable: false })
/** Answers to what is no whole request, by Node's code for it; 400 to all others. */
const BROKEN: Record<string, string> = {
  HPE_HEADER_OVERFLOW: `431 Request Header Fields Too Large\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: application/json\r\nContent-Length: ${TOO_LONG_BODY.length}\r\nConnection: close\r\n\r\n${TOO_LONG_BODY}`,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large\r\nConnection: close\r\n\r\n',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout\r\nConnection: close\r\n\r\n',
}
/** What no host has in its name. */
const NOT_IN_HOST = /[\s/?#@\\<>^`{|}]/

export interface LocalServer {
  port: number
  url: string
  close(): Promise<void>
}

/** What counts the answers, and says for programs of this computer what was counted. */
export interface DoorMetrics {
  contentType: string
  text: () => Promise<string>
  answered: (method: string, path: string, answer: DoorAnswer, ms: number) => void
}

export interface LocalDoor extends Omit<DoorDeps, 'quotas'> {
  metrics: DoorMetrics
  /** longest message, bytes */
  maxBytes: number
  /** the studio; undefined where others than programs of this host may reach the door */
  studio?: ((path: string, incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>) | undefined
}

/** Serves the HTTP door on this machine. Port 0 takes a free one; PORT_IN_USE if another program has it. */
export async function listen(door: LocalDoor, port: number, host: string): Promise<LocalServer> {
  const bodies = new BodyReader(door.maxBytes)
  const deps = { ...door, quotas: new Quotas() }
  const server = createServer({
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: 2_000,
    maxHeaderSize: MAX_HEADER_BYTES,
  })
  server.timeout = IDLE_TIMEOUT_MS
  server.maxHeadersCount = MAX_HEADERS
  boundConnections(server)
  server.on('clientError', ({ code = '' }: NodeJS.ErrnoException, socket: Socket & { _httpMessage?: ServerResponse }) => {
    if (socket.writableEnded) return // more of the same request
    if (!socket.writable || socket._httpMessage?.headersSent) return void socket.destroy() // an answer is under way: nothing may stand in it
    socket.end(`HTTP/1.1 ${BROKEN[code] ?? '400 Bad Request\r\nConnection: close\r\n\r\n'}`)
    const timer = setTimeout(() => socket.destroy(), CUT_OFF_MS).unref()
    socket.once('close', () => clearTimeout(timer))
  })
  server.on('request', (incoming, outgoing) => {
    if (!incoming.socket.destroyed) void serve(incoming, outgoing, deps, bodies, door.studio) // more requests may have been read from a connection that was just closed
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(cannotListen(cause, port, host)))
    server.listen(port, host, resolve)
  })
  const actual = (server.address() as AddressInfo).port
  return { port: actual, url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}`, close: () => close(server) }
}

async function serve(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  door: DoorDeps & Pick<LocalDoor, 'metrics'>,
  bodies: BodyReader,
  studio: LocalDoor['studio'],
): Promise<void> {
  const began = performance.now()
  const path = pathOf(incoming)
  if (studio && isForStudio(path)) return studio(path, incoming, outgoing)
  const request = {
    method: incoming.method ?? '',
    query: incoming.url?.split('?', 2)[1] ?? '',
    header: (name: string) => incoming.headers[name]?.toString(),
    address: incoming.socket.remoteAddress,
    body: () => bodies.read(incoming, outgoing),
  }
  const answer = await answerAt(path, request, door)
  const { status, reason = STATUS_CODES[status] ?? '', headers, body } = answer
  if (path !== undefined) door.metrics.answered(request.method, path, answer, performance.now() - began)
  if (status >= 400) await letGo(incoming)
  if (answer.events) return sendEvents(outgoing, answer, door.log)
  if (answer.stream) return sendStream(outgoing, answer, answer.stream)
  if (body === undefined) outgoing.writeHead(status, reason, headers).end()
  else if (body.length < LARGE) outgoing.writeHead(status, reason, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
  else {
    await turn()
    const bytes = Buffer.from(body)
    await turn()
    outgoing.writeHead(status, reason, { ...headers, 'content-length': bytes.length }).end(bytes)
  }
}

async function answerAt(
  path: string | undefined,
  request: Omit<DoorRequest, 'path'>,
  door: DoorDeps & Pick<LocalDoor, 'metrics'>,
): Promise<DoorAnswer> {
  if (path === undefined) return UNREADABLE
  if (path === '/_/metrics' && request.method === 'GET' && isFromHere(request)) return metricsOf(door)
  return answerAtDoor({ ...request, path }, door)
}

/** The metrics, for programs of this computer alone: to others there is no such path. */
async function metricsOf({ metrics, log }: DoorDeps & Pick<LocalDoor, 'metrics'>): Promise<DoorAnswer> {
  try {
    return { status: 200, headers: { 'content-type': metrics.contentType, 'cache-control': 'no-store' }, body: await metrics.text() }
  } catch (error) {
    log(error)
    return { status: 503, headers: { 'content-type': 'text/plain' }, body: 'the metrics could not be read: the log says why\n' }
  }
}

/** Connections of all doors that are told of invoices, and the most of them. */
let streams = 0
const MAX_STREAMS = 200

/** Sends server-sent events until there are no more, or the client has gone. */
async function sendEvents(outgoing: ServerResponse, { status, headers, events }: DoorAnswer, log: (error: unknown) => void): Promise<void> {
  const { socket } = outgoing
  if (!socket || streams >= MAX_STREAMS) {
    outgoing.writeHead(503, { 'retry-after': '10' }).end() // the page asks again and again instead
    return
  }
  streams++
  const gone = new AbortController()
  socket.once('close', () => gone.abort())
  outgoing.writeHead(status, headers)
  outgoing.flushHeaders()
  await events!((data) => void outgoing.write(`data: ${data}\n\n`), gone.signal).catch((error) => gone.signal.aborted || log(error))
  streams--
  outgoing.end()
}

/** The path of a request, without its query; undefined if the path or the host is invalid. */
function pathOf({ url = '', headers: { host } }: IncomingMessage): string | undefined {
  if (host !== undefined && (!host || NOT_IN_HOST.test(host))) return undefined
  if (url[0] !== '/') return URL.parse(url)?.pathname // as it is asked of a proxy
  const end = url.indexOf('?')
  return end < 0 ? url : url.slice(0, end)
}

export function cannotListen(cause: NodeJS.ErrnoException, port: number, host: string): OverpoolError {
  if (cause.code === 'EADDRINUSE')
    return new OverpoolError(
      'PORT_IN_USE',
      `port ${port} is taken by another program: choose another one (PORT=3001, or PORT=0 for any free one)`,
      { cause },
    )
  if (cause.code === 'EACCES')
    return new OverpoolError(
      'ACCESS_DENIED',
      `port ${port} is for root: take one from 1024 on, behind a proxy that has TLS anyway (docs/server.md), or give a systemd unit AmbientCapabilities=CAP_NET_BIND_SERVICE`,
      { cause },
    )
  return new OverpoolError('BAD_ARGUMENT', `cannot listen on ${host}, port ${port}: ${cause.code ?? 'failed'}`, { cause })
}

/** Requests under way are answered; idle connections end. */
function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
    setTimeout(() => server.closeAllConnections(), 2_000).unref()
  })
}
