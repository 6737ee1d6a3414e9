import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Overpool } from '../../index.ts'
import type { TxEvent } from '../../shared/ledger/event.ts'
import { paying } from '../invoice/pay.ts'
import { until } from '../machine/machine.ts'
import { CHROMIUM, startChromium } from './chromium.ts'
import { openPage } from './open-page.ts'
import { SmallWallet } from './wallet.ts'

// The page of a real machine: pool, door, ledger and handler.

let browser: Browser
let pools: Overpool
let url: string
const dir = mkdtempSync(join(tmpdir(), 'overpool-page-'))
const heard: TxEvent[] = []

beforeAll(async () => {
  if (CHROMIUM === undefined) return
  browser = await startChromium('--host-resolver-rules=MAP localhost:3321 127.0.0.1:1, MAP localhost:2121 127.0.0.1:1')
  pools = new Overpool({ dir })
  pools.on('tx', (e) => void heard.push(e))
  const created = await pools.create({
    path: 'coffee',
    port: 0,
    page: { name: 'Corner Coffee' },
    request: { amount: 8_400, memo: 'a flat white', expiresIn: 15 * 60_000 },
  })
  url = created.url!
})
afterAll(async () => {
  await browser?.close()
  await pools?.close()
  rmSync(dir, { recursive: true })
})
beforeEach(({ skip }) => {
  if (CHROMIUM === undefined) skip('there is no chromium on the PATH, nor at CHROMIUM')
})

async function visit(at: string, wallet?: SmallWallet) {
  const opened = await openPage(browser, {}, wallet)
  await opened.page.goto(at)
  return opened
}

const paid = (page: Page) => page.locator('#invoice[data-state=paid]').waitFor()

describe('the page of a pool that asks, in a browser', () => {
  it('is paid by the button: the payment is in the pool, the handler has it, and the page is a receipt that can be kept', async () => {
    await using visitor = await visit(url, new SmallWallet({ signsLater: true }))
    const { page, faults } = visitor
    expect(await page.locator('main').textContent()).toContain('a flat white')
    await page.locator('#pay').click()
    await paid(page)
    const [event] = await until(
      async () => heard.filter(({ invoice }) => invoice?.state === 'paid'),
      ({ length }) => length === 1,
    )
    await page.getByText(event!.hash).waitFor()
    expect(event!.invoice).toMatchObject({ state: 'paid', received: 8_400 })
    expect(await pools.ancestors({ path: 'coffee', hash: event!.hash })).toHaveLength(1)
    expect(faults).toEqual([])
    const { url: kept } = await pools.invoice.get({ path: 'coffee', id: event!.invoice!.id })
    await using later = await visit(kept)
    await paid(later.page)
    expect(await later.page.locator('main').textContent()).toContain(event!.hash)
  })

  it('turns into a receipt when somebody else pays, by the code on it, in any wallet', async () => {
    const invoice = await pools.invoice({ path: 'coffee', amount: 500, memo: 'tea' })
    await using visitor = await visit(invoice.url)
    const request = (await (await fetch(invoice.url, { headers: { accept: 'application/bitcoinsv-paymentrequest' } })).json()) as {
      outputs: { amount: number; script: string }[]
      paymentUrl: string
      merchantData: string
    }
    const transaction = paying(request.outputs.map(({ amount, script }) => ({ satoshis: amount, script }))).toString('hex')
    const ack = await fetch(request.paymentUrl, {
      method: 'POST',
      headers: { 'content-type': 'application/bitcoinsv-payment', accept: 'application/bitcoinsv-paymentack' },
      body: JSON.stringify({ merchantData: request.merchantData, transaction, memo: 'Paid using ElectrumSV' }),
    })
    expect([ack.status, ((await ack.json()) as { memo: string }).memo]).toEqual([200, 'Paid. Thank you.'])
    await paid(visitor.page)
    expect(visitor.faults).toEqual([])
  })

  it('says that an invoice was cancelled, and has no button any more', async () => {
    const invoice = await pools.invoice({ path: 'coffee', amount: 500 })
    await using visitor = await visit(invoice.url)
    await visitor.page.locator('#pay').waitFor()
    await pools.invoice.cancel({ path: 'coffee', id: invoice.id })
    await visitor.page.locator('#invoice[data-state=cancelled]').waitFor()
    expect(await visitor.page.locator('#pay').count()).toBe(0)
  })
})
