import { HEADER_BYTES, type Header, readHeader } from '../../shared/chain/header.ts'
import { type NodeAddress, NodeError, NodeRpc } from '../../shared/chain/rpc.ts'
import { type Clock, systemClock } from '../../shared/clock.ts'
import type { Network } from '../../shared/config/bitcoin.ts'
import { OverpoolError, reasonOf } from '../../shared/errors.ts'
import { transactionFromHex } from '../../shared/transaction/index.ts'
import { type ChainSource, type HeaderAt, type News, type Place, pollsOn } from './source.ts'

export interface NodeSourceOptions extends NodeAddress {
  /** The network that the node must be on. */
  network: Network
  /** Where it publishes (zmqpubrawtx and zmqpubhashblock in its bitcoin.conf): tcp://127.0.0.1:28332. Without, news are as old as `pollMs` */
  zmq?: string
  /** false: news of unconfirmed transactions are not wanted. ZMQ brings each of them whole */
  mempool?: boolean
  /** How often it is asked whether anything is new. Default: every 10 s, on regtest every second */
  pollMs?: number
  /** Takes what an operator should know, a line each. */
  warn?: ((line: string) => void) | undefined
  clock?: Clock
}

/** The most headers that the node gives at once by its REST door. */
const MOST_HEADERS = 2_000
/** The most headers that are asked for one by one. */
const MOST_SINGLY = 100
/** "No such block" or "no such transaction" of its RPC. */
const NOT_FOUND = -5
/** "Block height out of range". */
const OUT_OF_RANGE = -8
/** A longer ZMQ message is not taken, bytes: the connection ends and begins anew. What was missed is found by asking. */
const MAX_MESSAGE = 64 * 1024 * 1024
/** Headers are read again if the chain is reorganised meanwhile: at most this often. */
const MOST_READS = 5

/**
 * A Bitcoin node. Its RPC says what is true; ZMQ, or asking again and again, says when to look.
 * Blocks come by its REST door (rest=1 in its bitcoin.conf), or else as hex by RPC, twice the bytes. It needs txindex=1 to give a transaction that is in a block.
 */
export class NodeSource implements ChainSource {
  readonly name: string
  readonly #rpc: NodeRpc
  readonly #options: NodeSourceOptions
  readonly #pollMs: number
  readonly #clock: Clock
  readonly #closing = new AbortController()

  constructor(options: NodeSourceOptions) {
    this.#rpc = new NodeRpc(options)
    this.name = this.#rpc.name
    this.#options = options
    this.#pollMs = options.pollMs ?? pollsOn(options.network)
    this.#clock = options.clock ?? systemClock
  }

  async tip(): Promise<Place> {
    const { chain, blocks, bestblockhash } = await this.#call<{ chain: string; blocks: number; bestblockhash: string }>('getblockchaininfo')
    const { network } = this.#options
    if (chain === network) return { height: blocks, hash: bestblockhash }
    throw new OverpoolError(
      'BAD_CONFIG',
      `the ${this.name} is on the network "${chain}", and bitcoin.network is "${network}": change one of the two`,
    )
  }

