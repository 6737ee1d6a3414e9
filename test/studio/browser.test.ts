import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { SCRIPT, STYLE } from '../../studio/bundle.ts'
import type { DeadPage, EntriesPage } from '../../studio/shapes.ts'
import { paying } from '../invoice/pay.ts'
import { until } from '../machine/machine.ts'
import { bundledStudio, STUDIO_FILE } from '../page/bundle.ts'
import { CHROMIUM, startChromium } from '../page/chromium.ts'
import { openPage } from '../page/open-page.ts'
import { HOSTILE, StudiedMachine } from './machine.ts'
import { DESKTOP, go, type Visited, visitStudio } from './visit.ts'

// The studio of a real machine, in a browser.

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const PHONE = { width: 400, height: 800 }

let browser: Browser
let machine: StudiedMachine
beforeAll(async () => {
  if (CHROMIUM === undefined) return
  // Names that lead to this computer, as those of a page that rebinds its name do.
  browser = await startChromium('--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP evil.example 127.0.0.1')
  machine = await StudiedMachine.open()
  for (let i = 0; i < 150; i++) await machine.post(`plain ${i}`)
  await machine.post('order 12')
  await machine.post(HOSTILE)
  await machine.post('fail for good')
  await machine.post(`remember ${HOSTILE}`)
  await machine.pools.invoice({ path: 'coffee', amount: 8_400, memo: HOSTILE })
  await until(
    () => machine.ask<DeadPage>('dead'),
    ({ total }) => total === 1,
  )
})
afterAll(async () => {
  await browser?.close()
  await machine?.[Symbol.asyncDispose]()
})
beforeEach(({ skip }) => {
  if (CHROMIUM === undefined) skip('there is no chromium on the PATH, nor at CHROMIUM')
})

type Visit = Visited & { of?: StudiedMachine }

/** Opens the studio with its token, and then one of its places. */
function visit({ at, of = machine, ...options }: Visit = {}) {
  return visitStudio(browser, of, { ...options, ...(at !== undefined && { at }) })
}

