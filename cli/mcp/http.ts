import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import {
  createMcpHandler,
  hostHeaderValidationResponse,
  localhostAllowedHostnames,
  localhostAllowedOrigins,
  type McpServerFactory,
  originValidationResponse,
} from '@modelcontextprotocol/server'
import { OverpoolError } from '../../shared/errors.ts'
import { isSameText } from '../../shared/same-text.ts'
import { warn } from './answer.ts'

const HOST = '127.0.0.1'
const PATH = '/mcp'
/** A client that is still connected when the server ends has this time, ms. */
const CLOSE_MS = 2_000

export interface McpHttp {
  url: string
  close: () => Promise<void>
}

/**
 * Serves MCP over streamable HTTP, on this computer alone, to those who have the token. A page in a browser reaches it by no trick with names: Host and Origin must be this computer's own.
 * @throws OverpoolError PORT_IN_USE, ACCESS_DENIED
 */
export async function listenMcp(factory: McpServerFactory, port: number, token: string): Promise<McpHttp> {
  const handler = createMcpHandler(factory, { onerror: warn })
  const answerTo = (request: Request): Response | Promise<Response> =>
    hostHeaderValidationResponse(request, localhostAllowedHostnames()) ??
    originValidationResponse(request, localhostAllowedOrigins()) ??
    refusal(request, token) ??
    handler.fetch(request)
  const server = createServer(getRequestListener(answerTo, { overrideGlobalObjects: false }))
  server.listen(port, HOST)
  await once(server, 'listening').catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === 'EADDRINUSE'
      ? new OverpoolError(
          'PORT_IN_USE',
          `port ${port} is taken by another program: choose another port, or use --http 0 for any free one`,
          {
            cause,
          },
        )
      : new OverpoolError('ACCESS_DENIED', `cannot listen on port ${port}: ${cause.code ?? cause.message}`, { cause })
  })
  return {
    url: `http://${HOST}:${(server.address() as AddressInfo).port}${PATH}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      await handler.close()
      setTimeout(() => server.closeAllConnections(), CLOSE_MS).unref()
      await closed
    },
  }
}

function refusal(request: Request, token: string): Response | undefined {
  if (new URL(request.url).pathname !== PATH) return Response.json({ error: `MCP is at ${PATH}` }, { status: 404 })
  const [, given = ''] = /^Bearer (.+)$/i.exec(request.headers.get('authorization') ?? '') ?? []
  if (isSameText(given, token)) return undefined
  const error = 'send the token that `overpool mcp --http` has printed, as `Authorization: Bearer <token>`'
  return Response.json({ error }, { status: 401, headers: { 'www-authenticate': 'Bearer' } })
}
