import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import decodeQR from 'qr/decode.js'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CHROMIUM, startChromium } from './chromium.ts'
import { openPage } from './open-page.ts'
import { Shop } from './shop.ts'
import { ITEMS, STATES, viewOf } from './views.ts'
import { SmallWallet, serveWallet } from './wallet.ts'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** Nothing listens there: port 1 is nobody's. */
const NO_WALLET = ['--host-resolver-rules=MAP localhost:3321 127.0.0.1:1, MAP localhost:2121 127.0.0.1:1']
const HOSTILE = `</main><script>document.title='taken over'</script><img src=x onerror="document.title='taken over'">\u202e"'&lt;`

let browser: Browser
beforeAll(async () => {
  if (CHROMIUM !== undefined) browser = await startChromium(...NO_WALLET)
})
afterAll(() => browser?.close())
beforeEach(({ skip }) => {
  if (CHROMIUM === undefined) skip('there is no chromium on the PATH, nor at CHROMIUM')
})

/** A page of the shop in a browser, and what the browser reported of it. */
async function visit(shop: Shop, options: BrowserContextOptions & { wallet?: SmallWallet; in?: Browser; isSilent?: boolean } = {}) {
  const { wallet, in: own = browser, isSilent, ...rest } = options
  const opened = await openPage(own, rest, wallet)
  const { page } = opened
  const requests: string[] = []
  page.on('request', (request) => requests.push(request.url()))
  if (isSilent) await page.addInitScript('window.CWI = { createAction: () => new Promise(() => {}) }')
  await page.clock.install()
  await page.goto(shop.view.url)
  return {
    ...opened,
    requests,
    title: () => page.getByRole('heading', { level: 1 }),
    note: () => page.locator('#note'),
    pay: () => page.locator('#pay'),
  }
}

/** Waits until the page is a receipt. */
async function becomesReceipt(page: Page): Promise<void> {
  await page.locator('#invoice[data-state=paid]').waitFor()
}