describe('the studio in a browser', () => {
  it('has the script and the style that its sources make; `npm run page` makes them anew', async () => {
    expect(readFileSync(STUDIO_FILE, 'utf8')).toBe(await bundledStudio())
  })

  it('is less than 150 KB', () => {
    expect(Buffer.byteLength(SCRIPT) + Buffer.byteLength(STYLE)).toBeLessThan(150_000)
    expect(gzipSync(SCRIPT).length + gzipSync(STYLE).length).toBeLessThan(50_000)
  })

  it('takes the token out of the address, keeps it for the tab, and asks nobody else for anything', async () => {
    await using opened = await openPage(browser)
    const { page, faults } = opened
    const requests: string[] = []
    page.on('request', (request) => requests.push(request.url()))
    await page.goto(machine.studio)
    await page.getByRole('link', { name: 'coffee' }).first().waitFor()
    expect(page.url()).toBe(`${machine.url}/_/studio#/`)
    await page.reload()
    await page.getByRole('link', { name: 'coffee' }).first().waitFor()
    expect(requests.filter((url) => !url.startsWith(`${machine.url}/_/studio`) && !url.startsWith('data:'))).toEqual([])
    expect(requests.join()).not.toContain(machine.token)
    expect(faults).toEqual([])
    expect(await page.context().cookies()).toEqual([])
  })

  it('asks for the token if it has none, and takes the address that is pasted', async () => {
    await using opened = await openPage(browser)
    const { page } = opened
    await page.goto(`${machine.url}/_/studio`)
    await page.getByLabel('Address or token').fill(`${machine.url}/_/studio#token=${'A'.repeat(32)}`)
    await page.getByRole('button', { name: 'Open' }).click()
    await page.getByText('The studio shows all of the machine, so it needs a token').waitFor()
    await page.getByLabel('Address or token').fill(machine.studio)
    await page.getByRole('button', { name: 'Open' }).click()
    await page.getByRole('link', { name: 'coffee' }).first().waitFor()
  })

  const PLACES: Record<string, string> = {
    overview: '#/',
    entries: '#/pool/coffee',
    'entries that match': '#/pool/coffee?q=plain',
    'an entry': '#/pool/coffee/150',
    'its outputs': '#/pool/coffee/150/outputs',
    'its status': '#/pool/coffee/150/status',
    'its trail': '#/pool/coffee/150/trail',
    'its bytes': '#/pool/coffee/150/bytes',
    'its runs': '#/pool/coffee/152/runs',
    'running it again': '#/pool/coffee/150/again',
    runs: '#/runs?pool=coffee',
    state: `#/state?handler=tx&pool=coffee&key=${encodeURIComponent(HOSTILE)}`,
    'given up': '#/dead',
    invoices: '#/invoices',
    network: '#/network',
    post: '#/post',
    'nothing found': `#/find/${'00'.repeat(32)}`,
    'no such page': '#/nothing',
  }
  it.each(Object.entries(PLACES))('can be read by everybody, light and dark, on a phone and on a desktop: %s', async (_, at) => {
    for (const [viewport, colorScheme] of [
      [PHONE, 'dark'],
      [DESKTOP, 'light'],
    ] as const) {
      await using opened = await visit({ viewport, colorScheme, at, reducedMotion: 'reduce' })
      const { page, faults } = opened
      await until(
        () => page.evaluate<boolean>("!/Loading …|Looking for/.test(document.body.textContent) && document.querySelector('h1') !== null"),
        (isThere) => isThere,
      )
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(viewport.width)
      // The policy of the page allows no script of others: axe comes in over the debugger, as any script of a test does.
      await page.evaluate(AXE)
      const { violations } = await page.evaluate<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>(
        'axe.run()',
      )
      expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)])).toEqual([])
      expect(faults).toEqual([])
    }
  })

  it('shows text of others as text, wherever it stands: in a memo, an invoice, an error', async () => {
    await using opened = await visit()
    const { page, faults } = opened
    const { rows } = await machine.ask<EntriesPage>('entries?pool=coffee&from=150&to=170')
    const { seq } = rows.find(({ memo }) => memo === HOSTILE)!
    for (const at of [
      '#/',
      '#/pool/coffee',
      `#/pool/coffee/${seq}`,
      `#/pool/coffee/${seq}/outputs`,
      `#/pool/coffee/${seq}/trail`,
      '#/dead',
      '#/invoices',
      '#/runs?pool=coffee&outcome=given-up',
      '#/state?handler=tx&pool=coffee',
    ]) {
      await go(page, at)
      await page.getByText("<script>document.title='taken over'", { exact: false }).first().waitFor()
      expect(await page.title()).toContain('Overpool Studio')
      expect(await page.locator('#studio script, #studio img').count()).toBe(0)
      expect(await page.locator('body').textContent()).not.toContain('\u202e')
    }
    await page.getByText('U+202E').first().waitFor()
    expect(faults).toEqual([])
  })

  it('shows entries as they come, and stays where it is while somebody reads further down', async () => {
    await using own = await StudiedMachine.open()
    for (let i = 0; i < 120; i++) await own.post(`first ${i}`)
    await using opened = await visit({ of: own, at: '#/pool/coffee' })
    const { page } = opened
    await page.getByText('first 119').first().waitFor()
    await own.post('a new one')
    await page.getByText('a new one').first().waitFor()
    await page.evaluate("document.querySelector('.list').scrollTo({ top: 1_000 })")
    await page.getByText('first 95', { exact: true }).first().waitFor()
    const place = await page.getByText('first 95', { exact: true }).first().boundingBox()
    await own.post('and another')
    await page.getByRole('button', { name: '1 new entry' }).waitFor()
    expect(await page.getByText('first 95', { exact: true }).first().boundingBox()).toEqual(place)
    await page.getByRole('button', { name: '1 new entry' }).click()
    await page.getByText('and another').first().waitFor()
  })

  it('goes on with the machine when that is started again', async () => {
    const own = await StudiedMachine.open()
    const { dir } = own
    const port = Number(new URL(own.url).port)
    await using opened = await visit({ of: own, at: '#/pool/coffee' })
    const { page } = opened
    await own.pools.close()
    await page.getByText('The machine does not answer').waitFor()
    await using again = await StudiedMachine.open({ dir, port })
    await again.post('after the restart')
    await page.getByText('after the restart').first().waitFor()
    expect(await page.getByText('The machine does not answer').count()).toBe(0)
  })

  it('finds entries by text, by kind and by txid', async () => {
    await using opened = await visit({ at: '#/pool/coffee' })
    const { page } = opened
    await page.getByLabel('Filter by txid, text or address').fill('plain 14')
    await page.getByText('11 entries match.').waitFor()
    expect(await page.locator('.rows .row').count()).toBe(11)
    await page.getByRole('button', { name: 'status' }).click()
    await page.getByText('Nothing matches.').waitFor()
    await page.getByRole('button', { name: 'status' }).click()
    await page.getByText('11 entries match.').waitFor()
    const { rows } = await machine.ask<EntriesPage>('entries?pool=coffee&from=7&to=8')
    await page.getByLabel('Find a txid, an entry id, a text or an address').fill(rows[0]!.txid!)
    await page.keyboard.press('Enter')
    await page.getByRole('article', { name: 'Entry 7 of coffee' }).waitFor()
  })

  it('is used with the keyboard alone: through the list, into an entry, along its trail', async () => {
    await using opened = await visit({ at: '#/pool/coffee' })
    const { page } = opened
    await page.getByText('plain 149').first().waitFor()
    await page.locator('.list').focus()
    const focused = () => page.evaluate<string>('document.activeElement.textContent')
    const reaches = (text: string) => until(focused, (now) => now === text, 5_000)
    await page.keyboard.press('End')
    await reaches('0')
    await page.keyboard.press('ArrowUp')
    await reaches('1')
    await page.keyboard.press('Home')
    const { end } = await machine.ask<EntriesPage>('entries?pool=coffee&from=0&to=1')
    await reaches(String(end - 1))
    await go(page, '#/pool/coffee/150/trail')
    await page.locator('svg a').first().focus()
    await page.keyboard.press('ArrowRight')
    const label = () => page.evaluate<string>("document.activeElement.getAttribute('aria-label')")
    expect(await label()).toMatch(/^kitchen #0 brew for order 12, at .+, posted for coffee #150, 1 posted for it$/)
    await page.keyboard.press('ArrowDown')
    expect(await label()).toContain('kitchen #1')
    await page.keyboard.press('ArrowUp')
    await page.keyboard.press('ArrowRight')
    await page.keyboard.press('Enter')
    await page.getByText('ready').first().waitFor()
    await until(
      async () => page.url(),
      (url) => /pool\/coffee\/\d+\/trail$/.test(url),
    )
  })

  it('has a handler try again what it gave up, or forget it, which is asked twice', async () => {
    await using own = await StudiedMachine.open()
    await own.post('fail once')
    await until(
      () => own.ask<DeadPage>('dead'),
      ({ total }) => total === 1,
    )
    await using opened = await visit({ of: own, at: '#/dead' })
    const { page } = opened
    await page.getByRole('button', { name: 'Forget' }).click()
    await page.getByRole('button', { name: 'Forget 1 for good?' }).waitFor()
    expect(await own.ask<DeadPage>('dead')).toMatchObject({ total: 1 })
    own.mend()
    await page.getByRole('button', { name: 'Redrive 1' }).click()
    await page.getByText('tx tries 1 entry again').waitFor()
    await page.getByText('Nothing was given up.').waitFor()
    expect(await own.ask<DeadPage>('dead')).toMatchObject({ total: 0 })
  })

  it('posts, and says what is wrong with what it cannot post', async () => {
    await using own = await StudiedMachine.open()
    await using opened = await visit({ of: own, at: '#/post' })
    const { page } = opened
    await page.getByLabel('A transaction').check()
    await page.getByLabel('Hex or base64').fill('00ff')
    await page.getByRole('button', { name: 'Post it' }).click()
    await page.getByRole('alert').waitFor()
    await page.getByLabel('A text', { exact: true }).check()
    await page.getByLabel('Text, which a new transaction carries').fill('written here')
    await page.getByLabel('Memo').fill('from the page')
    await page.getByRole('button', { name: 'Post it' }).click()
    await page.locator('.done a').click()
    await page.getByRole('article', { name: 'Entry 0 of coffee' }).waitFor()
    await page.getByText('written here').first().waitFor()
  })

  it('makes an invoice, opens its page, and shows that it is paid', async () => {
    await using own = await StudiedMachine.open()
    await using opened = await visit({ of: own, at: '#/invoices' })
    const { page } = opened
    await page.getByLabel('Satoshis').fill('1500')
    await page.getByLabel('Memo').fill('a flat white')
    await page.getByRole('button', { name: 'Make an invoice' }).click()
    const [shown] = await Promise.all([page.waitForEvent('popup'), page.getByRole('link', { name: 'Open its page' }).click()])
    await shown.getByText('a flat white').first().waitFor()
    expect(await shown.evaluate('sessionStorage.length')).toBe(0) // the token stays in the tab of the studio
    const [invoice] = await own.pools.invoice.list({ path: 'coffee' })
    const transaction = paying(invoice!.outputs.map(({ satoshis, script }) => ({ satoshis, script }))).toString('hex')
    const paid = await fetch(invoice!.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ transaction }),
    })
    expect(paid.status).toBe(200)
    await page.locator('td .chip', { hasText: 'paid' }).waitFor()
  })
})

