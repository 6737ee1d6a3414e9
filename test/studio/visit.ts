import type { Browser, Page } from 'playwright-core'
import { openPage } from '../page/open-page.ts'
import type { StudiedMachine } from './machine.ts'

export const DESKTOP = { width: 1280, height: 800 }

export type Visited = Parameters<typeof openPage>[1] & { at?: string }

/** Opens the studio with its token, and then one of its places. */
export async function visitStudio(browser: Browser, { studio }: StudiedMachine, { at, ...options }: Visited = {}) {
  const opened = await openPage(browser, { viewport: DESKTOP, ...options })
  const { page } = opened
  await page.goto(studio)
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
  if (at !== undefined) await go(page, at)
  return opened
}

export async function go(page: Page, at: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(at)}`)
}
