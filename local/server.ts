import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { OverpoolError } from '../shared/errors.ts'

/** A client that sends its headers, or its whole request, more slowly than this is cut off, ms: a slow-loris holds no connection for long. */
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 60_000
const KEEP_ALIVE_MS = 65_000
const MAX_CONNECTIONS = 2_000
const MAX_HEADERS = 100

export interface LocalServer {
  port: number
  url: string
  close(): Promise<void>
}

/** A Hono app, as much of it as is needed here. */
export interface App {
  fetch: (request: Request, env: { incoming?: IncomingMessage }) => Response | Promise<Response>
}

/** Serves the HTTP door on this machine. Port 0 takes a free one; PORT_IN_USE if another program has it. */
export async function listen(app: App, port: number, host: string): Promise<LocalServer> {
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 2_000,
      maxHeaderSize: 16 * 1024,
    },
    getRequestListener((request, env) => app.fetch(request, env as { incoming?: IncomingMessage }), { overrideGlobalObjects: false }),
  )
  server.maxConnections = MAX_CONNECTIONS
  server.maxHeadersCount = MAX_HEADERS
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