describe('a page of another origin', () => {
  /** Tries all that a page can do, and reports what it could read. */
  const attack = (studio: string) => `(async () => {
    const got = []
    const tries = {
      read: () => fetch('${studio}/api/overview').then((answer) => answer.text()),
      sendCookies: () => fetch('${studio}/api/overview', { credentials: 'include' }).then((answer) => answer.text()),
      withHeaders: () => fetch('${studio}/api/overview', { headers: { authorization: 'Bearer TOKEN' } }).then((answer) => answer.text()),
      blind: () => fetch('${studio}/api/post', { method: 'POST', mode: 'no-cors', body: '{"pool":"coffee","sample":true}' }).then((answer) => answer.text()),
      post: () => fetch('${studio}/api/post', { method: 'POST', headers: { authorization: 'Bearer TOKEN', 'content-type': 'application/json', 'x-overpool-studio': '1' }, body: '{"pool":"coffee","sample":true}' }).then((answer) => answer.text()),
      script: () => new Promise((resolve, reject) => { const script = document.createElement('script'); script.src = '${studio}/page.js'; script.onload = () => resolve('script ran'); script.onerror = () => reject(new Error('no script')); document.body.append(script) }),
      frame: () => new Promise((resolve) => { const frame = document.createElement('iframe'); frame.src = '${studio}#token=TOKEN'; frame.onload = () => { try { resolve(frame.contentDocument.body.textContent) } catch { resolve('') } }; document.body.append(frame) }),
      form: () => new Promise((resolve) => { const frame = document.createElement('iframe'); frame.name = 'into'; const form = document.createElement('form'); form.method = 'post'; form.target = 'into'; form.enctype = 'text/plain'; form.action = '${studio}/api/post'; form.innerHTML = '<input name=\\'{"pool":"coffee","sample":true,"x":"\\' value=\\'"}\\'>'; document.body.append(frame, form); form.submit(); setTimeout(() => resolve(''), 300) }),
    }
    for (const [name, attempt] of Object.entries(tries)) got.push([name, await attempt().catch(() => 'failed')])
    return got
  })()`

  it.each([
    ['of the web', 'http://evil.example', ''],
    ['on another port of this computer', 'http://127.0.0.1', ''],
    ['that rebinds its name to this computer, with the port of the machine', 'http://rebound.example', 'same'],
  ])('%s reads nothing of the studio and posts nothing', async (_, from, isSamePort) => {
    const other = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<!doctype html><title>evil</title>'))
    other.listen(0, '127.0.0.1')
    await until(
      async () => other.listening,
      (is) => is,
    )
    const { port } = new URL(machine.url)
    await using opened = await openPage(browser)
    const { page } = opened
    const entries = async () => (await machine.pools.status()).map((pool) => pool.entries)
    const before = await entries()
    try {
      if (isSamePort) {
        // The name now leads to the machine. The browser counts all of it as the page's own origin: only the name in `Host` tells.
        await page.route('**/attack', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>evil</title>' }))
        await page.goto(`${from}:${port}/attack`)
        const seen = await page.goto(`${from}:${port}/_/studio`)
        expect(seen!.status()).toBe(403)
        await page.goto(`${from}:${port}/attack`)
      } else await page.goto(`${from}:${(other.address() as AddressInfo).port}`)
      const studio = `${isSamePort ? `${from}:${port}` : machine.url}/_/studio`
      const got = await page.evaluate<[string, string][]>(attack(studio).replaceAll('TOKEN', machine.token))
      for (const [name, text] of got) expect([name, /coffee|kitchen|script ran|posted/.test(text)]).toEqual([name, false])
    } finally {
      other.close()
      other.closeAllConnections()
    }
    expect(await entries()).toEqual(before)
  })
})
