import { until } from '../machine/machine.ts'

/** A frame of server-sent events, read as the standard has it: lines of fields, ended by an empty line. */
export interface Frame {
  id?: string
  data?: string
  retry?: string
}

/** A connection to the events of a pool, read byte by byte as any client may. */
export class Stream implements AsyncDisposable {
  readonly response: Response
  /** all that came until now */
  text = ''
  /** the whole frames until now */
  readonly frames: Frame[] = []
  /** the events among them, each with its id */
  readonly events: { id: number; event: Followed }[] = []
  isOver = false
  readonly #gone: AbortController

  static async open(url: string, headers: Record<string, string> = {}): Promise<Stream> {
    const gone = new AbortController()
    const stream = new Stream(await fetch(url, { headers, signal: gone.signal }), gone)
    void stream.#read()
    return stream
  }

  private constructor(response: Response, gone: AbortController) {
    this.response = response
    this.#gone = gone
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder()
    try {
      let rest = ''
      for await (const chunk of this.response.body!) {
        const text = decoder.decode(chunk, { stream: true })
        this.text += text
        const parts = (rest + text).split(/\r\n\r\n|\n\n|\r\r/)
        rest = parts.pop()!
        for (const part of parts) this.#take(part)
      }
    } catch {
      // it was broken off
    }
    this.isOver = true
  }

  #take(text: string): void {
    const frame: Frame = Object.fromEntries(text.split(/\r\n|\n|\r/).map((line) => line.split(/: ?(.*)/s, 2)))
    this.frames.push(frame)
    const { id, data } = frame
    if (data !== undefined) this.events.push({ id: Number(id), event: JSON.parse(data) as Followed })
  }

  /** Waits for so many events. */
  async got(count: number, ms?: number): Promise<Followed[]> {
    await until(
      () => this.events.length,
      (length) => length >= count,
      ms,
    )
    return this.events.map(({ event }) => event)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gone.abort()
  }
}

/** An event as it comes. */
export interface Followed {
  path: string
  seq: number
  kind: string
  hash: string
  payment: { transaction: string; memo?: string; merchantData?: string; refundTo?: string }
  parsed: object
  [key: string]: unknown
}
