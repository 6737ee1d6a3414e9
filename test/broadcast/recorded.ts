import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export interface Recorded {
  method: string
  path: string
  headers: IncomingHttpHeaders
  body: Buffer
}

/** What the server answers: a status and JSON, or whatever the function itself writes. */
type Answer = { status: number; body?: unknown; headers?: Record<string, string> } | ((response: ServerResponse) => void)

/** A server on loopback that keeps what it was asked, and answers as services have answered that cannot be reached from here. It ends with the test. */
export async function recordedServer(
  answer: (request: Recorded, n: number) => Answer,
): Promise<{ url: string; host: string; requests: Recorded[] }> {
  const requests: Recorded[] = []
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const request = { method: incoming.method!, path: incoming.url!, headers: incoming.headers, body: Buffer.concat(chunks) }
    const said = answer(request, requests.push(request))
    if (typeof said === 'function') return said(response)
    response.writeHead(said.status, { 'content-type': 'application/json', ...said.headers })
    response.end(said.body === undefined ? '' : typeof said.body === 'string' ? said.body : JSON.stringify(said.body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, host: `127.0.0.1:${port}`, requests }
}
