import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/** Serves a `fetch`-style function. @param breaks whether the connection is cut instead of an answer, once the request was answered */
export async function serve(
  answer: (request: Request) => Response | Promise<Response>,
  breaks: (request: IncomingMessage, status: number) => boolean = () => false,
): Promise<string> {
  const listener: RequestListener = async (incoming, outgoing) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const { method, url, headers } = incoming
    const body = chunks.length ? Buffer.concat(chunks) : undefined
    const answered = await answer(new Request(`http://shop.example${url}`, { method, headers: headers as Record<string, string>, body }))
    if (breaks(incoming, answered.status)) return void incoming.socket.destroy()
    outgoing.writeHead(answered.status, Object.fromEntries(answered.headers))
    outgoing.end(Buffer.from(await answered.arrayBuffer()))
  }
  const server = createServer({ maxHeaderSize: 64 * 1024 }, listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Terms of BRC-166 alone, as of a server that knows nothing else. */
export const without121 = async (...[url, init]: Parameters<typeof fetch>) => {
  const answer = await fetch(url, init)
  const headers = new Headers(answer.headers)
  headers.delete('x-bsv-sats')
  const copy = new Response(answer.body, { status: answer.status, headers })
  return Object.defineProperty(copy, 'url', { value: answer.url })
}
