import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'

/** A message as a target got it. */
export interface Got {
  /** the URL's path */
  path: string
  /** of Standard Webhooks */
  id: string
  timestamp: number
  /** undefined: the signature is not that of the secret */
  event?: { type: string; timestamp: string; data: { seq: number; path: string; key: string; hash: string; [key: string]: unknown } }
  /** when it came, ms */
  at: number
  headers: IncomingMessage['headers']
}

type Answer = (got: Got, response: ServerResponse) => unknown

/** A program that entries are forwarded to. It checks signatures as its author would: with the library of Standard Webhooks. */
export class Target implements AsyncDisposable {
  readonly got: Got[] = []
  /** how it answers; without it with 204 */
  answer: Answer | undefined
  readonly #webhook: Webhook
  #server: Server | undefined
  #port = 0

  constructor(secret: string) {
    this.#webhook = new Webhook(secret)
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/hook`
  }

  /** The sequence numbers that it has taken or refused, in their order. */
  get seqs(): number[] {
    return this.got.map(({ event }) => event!.data.seq)
  }

  /** Begins to listen, from the second time on where it was. */
  async open(): Promise<this> {
    const server = createServer((request, response) => void this.#take(request, response))
    this.#server = server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    return this
  }

  /** It is away: nobody listens at its port. */
  async close(): Promise<void> {
    const server = this.#server
    if (!server?.listening) return
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { headers, url: path = '' } = request
    const body = await text(request)
    const got: Got = {
      path,
      id: String(headers['webhook-id']),
      timestamp: Number(headers['webhook-timestamp']),
      at: performance.now(),
      headers,
    }
    try {
      got.event = this.#webhook.verify(body, headers as Record<string, string>) as Got['event']
    } catch {
      // another's secret
    }
    this.got.push(got)
    if (this.answer) await this.answer(got, response)
    else response.writeHead(204).end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
