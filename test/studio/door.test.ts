import { existsSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { folderLayout } from '../../local/folder.ts'
import { keepStudioToken, readStudioToken } from '../../local/studio.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { until } from '../machine/machine.ts'
import { knock, StudiedMachine, WRITES } from './machine.ts'

// Who reaches the studio, and who does not: over real HTTP, with headers of all kinds.

let machine: StudiedMachine
beforeAll(async () => {
  machine = await StudiedMachine.open()
})
afterAll(() => machine?.[Symbol.asyncDispose]())

const port = () => new URL(machine.url).port
const allowed = () => ({ authorization: `Bearer ${machine.token}` })
const POST = { method: 'POST', body: JSON.stringify({ pool: 'coffee', sample: true }) }

describe('the studio at the door of a machine', () => {
  it('shows its page without a token, with a strict policy, and nothing of the machine in it', async () => {
    const { status, headers, text } = await knock(`${machine.url}/_/studio`)
    expect(status).toBe(200)
    expect(text).not.toContain('coffee')
    const policy = headers['content-security-policy'] as string
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain(`script-src ${machine.url}/_/studio/page.js;`)
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).toContain("require-trusted-types-for 'script'")
    expect(policy).not.toMatch(/unsafe|\*/)
    expect(headers).toMatchObject({ 'cross-origin-resource-policy': 'same-origin', 'x-content-type-options': 'nosniff' })
    expect(headers['access-control-allow-origin']).toBeUndefined()
    expect(text).not.toMatch(/<script>|<style|onload|https?:/)
  })

  it('has a policy that a browser understands under an address of IPv6, too', async () => {
    const { status, headers } = await knock(`${machine.url}/_/studio`, { headers: { host: `[::1]:${port()}` } })
    expect([status, headers['content-security-policy']]).toEqual([200, expect.stringContaining("script-src 'self'; style-src 'self'")])
  })

  it('sends its files again only when they have changed', async () => {
    for (const file of ['', '/page.js', '/page.css']) {
      const { headers } = await knock(`${machine.url}/_/studio${file}`)
      const again = await knock(`${machine.url}/_/studio${file}`, { headers: { 'if-none-match': headers.etag } })
      expect([again.status, again.text]).toEqual([304, ''])
    }
  })

  it('answers programs of this computer that have the token', async () => {
    const { status, text } = await knock(`${machine.url}/_/studio/api/overview`, { headers: allowed() })
    expect(status).toBe(200)
    expect(JSON.parse(text).pools.map(({ path }: { path: string }) => path)).toEqual(['coffee', 'kitchen'])
    const local = await knock(`${machine.url}/_/studio/api/overview`, { headers: { ...allowed(), host: `localhost:${port()}` } })
    expect(local.status).toBe(200)
  })

  it.each([
    ['no token', {}],
    ['a wrong token', { authorization: 'Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }],
    ['a token of no length', { authorization: 'Bearer ' }],
    ['the token as a password', { authorization: 'Basic TOKEN' }],
    ['the token as a cookie', { cookie: 'token=TOKEN; overpool-studio=TOKEN' }],
  ])('refuses who has %s', async (_, headers) => {
    const sent = JSON.parse(JSON.stringify(headers).replaceAll('TOKEN', machine.token))
    for (const name of ['overview', 'live', 'entries?pool=coffee&from=0&to=9', 'nothing']) {
      const { status, text } = await knock(`${machine.url}/_/studio/api/${name}`, { headers: sent })
      expect([status, JSON.parse(text).code]).toEqual([401, 'WRONG_TOKEN'])
    }
    const posted = await knock(`${machine.url}/_/studio/api/post`, { ...POST, headers: { ...WRITES, ...sent } })
    expect(posted.status).toBe(401)
  })

  const HERE = 'http://127.0.0.1:PORT'
  it.each([
    ['under another name (DNS rebinding)', { host: 'rebound.example:PORT' }],
    ['under another name without a port', { host: 'rebound.example' }],
    ['under a name that only begins like one of ours', { host: '127.0.0.1.rebound.example:PORT' }],
    ['under a name that only looks like an address', { host: '127.0.0.1@rebound.example' }],
    ['under the address of another host', { host: '192.168.1.7:PORT' }],
    ['under the address of all hosts', { host: '0.0.0.0:PORT' }],
    ['from a page of the web', { origin: 'https://evil.example' }],
    ['from a page without an origin', { origin: 'null' }],
    ['from a page on another port of this computer', { origin: 'http://127.0.0.1:1', host: '127.0.0.1:PORT' }],
    ['from a page under another name of this computer', { origin: 'http://localhost:PORT', host: '127.0.0.1:PORT' }],
    ['from a secure page of the same name', { origin: 'https://127.0.0.1:PORT' }],
    ['as another site, says the browser', { 'sec-fetch-site': 'cross-site' }],
    ['as another port, says the browser', { 'sec-fetch-site': 'same-site', origin: HERE }],
    ['through a proxy', { 'x-forwarded-for': '203.0.113.9' }],
    ['through a proxy that says so in the new way', { forwarded: 'for=203.0.113.9' }],
  ])('refuses even who has the token, %s', async (_, headers) => {
    const sent = { ...allowed(), ...JSON.parse(JSON.stringify(headers).replaceAll('PORT', port())) }
    for (const path of ['', '/page.js', '/api/overview', '/api/live']) {
      const { status, headers: answered, text } = await knock(`${machine.url}/_/studio${path}`, { headers: sent })
      expect([[400, 403].includes(status), text.includes('coffee')]).toEqual([true, false])
      expect(answered['access-control-allow-origin']).toBeUndefined()
    }
    const before = (await machine.pools.status()).find(({ path }) => path === 'coffee')!.entries
    const posted = await knock(`${machine.url}/_/studio/api/post`, { ...POST, headers: { ...WRITES, ...sent } })
    expect([400, 403]).toContain(posted.status)
    expect((await machine.pools.status()).find(({ path }) => path === 'coffee')!.entries).toBe(before)
  })

  it.each([
    ['without the header of its page', { 'content-type': 'application/json' }],
    ['as a form would send it', { 'content-type': 'text/plain', 'x-overpool-studio': '1' }],
  ])('changes nothing for a call %s', async (_, headers) => {
    const { status, text } = await knock(`${machine.url}/_/studio/api/post`, { ...POST, headers: { ...allowed(), ...headers } })
    expect([status, JSON.parse(text).code]).toEqual([400, 'NOT_OUR_PAGE'])
  })

  it('gives no page of another origin leave to ask (CORS)', async () => {
    const { status, headers } = await knock(`${machine.url}/_/studio/api/post`, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://evil.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization, x-overpool-studio',
        'access-control-request-private-network': 'true',
      },
    })
    expect(status).toBe(403)
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([])
  })

  it('has nothing but what it has, and leaves the door as it is', async () => {
    for (const path of ['/api/constructor', '/api/toString', '/api/', '/api', '/../coffee', '/seed'])
      expect((await knock(`${machine.url}/_/studio${path}`, { headers: allowed() })).status, path).not.toBe(200)
    const paid = await fetch(`${machine.url}/coffee`, {
      method: 'POST',
      body: sampleTransaction('by the door'),
      headers: { 'content-type': 'text/plain' },
    })
    expect([200, 415]).toContain(paid.status) // as the door says
    expect((await fetch(`${machine.url}/_/health`)).status).toBe(200)
  })

  it.each([
    ['no JSON', 'post', '{', 400],
    ['a list', 'post', '[]', 400],
    ['nothing to post', 'post', '{"pool":"coffee"}', 400],
    ['two things to post', 'post', '{"pool":"coffee","sample":true,"data":"x"}', 400],
    ['no pool', 'post', '{"sample":true}', 404],
    ['no such pool', 'post', '{"pool":"tea","sample":true}', 404],
    ['no transaction', 'post', '{"pool":"coffee","transaction":"00"}', 422],
    ['a text that is none', 'post', '{"pool":"coffee","data":7}', 400],
    ['an invoice of nothing', 'invoices', '{"pool":"coffee","amount":0}', 400],
    ['an invoice that is over', 'invoices', '{"pool":"coffee","amount":1,"minutes":-1}', 400],
    ['to skip and to forget', 'redrive', '{"pool":"coffee","skip":true,"drop":true}', 400],
    ['no such handler', 'redrive', '{"pool":"coffee","handler":"nobody"}', 404],
  ])('says what is wrong with a call: %s', async (_, name, body, expected) => {
    const { status, text } = await knock(`${machine.url}/_/studio/api/${name}`, {
      method: 'POST',
      body,
      headers: { ...allowed(), ...WRITES },
    })
    expect([status, JSON.parse(text).message.length > 5]).toEqual([expected, true])
    expect(text).not.toContain('   at ')
  })

  it.each([
    'entries?pool=coffee',
    'entries?pool=coffee&from=-1&to=5',
    'entry?pool=coffee&seq=x',
    'entry?pool=coffee&seq=99999',
    'search?pool=coffee&kinds=no',
    'entries?pool=tea&from=0&to=1',
  ])('says what is wrong with a question: %s', async (question) => {
    const { status, text } = await knock(`${machine.url}/_/studio/api/${question}`, { headers: allowed() })
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
    expect(JSON.parse(text).message).toBeTruthy()
  })

  it('tells what happens in a line each, and ends with the machine', async () => {
    await using own = await StudiedMachine.open()
    const answer = await fetch(`${own.url}/_/studio/api/live`, { headers: { authorization: `Bearer ${own.token}` } })
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
    let told = ''
    const reading = (async () => {
      for (let part = await reader.read(); !part.done; part = await reader.read()) told += part.value
    })().catch(() => {})
    const entries = () =>
      told
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line).pools[0].entries)
    await until(
      async () => entries(),
      (all) => all.length > 0,
    )
    const begun = performance.now()
    await own.post('one')
    await until(
      async () => entries(),
      (all) => all.at(-1) === 1,
    )
    expect(performance.now() - begun).toBeLessThan(2_000) // without a change it would be told after 5 s
    const closing = performance.now()
    await own.pools.close()
    await reading
    expect(performance.now() - closing).toBeLessThan(1_500) // the door would cut it off after 2 s
  })
})

