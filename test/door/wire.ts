import { connect, type Socket } from 'node:net'

/** A connection on which a test sends any bytes, HTTP or not. */
export class Wire implements Disposable {
  readonly socket: Socket
  /** what has been received, as text */
  received = ''
  /** the other side has ended the connection */
  closed = false

  constructor(url: string, localAddress?: string) {
    const { hostname, port } = new URL(url)
    this.socket = connect({ port: Number(port), host: hostname, localAddress })
    this.socket
      .on('data', (chunk) => (this.received += chunk.toString('latin1')))
      .on('error', () => {})
      .on('close', () => (this.closed = true))
  }

  say(text: string | Uint8Array): this {
    if (!this.socket.destroyed) this.socket.write(text)
    return this
  }

  /** The statuses of the answers until now. */
  get statuses(): number[] {
    return [...this.received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

/** A POST as text. `headers` are added to Host and Content-Length, and replace those of the same name. */
export function postBytes(pool: string, body: string, headers: Record<string, string> = {}): string {
  const all = { host: 'localhost', 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)), ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `POST /${pool} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}
