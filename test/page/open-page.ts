import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import type { CalledWallet } from './wallet.ts'

/** Opens an empty page. What is wrong on it is in `faults`. @param wallet in the browser, as `window.CWI` */
export async function openPage(
  browser: Browser,
  options: BrowserContextOptions = {},
  wallet?: CalledWallet,
): Promise<{ page: Page; faults: string[] } & AsyncDisposable> {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(String(error)))
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()))
  if (wallet) {
    await page.exposeFunction('callWallet', (call: string, args: unknown) => wallet.call(call, args))
    await page.addInitScript(
      `window.CWI = Object.fromEntries(['createAction', 'signAction'].map((call) => [call, (args) => callWallet(call, args)]))`,
    )
  }
  return { page, faults, [Symbol.asyncDispose]: () => context.close() }
}
