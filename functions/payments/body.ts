import type { IncomingMessage, ServerResponse } from 'node:http'
import { OverpoolError } from '../../shared/errors.ts'

/** Messages up to this size are always read, bytes: clients that hold up large messages do not lock other wallets out. */
const SMALL = 32 * 1024
/** Bytes of larger messages in hand at one time, each until its answer has been read. More large messages get 503. */
const MAX_LARGE_BYTES = 32 * 1024 * 1024
/** The sender of a large message has this time to read the answer, ms. */
const ANSWER_MS = 60_000
/** The rest of a refused message is read and dropped before the answer, up to this many bytes and ms. */
const LET_GO_BYTES = 20_000_000
const LET_GO_MS = 5_000

/** Reads bodies of Node's requests. It bounds each body, and all large ones together. */
export class BodyReader {
  readonly #max: number
  #largeBytes = 0

  /** @param max longest message, bytes */
  constructor(max: number) {
    this.#max = max
  }

  /** The body of a request, or PAYMENT_TOO_LARGE, OVERLOADED, MALFORMED_PAYMENT when it breaks off. */
  read(incoming: IncomingMessage, outgoing: ServerResponse): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (Number(incoming.headers['content-length'] ?? 0) > this.#max) return reject(tooLarge(this.#max))
      const chunks: Buffer[] = []
      let size = 0
      let held = 0
      const done = () => incoming.off('data', take).off('end', whole).off('error', broken).off('close', broken)
      const fail = (error: OverpoolError) => {
        done()
        chunks.length = 0
        reject(error)
      }
      const take = (chunk: Buffer) => {
        size += chunk.length
        if (size > this.#max) return fail(tooLarge(this.#max))
        if (size > SMALL) {
          if (held === 0) outgoing.once('close', () => (this.#largeBytes -= held))
          this.#largeBytes += size - held
          held = size
          if (this.#largeBytes > MAX_LARGE_BYTES)
            return fail(new OverpoolError('OVERLOADED', 'too much is being sent at this moment; please try again', { retryable: true }))
        }
        chunks.push(chunk)
      }
      const whole = () => {
        done()
        if (held) endAfter(outgoing, ANSWER_MS)
        resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
      }
      const broken = () => fail(new OverpoolError('MALFORMED_PAYMENT', 'the message broke off'))
      incoming.on('data', take).on('end', whole).on('error', broken).on('close', broken)
      if (incoming.destroyed) broken() // the connection closed while the pool was looked up
    })
  }
}

export function tooLarge(max: number): OverpoolError {
  return new OverpoolError('PAYMENT_TOO_LARGE', `a Payment may have ${max} bytes`)
}

/**
 * Reads and drops the rest of a refused message, for a while. Most clients read the answer only after they have sent everything: cut off earlier, they would never see the
 * reason.
 */
export function letGo(incoming: IncomingMessage): Promise<void> | undefined {
  if (incoming.readableEnded || incoming.destroyed) return undefined
  return new Promise((resolve) => {
    let size = 0
    const count = (chunk: Buffer) => (size += chunk.length) > LET_GO_BYTES && done()
    const timer = setTimeout(() => done(), LET_GO_MS)
    const done = () => {
      clearTimeout(timer)
      incoming.off('data', count).off('end', done).off('close', done)
      resolve()
    }
    incoming
      .on('error', () => {})
      .on('data', count)
      .on('end', done)
      .on('close', done)
      .resume()
  })
}

/** Closes the connection if its answer is not read in time. */
function endAfter(outgoing: ServerResponse, ms: number): void {
  const timer = setTimeout(() => outgoing.destroy(), ms).unref()
  outgoing.once('close', () => clearTimeout(timer))
}