describe('the token of the studio', () => {
  it('is kept in the folder for its user alone, and stays the same after a restart', async () => {
    await using first = await StudiedMachine.open()
    const { studioToken } = folderLayout(first.dir)
    expect(statSync(studioToken).mode & 0o777).toBe(0o600)
    expect(first.token).toMatch(/^[\w-]{32}$/)
    await first.pools.close()
    expect(keepStudioToken(first.dir)).toBe(first.token)
  })

  it('is made anew when its file is damaged, and no token opens a studio that has none', async () => {
    await using own = await StudiedMachine.open()
    const { studioToken } = folderLayout(own.dir)
    writeFileSync(studioToken, 'x\n')
    expect(readStudioToken(own.dir)).toBeUndefined()
    for (const token of [own.token, 'x', 'undefined']) {
      const { status } = await knock(`${own.url}/_/studio/api/overview`, { headers: { authorization: `Bearer ${token}` } })
      expect(status).toBe(401)
    }
    const next = keepStudioToken(own.dir)
    expect(next).not.toBe(own.token)
    expect(statSync(studioToken).mode & 0o777).toBe(0o600)
    expect((await knock(`${own.url}/_/studio/api/overview`, { headers: { authorization: `Bearer ${next}` } })).status).toBe(200)
  })
})

describe('a machine that others reach', () => {
  it('serves no studio, not even to this computer with the token', async () => {
    await using open = await StudiedMachine.open({ host: '0.0.0.0' })
    const here = `http://127.0.0.1:${new URL(open.url).port}`
    for (const path of ['', '/page.js', '/api/overview']) {
      const { status, text } = await knock(`${here}/_/studio${path}`, {
        headers: { authorization: `Bearer ${open.token}`, accept: 'text/html' },
      })
      expect([status >= 400, text.includes('Overpool Studio')]).toEqual([true, false])
    }
    expect(existsSync(folderLayout(open.dir).studioToken)).toBe(true)
  })
})
