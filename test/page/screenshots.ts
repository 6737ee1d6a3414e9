// Pictures of the invoice page in each state, on a phone and on a desktop, light and dark: `node test/page/screenshots.ts <folder>`.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { invoicePage } from '../../functions/payments/invoice-page/page.ts'
import { startChromium } from './chromium.ts'
import { ITEMS, STATES, viewOf } from './views.ts'

const SIZES = { phone: { width: 390, height: 844 }, small: { width: 320, height: 568 }, desktop: { width: 1280, height: 900 } }
const LOGO = `data:image/svg+xml,${encodeURIComponent('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48"><rect width="48" height="48" rx="10" fill="#6b3f1d"/><path d="M12 18h20v8a9 9 0 0 1-9 9h-2a9 9 0 0 1-9-9zm20 2h3a4 4 0 0 1 0 8h-3" fill="none" stroke="#fff" stroke-width="3"/></svg>')}`
/** A page in each state, one with a shop's own looks and a list of items, and one in another language. */
const PAGES: Record<string, string> = {
  ...Object.fromEntries(STATES.map((state) => [state, invoicePage(viewOf(state))])),
  shop: invoicePage(
    viewOf('open', undefined, {
      outputs: ITEMS,
      page: { name: 'Corner Coffee', logo: LOGO, colors: { accent: '#6b3f1d', dark: '#e0b080' } },
    }),
  ),
  german: invoicePage(viewOf('underpaid'), { languages: 'de' }),
}
const [folder = 'screenshots'] = process.argv.slice(2)

mkdirSync(folder, { recursive: true })
const browser = await startChromium()
for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ['light', 'dark'] as const) {
    const context = await browser.newContext({ viewport, colorScheme, locale: 'en-GB', timezoneId: 'Europe/Berlin' })
    const page = await context.newPage()
    await page.clock.setFixedTime(Date.UTC(2026, 10, 28, 9, 1))
    for (const [name, body] of Object.entries(PAGES)) {
      await page.route('**/*', (route) => route.fulfill({ contentType: 'text/html; charset=utf-8', body }))
      await page.goto('http://localhost:3000/coffee/9x2Yk0mS3vQm1hK7pWc4Zg')
      const take = (what: string) => page.screenshot({ path: join(folder, `${name}-${size}-${colorScheme}${what}.png`), fullPage: true })
      await take('')
      for (const details of await page.locator('summary').all()) {
        await details.click()
        await take('-opened')
      }
    }
    await context.close()
  }
}
await browser.close()
