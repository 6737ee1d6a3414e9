import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener, RequestError } from '@hono/node-server'
import { OverpoolError } from '../shared/errors.ts'
import { boundConnections } from './connections.ts'

/** A client that sends its headers, or its whole request, more slowly than this is cut off, ms: a slow-loris holds no connection for long. */
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 60_000
const KEEP_ALIVE_MS = 65_000
/** A connection on which nothing moves, in either direction, ends after this time, ms: of a client that does not take its answer, too. */
const STILL_MS = 70_000
const MAX_HEADERS = 100
/** For a request that says so little of itself that the app has nothing to answer. */
const UNREADABLE = 'this is no request that can be understood; look at its path and its Host header'

export interface LocalServer {
  port: number
  url: string
  close(): Promise<void>
}

/** A Hono app, as much of it as is needed here. */
export interface App {
  fetch: (request: Request, env: { incoming: IncomingMessage; outgoing: ServerResponse }) => Response | Promise<Response>
}

/** Serves the HTTP door on this machine. Port 0 takes a free one; PORT_IN_USE if another program has it. */
export async function listen(app: App, port: number, host: string): Promise<LocalServer> {
  const answer = getRequestListener((request, env) => app.fetch(request, env as Parameters<App['fetch']>[1]), {
    overrideGlobalObjects: false,
    autoCleanupIncoming: false, // it cuts off who still sends after half a second, and its answer with it; Node's own way is bounded by the request's time
    hostname: 'localhost', // HTTP/1.0 has no Host
    errorHandler: (error) =>
      error instanceof RequestError ? Response.json({ memo: UNREADABLE, error: 1 }, { status: 400 }) : new Response(null, { status: 500 }),
  })
  const server = createServer({
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: 2_000,
    maxHeaderSize: 16 * 1024,
  })
  server.timeout = STILL_MS
  server.maxHeadersCount = MAX_HEADERS
  boundConnections(server)
  server.on('request', (incoming, outgoing) => {
    if (!incoming.socket.destroyed) void answer(incoming, outgoing) // of a connection that was just ended, more may have been read
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(cannotListen(cause, port, host)))
    server.listen(port, host, resolve)
  })
  const actual = (server.address() as AddressInfo).port
  return { port: actual, url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}`, close: () => close(server) }
}

function cannotListen(cause: NodeJS.ErrnoException, port: number, host: string): OverpoolError {
  if (cause.code === 'EADDRINUSE')
    return new OverpoolError(
      'PORT_IN_USE',
      `port ${port} is taken by another program: choose another one (PORT=3001, or PORT=0 for any free one)`,
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