  async headers(from: number, limit: number): Promise<HeaderAt[]> {
    for (let read = 1; ; read++) {
      const headers = (await this.#headersByRest(from, limit)) ?? (await this.#headersSingly(from, limit))
      const isChain = headers.every(({ previous }, i) => i === 0 || previous === headers[i - 1]!.hash)
      if (isChain) return headers.map(({ bytes }, i) => ({ height: from + i, header: bytes }))
      if (read === MOST_READS) throw this.#unavailable('its chain changes while it is read')
    }
  }

  async headerOf(hash: string): Promise<HeaderAt | undefined> {
    const known = await this.#ifFound(this.#call<{ height: number; confirmations: number }>('getblockheader', hash, true))
    if (known === undefined || known.confirmations < 0) return undefined // −1: it is not on the best chain
    return { height: known.height, header: (await this.#header(hash)).bytes }
  }

  async *block({ hash }: Place): AsyncGenerator<Uint8Array> {
    const byRest = this.#rpc.rest(`/rest/block/${hash}.bin`)
    let first: IteratorResult<Uint8Array>
    try {
      first = await byRest.next()
    } catch (error) {
      if (!(error instanceof NodeError)) throw error
      yield* this.#blockByRpc(hash)
      return
    }
    if (!first.done) yield first.value
    yield* byRest
  }

  async mempool(): Promise<string[]> {
    return this.#call<string[]>('getrawmempool')
  }

  async transaction(txid: string): Promise<Uint8Array | undefined> {
    const hex = await this.#ifFound(this.#call<string>('getrawtransaction', txid))
    if (hex === undefined) return undefined
    const scanned = transactionFromHex(hex)
    if (scanned.txid === txid) return scanned.bytes
    throw new OverpoolError('BAD_TRANSACTION', `the ${this.name} was asked for the transaction ${txid} and gave ${scanned.txid}`)
  }

  watch(hint: (news: News) => void, signal: AbortSignal): void {
    const over = AbortSignal.any([signal, this.#closing.signal])
    void this.#poll(hint, over)
    if (this.#options.zmq !== undefined) void this.#subscribe(this.#options.zmq, hint, over)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#rpc.close()
  }

  async #headersByRest(from: number, limit: number): Promise<Header[] | undefined> {
    const start = await this.#hashAt(from)
    if (start === undefined) return []
    try {
      const parts: Uint8Array[] = []
      for await (const part of this.#rpc.rest(`/rest/headers/${Math.min(limit, MOST_HEADERS)}/${start}.bin`)) parts.push(part)
      const bytes = Buffer.concat(parts)
      return Array.from({ length: Math.floor(bytes.length / HEADER_BYTES) }, (_, i) =>
        readHeader(bytes.subarray(i * HEADER_BYTES, (i + 1) * HEADER_BYTES)),
      )
    } catch (error) {
      if (error instanceof NodeError) return undefined // it has no REST door
      throw error
    }
  }

  async #headersSingly(from: number, limit: number): Promise<Header[]> {
    const headers: Header[] = []
    while (headers.length < Math.min(limit, MOST_SINGLY)) {
      const hash = await this.#hashAt(from + headers.length)
      if (hash === undefined) break
      headers.push(await this.#header(hash))
    }
    return headers
  }

  async #hashAt(height: number): Promise<string | undefined> {
    return this.#ifFound(this.#call<string>('getblockhash', height))
  }

  async #header(hash: string): Promise<Header> {
    const header = readHeader(Buffer.from(await this.#call<string>('getblockheader', hash, false), 'hex'))
    if (header.hash === hash) return header
    throw this.#unavailable(`it was asked for the header of block ${hash} and gave another one`)
  }

  /** Hex inside of JSON, decoded as it comes. */
  async *#blockByRpc(hash: string): AsyncGenerator<Uint8Array> {
    let before: Buffer | undefined = Buffer.alloc(0) // what has come before the hex
    let digit = '' // half of a byte
    try {
      for await (const chunk of this.#rpc.open('getblock', hash, 0)) {
        let hex = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
        if (before !== undefined) {
          before = Buffer.concat([before, hex])
          const start = /"result":\s*"/.exec(before.toString('latin1'))
          if (start === null && before.length < 1_000) continue
          if (start === null) throw this.#unavailable(`its answer holds no block ${hash}`)
          hex = before.subarray(start.index + start[0].length)
          before = undefined
        }
        const end = hex.indexOf('"')
        const digits: string = digit + hex.toString('latin1', 0, end < 0 ? hex.length : end)
        const bytes = Buffer.from(digits, 'hex') // it stops at the first bad digit, and leaves a last odd one
        if (bytes.length !== digits.length >> 1 || (end >= 0 && digits.length % 2 === 1))
          throw this.#unavailable(`block ${hash} is not in hex`)
        digit = digits.length % 2 === 1 ? digits.at(-1)! : ''
        if (bytes.length > 0) yield bytes
        if (end >= 0) return
      }
    } catch (error) {
      throw this.#named(error)
    }
    throw this.#unavailable(`its answer holds no whole block ${hash}`)
  }

  /** Asks whether anything is new, again and again. */
  async #poll(hint: (news: News) => void, over: AbortSignal): Promise<void> {
    for (let last: { tip: string; mempool: string } | undefined; !over.aborted; await this.#clock.sleep(this.#pollMs, over)) {
      const now = await this.#state().catch(() => ({ tip: 'away', mempool: 'away' })) // who follows the hint gets the error
      if (over.aborted) return
      if (now.tip !== last?.tip) hint({ block: true })
      if (now.mempool !== last?.mempool) hint({})
      last = now
    }
  }

  async #state(): Promise<{ tip: string; mempool: string }> {
    const tip = await this.#call<string>('getbestblockhash')
    if (this.#options.mempool === false) return { tip, mempool: '' }
    const { size, bytes } = await this.#call<{ size: number; bytes: number }>('getmempoolinfo')
    return { tip, mempool: `${size} ${bytes}` }
  }

  async #subscribe(address: string, hint: (news: News) => void, over: AbortSignal): Promise<void> {
    const warn = (why: string): undefined => {
      this.#options.warn?.(`${this.name}: no news by ZMQ: ${why}; it is asked every ${this.#pollMs / 1_000} s instead`)
    }
    const zeromq = await import('zeromq').catch((error) => warn(`the package zeromq cannot be loaded, ${reasonOf(error)}`))
    if (!zeromq || over.aborted) return
    const subscriber = new zeromq.Subscriber({
      linger: 0,
      maxMessageSize: MAX_MESSAGE,
      reconnectInterval: 100,
      reconnectMaxInterval: 5_000,
    })
    const close = () => subscriber.close()
    over.addEventListener('abort', close)
    const lookAtAll = () => {
      hint({ block: true })
      hint({})
    }
    let isConnected = true
    subscriber.events.on('connect:retry', () => {
      if (isConnected) warn(`${address} does not answer. Its bitcoin.conf needs zmqpubrawtx and zmqpubhashblock with this address`)
      isConnected = false
    })
    subscriber.events.on('handshake', () => {
      isConnected = true
      lookAtAll() // what was published while it was away does not come again
    })
    try {
      subscriber.subscribe(...(this.#options.mempool === false ? ['hashblock'] : ['rawtx', 'hashblock']))
      subscriber.connect(address)
      const counts = new Map<string, number>()
      for await (const [topic, payload, counter] of subscriber) {
        const name = String(topic)
        const count = counter?.length === 4 ? counter.readUInt32LE() : undefined
        const expected = counts.get(name)
        if (count !== undefined) counts.set(name, (count + 1) >>> 0)
        if (expected !== undefined && expected !== count) lookAtAll() // some messages were lost
        hint(name === 'rawtx' && payload ? { tx: payload } : { block: true })
      }
    } catch (error) {
      if (!over.aborted) warn(reasonOf(error))
    } finally {
      over.removeEventListener('abort', close)
      close()
    }
  }

  /** The result, or undefined if there is no such thing. */
  async #ifFound<T>(result: Promise<T>): Promise<T | undefined> {
    return result.catch((error) => {
      const code = error instanceof OverpoolError && error.cause instanceof NodeError ? error.cause.code : 0
      if (code === NOT_FOUND || code === OUT_OF_RANGE) return undefined
      throw error
    })
  }

  async #call<T>(method: string, ...params: unknown[]): Promise<T> {
    return this.#rpc.call<T>(method, ...params).catch((error) => {
      throw this.#named(error)
    })
  }

  #named(error: unknown): unknown {
    return error instanceof NodeError ? this.#unavailable(error.message, error) : error
  }

  #unavailable(why: string, cause?: unknown): OverpoolError {
    return new OverpoolError('UNAVAILABLE', `the ${this.name} does not give what it is asked for: ${why}`, { cause, retryable: true })
  }
}
