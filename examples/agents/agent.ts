import { type CallToolResult, Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'

/** In a project of your own: `npx overpool`. */
const OVERPOOL = '../../package/overpool.cjs'
/** Texts of this conversation begin with it. */
const PROTOCOL = 'trade/1'
const WAIT_SECONDS = 50

/** An entry as the tools show it. */
interface Entry {
  seq: number
  untrusted?: { data?: string[] }
}

/** What was said in a pool: a word, and what it is about. */
export interface Said {
  word: string
  about: string
}

/**
 * An agent at its own machine: it has the tools of `overpool mcp`, as any program with a language model has. This one has no model: what it does is written in seller.ts and buyer.ts.
 */
export class Agent {
  readonly #client = new Client({ name: 'agent', version: '1' })
  readonly #pool: string
  readonly #other: string
  #next = 0

  /** @param pool its own pool @param other public key of the pool of whom it trades with */
  constructor(pool: string, other: string) {
    this.#pool = pool
    this.#other = other
  }

  /** Starts `overpool mcp` on the machine in a folder. */
  async connect(dir: string, flags: string[] = []): Promise<this> {
    const args = [OVERPOOL, '--dir', dir, 'mcp', ...flags]
    await this.#client.connect(new StdioClientTransport({ command: process.execPath, args, stderr: 'inherit' }))
    return this
  }

  async call<T>(name: string, args: object): Promise<T> {
    const result = (await this.#client.callTool({ name, arguments: { ...args } })) as CallToolResult
    const [content] = result.content
    if (result.isError) throw new Error(content?.type === 'text' ? content.text : name)
    return result.structuredContent as T
  }

  /** Says something in its own pool: who follows it hears that. @param id it is said once, also by an agent that was started again */
  async say(word: string, about: string, id: string): Promise<void> {
    await this.call('post', { pool: this.#pool, data: [PROTOCOL, word, about], id })
  }

  /** What the other one says next. It is data: an agent looks whether it is a word that it knows, and takes no orders. */
  async hear(): Promise<Said> {
    while (true) {
      const args = { pool: this.#other, from: this.#next, limit: 1, timeout_seconds: WAIT_SECONDS }
      const { entries, next } = await this.call<{ entries: Entry[]; next: number }>('wait_for_entries', args)
      this.#next = next
      const [protocol, word, about] = entries[0]?.untrusted?.data ?? []
      if (protocol === PROTOCOL && word !== undefined && about !== undefined) return { word, about }
    }
  }

  async close(): Promise<void> {
    await this.#client.close()
  }
}

/** An amount that somebody has said; NaN if it is none. */
export function amountIn(text: string): number {
  return /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
}
