import { closed, OverpoolError } from '../errors.ts'

/** Where a Bitcoin node takes calls. */
export interface NodeAddress {
  /** http://host:port; a user and a password in it are taken out of it */
  url: string
  user?: string
  password?: string
}

/** The longest answer that is kept whole, bytes. What may be longer is read by `open`. */
const MAX_ANSWER = 256 * 1024 * 1024
/** A call that is silent for longer has failed, ms. */
const TIMEOUT_MS = 30_000
/** The node says that it is starting, and has not read its chain yet. */
const WARMING_UP = -28

/** The node's own answer that it cannot do what it was asked: its code and its sentence. */
export class NodeError extends Error {
  override readonly name = 'NodeError'
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

/** Calls of a Bitcoin node (JSON-RPC over HTTP, basic authentication). No error, name or log has its password. */
export class NodeRpc {
  /** For people: 'node 127.0.0.1:8332'. */
  readonly name: string
  readonly #url: string
  readonly #authorization: string | undefined
  readonly #timeoutMs: number
  readonly #closing = new AbortController()

  constructor({ url, user, password, timeoutMs = TIMEOUT_MS }: NodeAddress & { timeoutMs?: number }) {
    const { origin, host, username, password: inUrl } = addressIn(url)
    this.name = `node ${host}`
    this.#url = origin
    const credentials = `${user ?? username}:${password ?? inUrl}`
    this.#authorization = credentials === ':' ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`
    this.#timeoutMs = timeoutMs
  }

  /**
   * Calls a method of the node.
   * @throws NodeError the node refuses; OverpoolError UNAVAILABLE (retryable) it does not answer, or is starting; ACCESS_DENIED it does not know the user and password
   */
  async call<T>(method: string, ...params: unknown[]): Promise<T> {
    const quiet = silence(this.#timeoutMs)
    try {
      const response = await this.#request('/', post(method, params), quiet.signal, quiet.heard)
      const { result, error } = await this.#json(response, quiet.signal, quiet.heard)
      if (error) throw this.#refused(error)
      if (!response.ok) throw this.#away(`it answers HTTP ${response.status}`)
      return result as T
    } finally {
      quiet.over()
    }
  }

  /** Calls a method whose answer may be of any length, and gives the answer's bytes as they come: JSON, with the result in it. The node must take the call. */
  open(method: string, ...params: unknown[]): AsyncGenerator<Uint8Array> {
    return this.#stream('/', post(method, params))
  }

  /** The bytes of a path of the node's REST door (`rest=1` in its bitcoin.conf), as they come. */
  rest(path: string): AsyncGenerator<Uint8Array> {
    return this.#stream(path, { method: 'GET' })
  }

  /** Ends what is under way; later calls fail. */
  close(): void {
    this.#closing.abort()
  }

  async *#stream(path: string, init: RequestInit): AsyncGenerator<Uint8Array> {
    const quiet = silence(this.#timeoutMs)
    try {
      const response = await this.#request(path, init, quiet.signal, quiet.heard)
      if (!response.ok) {
        const { error } = await this.#json(response, quiet.signal, quiet.heard)
        throw error ? this.#refused(error) : new NodeError(response.status, `it answers HTTP ${response.status} to ${path.slice(0, 40)}`)
      }
      try {
        for await (const chunk of response.body ?? []) {
          quiet.pause() // the reader may take its time
          yield chunk
          quiet.heard()
        }
      } catch (cause) {
        throw this.#away('its answer has broken off', cause)
      }
    } finally {
      quiet.over()
    }
  }

  async #request(path: string, init: RequestInit, signal: AbortSignal, heard: () => void): Promise<Response> {
    const headers = { 'content-type': 'application/json', ...(this.#authorization && { authorization: this.#authorization }) }
    let response: Response
    try {
      response = await fetch(`${this.#url}${path}`, {
        ...init,
        headers,
        signal: AbortSignal.any([signal, this.#closing.signal]),
        redirect: 'error',
      })
    } catch (cause) {
      throw this.#away(signal.aborted ? `it has been silent for ${this.#timeoutMs / 1_000} s` : 'it does not answer', cause)
    }
    heard()
    if (response.status !== 401 && response.status !== 403) return response
    await response.body?.cancel()
    const why =
      response.status === 401
        ? 'does not know the user and password: those of its bitcoin.conf (rpcuser, rpcpassword) belong into user and password beside its address'
        : 'takes no calls from this computer (rpcallowip in its bitcoin.conf)'
    throw new OverpoolError('ACCESS_DENIED', `the ${this.name} ${why}`)
  }

  async #json(response: Response, signal: AbortSignal, heard: () => void): Promise<{ result?: unknown; error?: unknown }> {
    const parts: Uint8Array[] = []
    let length = 0
    try {
      for await (const part of response.body ?? []) {
        heard()
        parts.push(part)
        if ((length += part.length) > MAX_ANSWER) throw new Error(`the answer is longer than ${MAX_ANSWER} bytes`)
      }
      const answer: unknown = JSON.parse(Buffer.concat(parts).toString())
      if (typeof answer === 'object' && answer !== null) return answer
    } catch (cause) {
      if (response.ok) throw this.#away(signal.aborted ? 'its answer has broken off' : 'its answer cannot be read', cause)
    }
    if (response.ok) throw this.#away('its answer is no object')
    return {}
  }

  #refused(error: unknown): Error {
    const { code, message } = error as { code?: unknown; message?: unknown }
    const said = typeof message === 'string' ? message : 'it gives no reason'
    if (code === WARMING_UP) return this.#away(`it is starting: ${said}`)
    return new NodeError(typeof code === 'number' ? code : 0, said)
  }

  #away(why: string, cause?: unknown): OverpoolError {
    if (this.#closing.signal.aborted) return closed()
    return new OverpoolError('UNAVAILABLE', `the ${this.name} is not available: ${why}`, { cause, retryable: true })
  }
}

function post(method: string, params: unknown[]): RequestInit {
  return { method: 'POST', body: JSON.stringify({ jsonrpc: '1.0', id: 1, method, params }) }
}

function addressIn(text: string): { origin: string; host: string; username: string; password: string } {
  try {
    const { protocol, origin, host, username, password } = new URL(text)
    if (/^https?:$/.test(protocol)) return { origin, host, username: decodeURIComponent(username), password: decodeURIComponent(password) }
  } catch {}
  throw new OverpoolError('BAD_CONFIG', 'the address of a Bitcoin node is a URL: http://127.0.0.1:8332') // the text may hold a password
}

/** A signal that aborts when nothing was heard for so long. */
function silence(ms: number): { signal: AbortSignal; heard: () => void; pause: () => void; over: () => void } {
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const pause = () => clearTimeout(timer)
  const heard = () => {
    pause()
    timer = setTimeout(() => controller.abort(), ms)
  }
  heard()
  return { signal: controller.signal, heard, pause, over: pause }
}
