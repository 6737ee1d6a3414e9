import { statSync } from 'node:fs'
import { request as send } from 'node:http'
import { join } from 'node:path'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Program, Project } from '../cli/project.ts'
import { Agent } from './agent.ts'

const HANDLER = 'export async function onTx(e) { console.log(e.hash) }'
const LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }

async function served(project: Project, ...args: string[]): Promise<{ program: Program; url: string; token: string }> {
  await project.start()
  const program = project.overpool(['mcp', '--http', ...args])
  const [, url] = await program.says(/MCP is served at (\S+)/)
  const [, token] = await program.says(/Authorization: Bearer (\S+)/)
  return { program, url: url!, token: token! }
}

/** Connects with a token. */
async function connected(url: string, token: string | undefined, mode: 'legacy' | 'auto'): Promise<Agent> {
  const agent = new Agent({ versionNegotiation: { mode } })
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  await agent.client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }))
  onTestFinished(() => agent.client.close())
  return agent
}

/** A request with any headers, as a browser may be made to send it. */
function raw(
  url: string,
  headers: Record<string, string>,
  { method = 'POST', path = '/mcp' } = {},
): Promise<{ status: number; body: string; headers: object }> {
  const { port } = new URL(url)
  const sent = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers }
  return new Promise((resolve, reject) => {
    const outgoing = send(
      { host: '127.0.0.1', port, path, method, headers: sent, setHost: headers.host === undefined },
      async (incoming) => {
        const chunks: Buffer[] = []
        for await (const chunk of incoming) chunks.push(chunk)
        resolve({ status: incoming.statusCode!, body: Buffer.concat(chunks).toString(), headers: incoming.headers })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(method === 'POST' ? JSON.stringify(LIST) : undefined)
  })
}

describe('overpool mcp --http', () => {
  it.each(['legacy', 'auto'] as const)('serves an agent that has the token (%s)', async (mode) => {
    await using project = Project.of({ till: {} }, HANDLER)
    const { url, token, program } = await served(project)
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/mcp$/)
    const agent = await connected(url, token, mode)
    expect((await agent.client.listTools()).tools.length).toBe(14)
    const { value } = await agent.call('post', { pool: 'till', data: ['over HTTP'] })
    const [one, two] = await Promise.all([agent.call('wait_for_entries', { pool: 'till', from: 0 }), agent.call('list_pools')])
    expect(one.value.entries).toMatchObject([{ txid: value.txid, untrusted: { data: ['over HTTP'] } }])
    expect(two.value).toMatchObject({ running: true })
    await agent.client.close()
    expect(await program.stop()).toBe(0)
  })

  it('refuses everybody else: without the token, by another name of this host, from a page of another origin', async () => {
    await using project = Project.of({ till: {} }, HANDLER)
    const { url, token } = await served(project)
    await expect(connected(url, undefined, 'legacy')).rejects.toThrow()
    await expect(connected(url, `${token}x`, 'auto')).rejects.toThrow()
    const right = { authorization: `Bearer ${token}` }
    const { host } = new URL(url)
    expect((await raw(url, { ...right })).status).toBe(200)
    expect((await raw(url, { ...right, origin: `http://${host}` })).status).toBe(200)
    const cases: [string, Record<string, string>, number][] = [
      ['no token', {}, 401],
      ['another token', { authorization: 'Bearer 123' }, 401],
      ['the token as a password', { authorization: `Basic ${token}` }, 401],
      ['DNS rebinding', { ...right, host: 'evil.example' }, 403],
      ['DNS rebinding with the port', { ...right, host: `evil.example:${new URL(url).port}` }, 403],
      ['a name that begins like ours', { ...right, host: '127.0.0.1.evil.example' }, 403],
      ['another origin', { ...right, origin: 'https://evil.example' }, 403],
      ['an origin that is none', { ...right, origin: 'null' }, 403],
    ]
    for (const [what, headers, status] of cases) {
      const answer = await raw(url, headers)
      expect([what, answer.status]).toEqual([what, status])
      expect(answer.body).not.toContain('list_pools')
      expect(answer.headers, 'no page may read it').not.toHaveProperty('access-control-allow-origin')
    }
    expect(
      (await raw(url, { origin: 'https://evil.example', 'access-control-request-method': 'POST' }, { method: 'OPTIONS' })).status,
    ).toBe(403)
    expect((await raw(url, right, { path: '/' })).status).toBe(404)
  })

  it('keeps its token in a file that nobody else can read, and takes the port that it is given', async () => {
    await using project = Project.of({ till: {} }, HANDLER)
    const first = await served(project, '--token', 'token', '--read-only')
    expect(statSync(join(project.dir, 'token')).mode & 0o777).toBe(0o600)
    const { port } = new URL(first.url)
    expect(await first.program.stop()).toBe(0)
    const second = project.overpool(['mcp', '--http', port, '--token', 'token'])
    await second.says(new RegExp(`127\\.0\\.0\\.1:${port}/mcp`))
    const [, token] = await second.says(/Bearer (\S+)/)
    expect(token).toBe(first.token)
    const third = project.overpool(['mcp', '--http', port])
    expect(await third.ended()).toBe(1)
    expect(third.err).toMatch(/port \d+ is taken by another program/)
    project.write('short', '123')
    const fourth = await project.result('mcp', '--http', '--token', 'short')
    expect([fourth.code, fourth.err]).toEqual([2, expect.stringContaining('at least 16')])
    const sixth = await project.result('mcp', '--wallet', 'nonsense')
    expect([sixth.code, sixth.err]).toEqual([2, expect.stringContaining('--wallet must be the URL of a wallet')])
    const fifth = await project.result('mcp', '--token', 'token')
    expect([fifth.code, fifth.err]).toEqual([2, expect.stringContaining('--token needs --http')])
  })
})

describe('overpool mcp over standard input', () => {
  it('ends when its agent goes, and prints nothing that is not of the protocol', async () => {
    await using project = Project.of({ till: {} }, HANDLER)
    await project.start()
    const hello = {
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'x', version: '1' } },
    }
    const program = project.overpool(['mcp'], { input: `${JSON.stringify(hello)}\nthis is no JSON\n` })
    expect(await program.ended()).toBe(0)
    for (const line of program.out.trim().split('\n').filter(Boolean)) expect(JSON.parse(line)).toMatchObject({ jsonrpc: '2.0' })
  })
})
