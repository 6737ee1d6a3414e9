import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type CallToolResult, Client, type ClientOptions } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { onTestFinished } from 'vitest'
import type { PayingWallet } from '../../index.ts'
import { REPOSITORY } from '../cli/project.ts'

export const MAIN = join(REPOSITORY, 'cli/main.ts')

/** What a tool has answered. */
export interface Said {
  /** the structured result */
  // biome-ignore lint/suspicious/noExplicitAny: the client has checked it against the tool's schema
  value: any
  text: string
  /** the code of a failure */
  code?: string
}

/** An MCP client of the official SDK, as agents have one. It checks each result against the schema of its tool. */
export class Agent {
  readonly client: Client
  #pid: number | null = null

  constructor(options: ClientOptions = {}) {
    this.client = new Client({ name: 'test', version: '1' }, options)
  }

  /** Connects to `overpool mcp` on the machine of a folder, over its standard input and output. */
  static stdio(dir: string, args: string[] = [], options: ClientOptions = {}, prepare?: (client: Client) => unknown): Promise<Agent> {
    return Agent.run(['--dir', dir, 'mcp', ...args], { options, ...(prepare && { prepare }) })
  }

  /** Runs `overpool` with these arguments, and connects to it. */
  static async run(
    args: string[],
    {
      options = {},
      prepare = () => {},
      env,
    }: { options?: ClientOptions; prepare?: (client: Client) => unknown; env?: Record<string, string> } = {},
  ): Promise<Agent> {
    const agent = new Agent(options)
    prepare(agent.client)
    const transport = new StdioClientTransport({ command: process.execPath, args: [MAIN, ...args], stderr: 'inherit', ...(env && { env }) })
    await agent.client.connect(transport)
    agent.#pid = transport.pid
    onTestFinished(() => agent.client.close())
    return agent
  }

  /** Kills the process that it talks to, with kill -9. */
  kill(): void {
    process.kill(this.#pid!, 'SIGKILL')
  }

  async call(name: string, args: Record<string, unknown> = {}): Promise<Said> {
    const result = (await this.client.callTool({ name, arguments: args })) as CallToolResult
    const [content] = result.content
    const failure = result._meta?.['overpool/error'] as { code: string } | undefined
    return {
      value: result.structuredContent ?? {},
      text: content?.type === 'text' ? content.text : '',
      ...(result.isError && { code: failure?.code ?? 'SDK' }),
    }
  }
}

/** Serves a wallet as wallets of BRC-100 serve programs of their computer. @returns its URL */
export async function serveWallet(wallet: PayingWallet, before: () => unknown = () => {}): Promise<string> {
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const call = incoming.url!.slice(1) as keyof PayingWallet
    outgoing.setHeader('content-type', 'application/json')
    try {
      if (call === 'createAction') await before()
      outgoing.end(JSON.stringify(await wallet[call](JSON.parse(Buffer.concat(chunks).toString()))))
    } catch (error) {
      outgoing.writeHead(400).end(JSON.stringify({ message: (error as Error).message }))
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
