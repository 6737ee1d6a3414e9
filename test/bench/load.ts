import { connect, type Socket } from 'node:net'

/** What a load brought about. */
export interface Load {
  /** answers that were no ACK */
  refused: number
  /** of each ACK, ms: as many as were accepted */
  latencies: number[]
  seconds: number
}

const END_OF_HEAD = Buffer.from('\r\n\r\n')

/**
 * Posts payments over keep-alive connections, each with one post under way at a time, for so many seconds; then waits for the answers that are out.
 * Over bare sockets, and reads no more of an answer than it must: the load must not be what is measured.
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

/** Whether each answer is an ACK: a 200, and no `error` but 0 (the original says 200 to everything). */
async function* answersOf(socket: Socket): AsyncGenerator<boolean, never> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    rest = rest.length ? Buffer.concat([rest, chunk]) : chunk
    const head = rest.indexOf(END_OF_HEAD)
    if (head < 0) continue
    const length = /\r\ncontent-length: *(\d+)/i.exec(rest.toString('latin1', 0, head))?.[1]
    if (length === undefined) throw new Error('an answer without a length')
    const end = head + END_OF_HEAD.length + Number(length)
    if (rest.length < end) continue
    const error = rest.indexOf('"error":', head)
    yield rest.toString('latin1', 9, 12) === '200' && (error < 0 || rest[error + 8] === 0x30)
    rest = rest.subarray(end)
  }
  throw new Error('the connection was closed')
}
