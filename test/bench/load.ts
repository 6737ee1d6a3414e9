import { connect, type Socket } from 'node:net'

/** The result of a load. */
export interface Load {
  /** answers that were not an ACK */
  refused: number
  /** the time of each ACK, ms: one for each accepted post */
  latencies: number[]
  seconds: number
}

const END_OF_HEAD = Buffer.from('\r\n\r\n')

/**
 * Posts payments over keep-alive connections, each with one post in flight at a time, for some seconds; then waits for the last answers.
 * It uses bare sockets and reads only the parts of an answer that it needs, so that its own work does not distort the result.
 * @param next the transaction of the next post, hex
 */
export async function load(url: string, connections: number, seconds: number, next: () => string): Promise<Load> {
  const { hostname, port, pathname } = new URL(url)
  const done: Load = { refused: 0, latencies: [], seconds: 0 }
  const start = performance.now()
  const end = start + seconds * 1_000
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect({ host: hostname, port: Number(port), noDelay: true })
      const answers = answersOf(socket)
      while (performance.now() < end) {
        const body = `{"transaction":"${next()}"}`
        const sent = performance.now()
        socket.write(
          `POST ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
          'latin1',
        )
        const { value: isAck } = await answers.next()
        if (isAck) done.latencies.push(performance.now() - sent)
        else done.refused++
      }
      socket.destroy()
    }),
  )
  done.seconds = (performance.now() - start) / 1_000
  return done
}

/** Yields for each answer whether it is an ACK: a 200 without an `error` other than 0 (the original answers 200 to everything). */
async function* answersOf(socket: Socket): AsyncGenerator<boolean, never> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    rest = rest.length ? Buffer.concat([rest, chunk]) : chunk
    const head = rest.indexOf(END_OF_HEAD)
    if (head < 0) continue
    const length = /\r\ncontent-length: *(\d+)/i.exec(rest.toString('latin1', 0, head))?.[1]
    if (length === undefined) throw new Error('an answer has no content-length')
    const end = head + END_OF_HEAD.length + Number(length)
    if (rest.length < end) continue
    const error = rest.indexOf('"error":', head)
    yield rest.toString('latin1', 9, 12) === '200' && (error < 0 || rest[error + 8] === 0x30)
    rest = rest.subarray(end)
  }
  throw new Error('the connection was closed')
}
