import type { IncomingMessage, ServerResponse } from 'node:http'
import { OverpoolError } from '../../shared/errors.ts'

/** Messages up to this size are always read, bytes: clients that hold up large messages do not lock other wallets out. */
const SMALL = 32 * 1024
/** Bytes of larger messages in hand at one time, each until its answer has been read. When more arrives, a message gives way. */
const MAX_LARGE_BYTES = 32 * 1024 * 1024
/** Bytes that arrived this long ago count for a third, ms. */
const RECENT_MS = 5_000
/** The sender of a large message has this time to read the answer, ms. */
const ANSWER_MS = 60_000
/** The rest of a refused message is read and dropped before the answer, up to this many bytes and ms. */
const LET_GO_BYTES = 20_000_000
const LET_GO_MS = 5_000

/** A large message in hand, from its first bytes until its answer has been read. */
class LargeMessage {
  readonly address: string
  readonly outgoing: ServerResponse
  /** refuses it while it is being sent */
  readonly refuse: () => void
  bytes = 0
  isWhole = false
  #recent = 0
  #at = 0

  constructor(address: string, outgoing: ServerResponse, refuse: () => void) {
    this.address = address
    this.outgoing = outgoing
    this.refuse = refuse
  }

  grow(bytes: number): void {
    this.#recent = this.recent() + bytes - this.bytes
    this.#at = performance.now()
    this.bytes = bytes
  }

  /** How many bytes have arrived of late; earlier ones count for less. */
  recent(): number {
    return this.#recent * Math.exp((this.#at - performance.now()) / RECENT_MS)
  }
}

/** Reads bodies of Node's requests. It bounds each body, and all large ones together. */
export class BodyReader {
  readonly #max: number
  readonly #large = new Set<LargeMessage>()
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
      let large: LargeMessage | undefined
      const done = () => incoming.off('data', take).off('end', whole).off('error', broken).off('close', broken)
      const fail = (error: OverpoolError) => {
        done()
        chunks.length = 0
        if (large) this.#forget(large)
        reject(error)
      }
      const refuse = () =>
        fail(new OverpoolError('OVERLOADED', 'too much is being sent at this moment; please try again', { retryable: true }))
      const take = (chunk: Buffer) => {
        size += chunk.length
        if (size > this.#max) return fail(tooLarge(this.#max))
        chunks.push(chunk)
        if (size <= SMALL) return
        large ??= this.#begin(new LargeMessage(incoming.socket.remoteAddress ?? '', outgoing, refuse))
        this.#largeBytes += size - large.bytes
        large.grow(size)
        while (this.#largeBytes > MAX_LARGE_BYTES) this.#makeRoom()
      }
      const whole = () => {
        done()
        if (large) {
          large.isWhole = true
          endAfter(outgoing, ANSWER_MS)
        }
        resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
      }
      const broken = () => fail(new OverpoolError('MALFORMED_PAYMENT', 'the message broke off'))
      incoming.on('data', take).on('end', whole).on('error', broken).on('close', broken)
      if (incoming.destroyed) broken() // the connection closed while the pool was looked up
    })
  }

  #begin(message: LargeMessage): LargeMessage {
    this.#large.add(message)
    message.outgoing.once('close', () => this.#forget(message))
    return message
  }

  #forget(message: LargeMessage): void {
    if (this.#large.delete(message)) this.#largeBytes -= message.bytes
  }

  /**
   * The message gives way that holds much, from an address that holds much, for the bytes that it has sent of late: who lies still loses the memory to those who send. One that
   * is being sent is refused, and an answer that nobody reads is cut off; a payment that is being worked on stays.
   */
  #makeRoom(): void {
    const held = new Map<string, number>()
    for (const { address, bytes } of this.#large) held.set(address, (held.get(address) ?? 0) + bytes)
    const costOf = (message: LargeMessage) => (message.bytes * held.get(message.address)!) / message.recent()
    let most: { message: LargeMessage; cost: number } | undefined
    for (const message of this.#large) {
      if (message.isWhole && !message.outgoing.writableEnded) continue
      const cost = costOf(message)
      if (!most || cost > most.cost) most = { message, cost }
    }
    const { message } = most! // at least the one that has just grown
    this.#forget(message)
    if (message.isWhole) message.outgoing.destroy()
    else message.refuse()
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