describe('an invoice page in a browser', () => {
  it('shows what is due, and a code that leads to it, and loads nothing from elsewhere', async () => {
    await using shop = await Shop.open()
    await using visitor = await visit(shop)
    const { page } = visitor
    expect(await page.title()).toBe('Waiting for payment – invoice from Corner Coffee')
    const text = await page.locator('main').textContent()
    for (const part of ['Corner Coffee', '24\u202f800 satoshis', '0.000248 BSV', '2 flat whites, 1 almond croissant'])
      expect(text).toContain(part)
    expect(text).toMatch(/1[45] minutes left/)
    expect(await scanned(page)).toBe(shop.view.url)
    expect(visitor.requests.filter((url) => !url.startsWith(new URL(shop.view.url).origin) && !url.startsWith('data:'))).toEqual([])
    expect(visitor.faults).toEqual([])
  })

  it.each([
    ['it is told', 'sent'],
    ['it asks', 'none'],
    ['it asks, since a proxy keeps what it is told', 'kept'],
  ] as const)('turns into a receipt by itself when somebody pays: %s', async (_, events) => {
    await using shop = await Shop.open({ events })
    await using visitor = await visit(shop)
    const { page } = visitor
    await page.getByText('Other ways to pay').click()
    shop.become({ underWay: true })
    await page.clock.runFor(2_000)
    await page.locator('#invoice[data-state=underWay]').waitFor()
    shop.bePaid('cd'.repeat(32))
    await page.clock.runFor(2_000)
    await becomesReceipt(page)
    expect(await page.title()).toContain('Paid')
    expect(await page.locator('#announcement').textContent()).toBe('Paid. Thank you. This page is your receipt.')
    expect(await page.locator('main').textContent()).toContain('cd'.repeat(32))
    shop.become({ payment: { ...shop.view.payment!, status: 'mined' } })
    await page.clock.runFor(30_000)
    await page.getByText('mined in a block').waitFor()
    await expect.poll(() => shop.listeners).toBe(0) // nothing more can happen
    expect(visitor.faults).toEqual([])
  })

  it.each([
    ['which signs at once', false],
    ['which signs when it is asked again', true],
  ])('pays by the button with a wallet in the browser, %s', async (_, signsLater) => {
    const wallet = new SmallWallet({ signsLater })
    await using shop = await Shop.open()
    await using visitor = await visit(shop, { wallet })
    await visitor.pay().click()
    await becomesReceipt(visitor.page)
    expect(wallet.calls).toEqual({ getVersion: 0, createAction: 1, signAction: signsLater ? 1 : 0 })
    expect(shop.payments).toEqual([{ transaction: expect.any(Array), merchantData: shop.view.merchantData }])
    expect(await visitor.page.locator('main').textContent()).toContain(shop.view.payment!.txid)
    expect(visitor.faults).toEqual([])
  })

  it('pays by the button with a wallet that runs on the computer', async () => {
    const wallet = new SmallWallet({ signsLater: true })
    await using server = await serveWallet(wallet)
    await using shop = await Shop.open({ to: '☕'.repeat(40), memo: 'Tea' }) // wallets take descriptions of 5 to 50 bytes
    const own = await startChromium(`--host-resolver-rules=MAP localhost:3321 127.0.0.1:${server.port}, MAP localhost:2121 127.0.0.1:1`)
    try {
      await using visitor = await visit(shop, { in: own })
      await visitor.pay().click()
      await becomesReceipt(visitor.page)
      expect(wallet.calls).toEqual({ getVersion: 1, createAction: 1, signAction: 1 })
    } finally {
      await own.close()
    }
  })

  it('says what to do when a wallet never answers, and still notices the payment', async () => {
    await using shop = await Shop.open({ events: 'none' })
    await using visitor = await visit(shop, { isSilent: true })
    const { page } = visitor
    await visitor.pay().click()
    await page.getByText('Your wallet asks you now.').waitFor()
    expect(await visitor.pay().getAttribute('aria-disabled')).toBe('true')
    await page.clock.runFor(20_000)
    await page.getByText('Your wallet has not answered yet.').waitFor()
    expect(await visitor.pay().textContent()).toBe('Try again')
    expect(await visitor.pay().getAttribute('aria-disabled')).toBe('false')
    shop.bePaid()
    await page.clock.runFor(2_000)
    await becomesReceipt(page)
  })

  it('says so when there is no wallet', async () => {
    await using shop = await Shop.open()
    await using visitor = await visit(shop)
    await visitor.pay().click()
    await visitor.page.getByText('No wallet was found').waitFor()
    expect(await visitor.pay().textContent()).toBe('Try again')
  })

  it('says why a wallet has not paid, as text, and asks it again', async () => {
    const wallet = new SmallWallet()
    await using shop = await Shop.open()
    await using visitor = await visit(shop, { wallet })
    await visitor.page.evaluate('window.kept = CWI.createAction; CWI.createAction = () => Promise.reject(new Error("<b>no money</b>"))')
    await visitor.pay().click()
    await visitor.page.getByText('Your wallet has not paid: <b>no money</b>').waitFor()
    await visitor.page.evaluate('CWI.createAction = kept')
    await visitor.pay().click()
    await becomesReceipt(visitor.page)
  })

  it('hands a payment over until the host has it, and has the wallet pay once', async () => {
    const wallet = new SmallWallet()
    await using shop = await Shop.open()
    shop.failures.push(0, 503, 429)
    await using visitor = await visit(shop, { wallet })
    await visitor.pay().click()
    await visitor.page.getByText('it tries again').waitFor()
    const receipt = becomesReceipt(visitor.page).then(() => true)
    while (!(await Promise.race([receipt, visitor.page.clock.runFor(1_000)])));
    expect(wallet.calls.createAction).toBe(1)
    expect(new Set(shop.payments.map(({ transaction }) => transaction.join())).size).toBe(1)
  })

  it('says why the host has refused a payment, and hands the same one over again', async () => {
    const wallet = new SmallWallet()
    await using shop = await Shop.open()
    shop.failures.push(422)
    await using visitor = await visit(shop, { wallet })
    await visitor.pay().click()
    await visitor.page.getByText('The payment was not accepted: The payment could not be taken.').waitFor()
    await visitor.pay().click()
    await becomesReceipt(visitor.page)
    expect(wallet.calls.createAction).toBe(1)
  })

  it('shows a hostile memo, name and description as text', async () => {
    const outputs = ITEMS.map((output) => ({ ...output, description: HOSTILE }))
    await using shop = await Shop.open({ memo: HOSTILE, to: HOSTILE, outputs, page: { name: HOSTILE } })
    await using visitor = await visit(shop, { wallet: new SmallWallet() })
    const { page } = visitor
    expect(await page.title()).toBe(`Waiting for payment – invoice from ${HOSTILE}`)
    expect(await page.locator('dd bdi').first().textContent()).toBe(HOSTILE)
    expect([await page.locator('main img').count(), await page.locator('script').count()]).toEqual([0, 1])
    await visitor.pay().click()
    await becomesReceipt(page)
    expect([await page.locator('main img').count(), await page.locator('script').count()]).toEqual([0, 1])
    expect(visitor.faults).toEqual([])
  })

  it('runs no script and no style that is not its own', async () => {
    await using shop = await Shop.open()
    await using visitor = await visit(shop)
    const { page } = visitor
    await page.evaluate(`{
      const script = document.createElement('script')
      script.textContent = 'document.title = "taken over"'
      document.body.append(script)
    }`)
    expect(await page.title()).not.toBe('taken over')
    const refused = await page.evaluate("fetch('http://127.0.0.1:1/').then(String, String)")
    expect(refused).toContain('TypeError')
    expect(visitor.faults.filter((fault) => fault.includes('Content Security Policy')).length).toBeGreaterThanOrEqual(2)
  })

  it('works without JavaScript, except for the button', async () => {
    await using shop = await Shop.open()
    await using visitor = await visit(shop, { javaScriptEnabled: false })
    const { page } = visitor
    const text = await page.locator('main').textContent()
    for (const part of ['24\u202f800 satoshis', 'The Pay button needs JavaScript.', 'Look again']) expect(text).toContain(part)
    expect(await scanned(page)).toBe(shop.view.url)
    expect(await visitor.pay().isVisible()).toBe(false)
    await page.getByText('Other ways to pay').click()
    for (const part of ['1DYwPTpZuLjY2qApmJdHaSAuWRvEF5skCN', shop.view.uris.pay, shop.view.uris.bip272])
      expect(await page.getByText(part, { exact: true }).isVisible()).toBe(true)
    shop.bePaid()
    await page.locator('footer a').click()
    await becomesReceipt(page)
  })

  it('is used with the keyboard, and leaves the focus at its title when it changes', async () => {
    await using shop = await Shop.open()
    await using visitor = await visit(shop, { wallet: new SmallWallet() })
    const { page } = visitor
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement.id')).toBe('pay')
    await page.keyboard.press('Enter')
    await becomesReceipt(page)
    expect(await page.evaluate('document.activeElement.id')).toBe('title')
  })

  it('copies what older wallets read', async () => {
    await using shop = await Shop.open()
    await using visitor = await visit(shop, { permissions: ['clipboard-read', 'clipboard-write'] })
    const { page } = visitor
    await page.getByText('Other ways to pay').click()
    await page.getByRole('button', { name: 'Copy: Address' }).click()
    await page.getByText('Copied', { exact: true }).first().waitFor({ state: 'attached' })
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe('1DYwPTpZuLjY2qApmJdHaSAuWRvEF5skCN')
  })

  it.each([
    ['open', 'expired', { state: 'expired' }],
    ['underpaid', 'underpaidExpired', { expired: true }],
  ] as const)('is updated when its time is over, and cannot be paid any more: %s', async (state, expired, change) => {
    await using shop = await Shop.open({ events: 'none', state })
    await using visitor = await visit(shop)
    await visitor.pay().waitFor()
    shop.become(change)
    await visitor.page.clock.runFor(15 * 60_000)
    await visitor.page.locator(`#invoice[data-state=${expired}]`).waitFor()
    expect(await visitor.pay().count()).toBe(0)
  })

  it.each(STATES)(
    'has nothing that keeps people from reading it, nothing that does not fit a narrow phone, and does not shift: %s',
    async (state) => {
      await using shop = await Shop.open()
      shop.view = viewOf(state, shop.view.url, { page: { name: 'Corner Coffee', colors: { accent: '#f5b760' } } })
      for (const colorScheme of ['light', 'dark'] as const) {
        await using visitor = await visit(shop, { colorScheme, viewport: { width: 320, height: 568 } })
        const { page } = visitor
        for (const details of await page.locator('summary').all()) await details.click()
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320)
        await page.evaluate(AXE)
        const { violations } = await page.evaluate<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>(
          'axe.run()',
        )
        expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)])).toEqual([])
        expect(await shiftOf(page)).toBe(0)
      }
    },
  )
})

/** What a phone reads that is held before the screen. */
async function scanned(page: Page): Promise<string> {
  const png = await page.getByRole('img', { name: 'QR code' }).screenshot()
  await using context = await browser.newContext()
  const other = await context.newPage()
  const pixels = await other.evaluate<{ width: number; height: number; data: number[] }>(`(async () => {
    const image = new Image()
    image.src = 'data:image/png;base64,${png.toString('base64')}'
    await image.decode()
    const { width, height } = image
    const drawing = new OffscreenCanvas(width, height).getContext('2d')
    drawing.drawImage(image, 0, 0)
    return { width, height, data: [...drawing.getImageData(0, 0, width, height).data] }
  })()`)
  return decodeQR({ ...pixels, data: Uint8Array.from(pixels.data) })
}

/** How far things have moved that the user did not move (Cumulative Layout Shift). */
function shiftOf(page: Page): Promise<number> {
  return page.evaluate<number>(`new Promise((resolve) => {
    let sum = 0
    new PerformanceObserver((list) => {
      for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) sum += value
    }).observe({ type: 'layout-shift', buffered: true })
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(sum)))
  })`)
}
