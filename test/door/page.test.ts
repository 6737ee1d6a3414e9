import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { payment, TestMachine, until } from '../machine/machine.ts'
import { askAt } from './ask.ts'

const BROWSER = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }

let machine: TestMachine
beforeAll(async () => {
  machine = await TestMachine.start({ mypool: {}, other: {} })
})
afterAll(() => machine[Symbol.asyncDispose]())

const get = (path: string, headers: Record<string, string> = BROWSER) => askAt(machine.url, 'GET', path, '', headers)

describe('a browser that opens the URL of a pool', () => {
  it('gets a page with a line to post, which works, and with the newest entries', async () => {
    const empty = await get('/mypool')
    expect([empty.status, empty.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
    expect(empty.text).toContain('It has no entries yet.')
    const line = /<pre>(.*)<\/pre>/.exec(empty.text)![1]!.replaceAll('&#39;', "'").replaceAll('&quot;', '"')
    expect(line).toContain(`curl ${machine.url}/mypool `)
    expect(JSON.parse(execFileSync('sh', ['-c', line], { encoding: 'utf8', stdio: 'pipe' }))).toMatchObject({ error: 0 })
    await machine.post('mypool', { ...payment('two'), memo: `<script>alert("&'")</script>${'x'.repeat(200)}` })
    await until(
      () => machine.ended('mypool'),
      (seqs) => seqs.length === 2,
    )
    const { text } = await get('/mypool/')
    const [first, second] = await machine.call('tail', { path: 'mypool' })
    expect(text.indexOf(second!.hash)).toBeGreaterThan(0)
    expect(text.indexOf(first!.hash)).toBeGreaterThan(text.indexOf(second!.hash))
    expect(text).toContain('&lt;script&gt;alert')
    expect(text).not.toContain('<script')
    expect(text).not.toContain('x'.repeat(101))
  })

  it('gets a page that no other page can read, frame or run', async () => {
    const { headers } = await get('/other', { ...BROWSER, origin: 'https://evil.example' })
    expect(headers['access-control-allow-origin']).toBeUndefined()
    expect(headers['content-security-policy']).toBe("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
    expect(headers['x-content-type-options']).toBe('nosniff')
  })

  it.each<[string, Record<string, string>]>([
    ['by a name that leads here but is not of this host', { host: 'evil.example' }],
    ['by a name that begins like one of this host', { host: '127.0.0.1.evil.example' }],
    ['through a proxy', { 'x-forwarded-for': '203.0.113.7' }],
    ['through a proxy with a standard header', { forwarded: 'for=203.0.113.7' }],
  ])('%s gets no entries', async (_, headers) => {
    const { status, text } = await get('/mypool', { ...BROWSER, ...headers })
    expect(status).toBe(200)
    expect(text).toContain('curl http')
    expect(text).not.toContain('Newest entries')
  })

  it('over HTTPS gets a line to post over HTTPS', async () => {
    const { text } = await get('/mypool', { ...BROWSER, host: 'pay.example', 'x-forwarded-proto': 'https' })
    expect(text).toContain('curl https://pay.example/mypool ')
  })

  it('gets 404 for a pool that does not exist', async () => {
    expect((await get('/nopool')).status).toBe(404)
  })
})

it('a program that asks with GET is told to post', async () => {
  for (const accept of ['', '*/*', 'application/bitcoinsv-paymentrequest'])
    expect((await get('/mypool', accept ? { accept } : {})).body).toMatchObject({ code: 'METHOD_NOT_ALLOWED' })
})
