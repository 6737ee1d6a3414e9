import { beforeEach, describe, expect, it } from 'vitest'
import { Budget, createPaywall, payingFetch } from '../../index.ts'
import { bitcoinOf } from '../bitcoin/machine.ts'
import { nodeOr } from '../bitcoin/node-or-skip.ts'
import { CHROMIUM, startChromium } from '../page/chromium.ts'
import { openPage } from '../page/open-page.ts'
import { serveWallet } from '../page/wallet.ts'
import { openMachine } from '../paywall/machine.ts'
import { serve, without121 } from '../paywall/serve.ts'
import { ToolboxWallet, toolboxOrSkip } from './toolbox.ts'

// The whole way of a payment, of real parts: a wallet pays, a pool records the payment, a node mines the transaction, and the entry says so.

const WAIT = { timeout: 30_000 }

const node = nodeOr()
toolboxOrSkip()

describe('a wallet of @bsv/wallet-toolbox', () => {
  it.each([
    ['BRC-121', fetch, 2],
    ['BRC-166', without121, 1], // the wallet leaves it to the pool to broadcast this one, and spends no change of it before it is mined
  ] as const)('buys by payingFetch from createPaywall over %s, and what it has paid is mined', async (protocol, fetch, times) => {
    await using wallet = await ToolboxWallet.funded(node())
    const { pool, entries } = await openMachine({ bitcoin: bitcoinOf(node()), commit: 'always' })
    const paywall = createPaywall({ pool, path: 'mypool', price: 100, network: 'regtest' })
    const url = await serve(paywall((_, payment) => new Response(payment?.txid)))
    const budget = new Budget({ perCall: 100, total: 200 })
    const bought = []
    for (let n = 1; n <= times; n++) {
      const answer = await payingFetch(`${url}/${n}`, { wallet: wallet.wallet, budget, fetch, network: 'regtest' })
      bought.push(await answer.text())
    }
    expect(budget.receipts).toMatchObject(bought.map((txid) => ({ protocol, txid, status: 200 })))
    expect(await node().rpc('getrawmempool')).toEqual(expect.arrayContaining(bought))
    await node().generate(1)
    await expect
      .poll(async () => (await entries()).map(({ hash, status }) => `${hash} ${status}`), WAIT)
      .toEqual(bought.map((txid) => `${txid} mined`))
  })
})

describe('a wallet of @bsv/wallet-toolbox, and the button of an invoice page', () => {
  beforeEach(({ skip }) => {
    if (CHROMIUM === undefined) skip('there is no chromium on the PATH, nor at CHROMIUM')
  })

  it.each([
    ['in the page', { at: 'CWI', signsLater: false }],
    ['at its address on the computer', { at: 'localhost', signsLater: false }],
    ['at its address on the computer, which signs when it is asked again', { at: 'localhost', signsLater: true }],
  ])('pays %s: the page turns to paid, and then to mined', async (_, { at, signsLater }) => {
    await using wallet = await ToolboxWallet.funded(node(), { signsLater })
    const { pool, entries } = await openMachine({ bitcoin: bitcoinOf(node()), commit: 'always', port: 0 })
    const { id, url } = await pool.invoice({ path: 'mypool', amount: 8_400, memo: 'a flat white' })

    await using local = at === 'localhost' ? await serveWallet(wallet) : undefined
    const port = local?.port ?? 1 // port 1 is nobody's
    await using browser = await startChromium(`--host-resolver-rules=MAP localhost:3321 127.0.0.1:${port}, MAP localhost:2121 127.0.0.1:1`)
    await using visitor = await openPage(browser, {}, at === 'CWI' ? wallet : undefined)
    const { page, faults } = visitor
    await page.goto(url)
    await page.locator('#pay').click()
    await page.locator('#invoice[data-state=paid]').waitFor()
    const { hash, invoice } = (await entries())[0]!
    expect(invoice).toEqual({ id, state: 'paid', received: 8_400 })
    expect(await page.locator('main').textContent()).toContain(hash)
    expect(wallet.calls).toMatchObject({ createAction: 1, signAction: signsLater ? 1 : 0 })

    await expect.poll(() => node().rpc('getrawmempool'), WAIT).toContain(hash)
    await node().generate(1)
    await page.getByText('mined in a block').waitFor(WAIT)
    expect((await entries()).map(({ hash, status }) => [hash, status])).toEqual([[hash, 'mined']])
    expect(await pool.invoice.get({ path: 'mypool', id })).toMatchObject({ state: 'paid', payment: { txid: hash, status: 'mined' } })
    expect(faults.filter((fault) => !fault.includes('ERR_CONNECTION_REFUSED'))).toEqual([]) // nobody listens at the second local address
  })
})
