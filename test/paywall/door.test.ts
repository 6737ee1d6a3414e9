import { connect } from 'node:net'
import { PrivateKey, ProtoWallet, Transaction } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import { openFolder } from '../../client/folder.ts'
import { payingFetch } from '../../index.ts'
import { checkPool } from '../../shared/config/config.ts'
import { keyOf } from '../../shared/paywall/payee.ts'
import { askAt } from '../door/ask.ts'
import { payment } from '../machine/machine.ts'
import { openMachine } from './machine.ts'
import { decoded, encoded, headers121, TestWallet } from './wallet.ts'

// A pool with a price, at the door of an embedded machine.

const open = (settings: Parameters<typeof openMachine>[0] = {}) => openMachine({ port: 0, price: 100, ...settings })
const wallet = new TestWallet()

async function termsOf(url: string) {
  const answer = await fetch(url)
  return { answer, server: answer.headers.get('x-bsv-server')!, accepted: decoded(answer.headers.get('payment-required')).accepts[0]! }
}

describe('a pool with a price', () => {
  it.each(['GET', 'POST', 'HEAD'])('answers a %s without a payment with 402 and both terms', async (method) => {
    const { url, pool } = await open()
    const answer = await fetch(url, { method })
    expect([answer.status, answer.statusText, await answer.text()]).toEqual([402, 'Payment Required', ''])
    const { publicKey } = await (await pool.payee({ path: 'mypool' })).getPublicKey({ identityKey: true })
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-bsv-sats': '100',
      'x-bsv-server': publicKey,
      'access-control-allow-origin': '*',
      'access-control-expose-headers': expect.stringMatching(/x-bsv-sats, x-bsv-server.*PAYMENT-REQUIRED/),
      'cache-control': 'no-store',
    })
    const { accepts, resource } = decoded(answer.headers.get('payment-required'))
    expect([resource, accepts[0]!.amount, accepts[0]!.extra.submitUrl]).toEqual([{ url }, '100', url])
  })

  it('shows a person what it costs, and that page loads nothing', async () => {
    const { url } = await open()
    const answer = await fetch(url, { headers: { accept: 'text/html,*/*' } })
    expect([answer.status, answer.headers.get('x-bsv-sats')]).toEqual([402, '100'])
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(await answer.text()).toContain('This costs 100 satoshis')
  })

  it('takes a payment of BRC-121, once however often it is sent, and keeps its key', async () => {
    const { url, entries, dir } = await open()
    const { server } = await termsOf(url)
    const headers = await headers121(wallet, server, 100)
    const answers = await Promise.all(Array.from({ length: 5 }, () => fetch(url, { headers })))
    const [body] = (await Promise.all(answers.map((answer) => answer.json()))) as { payment: { transaction: string } }[]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    expect(answers[0]!.headers.get('x-bsv-payment-satoshis-paid')).toBe('100')
    const [entry, ...more] = await entries()
    expect([more, entry!.payment.transaction]).toEqual([[], body!.payment.transaction])
    // The key that `overpool keys sweep` shows opens the output.
    const { sender, prefix, suffix, vout } = entry!.payment.merchantData!
    const machine = openFolder(dir)
    const root = new ProtoWallet(PrivateKey.fromHex(keyOf(await machine.paySecret(), 'mypool')))
    await machine.close()
    const key = root.keyDeriver!.derivePrivateKey([2, '3241645161d8'], `${prefix} ${suffix}`, sender)
    expect(Transaction.fromHex(entry!.payment.transaction).outputs[vout]!.lockingScript.toHex()).toContain(key.toPublicKey().toHash('hex'))
  })

  it('takes a payment of BRC-166 in the header, or posted to its submitUrl', async () => {
    const { url, entries } = await open()
    for (const isPosted of [false, true]) {
      const { accepted } = await termsOf(url)
      const rawtx = (await wallet.pay([{ script: accepted.extra.lockingScriptHex!, satoshis: 100 }])).toHex()
      const payload = { x402Version: 2, accepted, payload: { lockingScriptHex: accepted.extra.lockingScriptHex, rawtx } }
      const answer = isPosted
        ? await fetch(accepted.extra.submitUrl!, {
            method: 'POST',
            body: JSON.stringify(payload),
            headers: { 'content-type': 'application/json' },
          })
        : await fetch(url, { headers: { 'payment-signature': encoded(payload) } })
      expect([answer.status, decoded(answer.headers.get('payment-response'))]).toEqual([200, expect.objectContaining({ success: true })])
    }
    expect((await entries()).map(({ payment }) => payment.merchantData?.paid)).toEqual(['BRC-166', 'BRC-166'])
  })

  it('refuses a payment that is too small or too late, keeps a note of the money, and still takes one that was taken in time', async () => {
    const { url, entries } = await open()
    const { server } = await termsOf(url)
    const [small, late] = [
      await headers121(wallet, server, 99),
      await headers121(wallet, server, 100, { time: String(Date.now() - 40_000) }),
    ]
    for (const [headers, sentence] of [
      [small, 'the transaction pays 99 of 100 satoshis'],
      [late, 'x-bsv-time is more than 30 s'],
    ] as const) {
      const { status, reason, body } = await askAt(url, 'GET', '/mypool', '', headers)
      expect([status, reason, body.error]).toEqual([402, expect.stringContaining(sentence), expect.stringContaining(sentence)])
    }
    const kept = (await entries()).map(({ payment }) => payment.merchantData)
    expect(kept).toMatchObject([
      { refused: 'insufficient_funds', satoshis: 99, prefix: small['x-bsv-nonce'] },
      { refused: 'payment_expired', satoshis: 100, prefix: late['x-bsv-nonce'] },
    ])
  })

  it('refuses a Payment of BIP270 with a sentence that says how it is paid', async () => {
    const { url, entries } = await open()
    const { status, reason, body } = await askAt(url, 'POST', '/mypool', JSON.stringify(payment('free?')), {
      'content-type': 'application/json',
    })
    expect([status, reason, body.code]).toEqual([402, expect.stringContaining('costs 100 satoshis, by HTTP 402'), 'PRICE_NOT_PAID'])
    expect(await entries()).toEqual([])
  })

  it('refuses a transaction that comes as to ARC, and says what becomes of those that it has', async () => {
    const { url, entries } = await open()
    const post = (path: string, body: string) =>
      fetch(`${url}${path}`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
    const rawTx = payment('free?').transaction
    for (const [path, body] of [
      ['/v1/tx', { rawTx }],
      ['/v1/txs', [{ rawTx }]],
    ] as const) {
      const answer = await post(path, JSON.stringify(body))
      expect([answer.status, await answer.json()]).toMatchObject([
        402,
        { code: 'PRICE_NOT_PAID', detail: expect.stringMatching(/HTTP 402/) },
      ])
    }
    expect((await fetch(`${url}/v1/policy`)).status).toBe(200)
    expect(await entries()).toEqual([])
  })

  it('takes no payment that went into another pool of the machine', async () => {
    const { url, pool } = await open()
    const { url: other } = await pool.create({ path: 'other', port: 0, price: 100 })
    const headers = await headers121(wallet, (await termsOf(url)).server, 100)
    expect((await fetch(url, { headers })).status).toBe(200)
    const answer = await fetch(other!, { headers })
    expect([answer.status, ((await answer.json()) as { error: string }).error]).toEqual([
      402,
      expect.stringContaining('pays 0 of 100 satoshis'),
    ])
    expect(await pool.tail({ path: 'other' })).toEqual([])
  })

  it('keeps what comes along with a payment', async () => {
    const { url, pool, entries } = await open()
    const payer = new TestWallet(undefined, { ancestors: 2 })
    const { server, accepted } = await termsOf(url)
    expect((await fetch(url, { headers: await headers121(payer, server, 100) })).status).toBe(200)
    const tx = await payer.pay([{ script: accepted.extra.lockingScriptHex!, satoshis: 100 }])
    const message = { x402Version: 2, accepted, payload: { rawtx: Buffer.from(tx.toBEEF()).toString('hex') } }
    expect((await fetch(url, { method: 'POST', body: JSON.stringify(message) })).status).toBe(200)
    const kept = await entries()
    expect(kept[1]!.hash).toBe(tx.id('hex'))
    for (const { hash } of kept)
      expect(await pool.ancestors({ path: 'mypool', hash })).toMatchObject([
        { proofs: [expect.any(String)] },
        { proofs: [] },
        { proofs: [] },
      ])
  })

  it('lets only the pages of its origins read the terms', async () => {
    const { url } = await open({ origins: ['https://shop.example'] })
    const asked = async (origin: string) => (await fetch(url, { headers: { origin } })).headers.get('access-control-allow-origin')
    expect([await asked('https://shop.example'), await asked('https://other.example')]).toEqual(['https://shop.example', null])
  })

  it('says how to pay when a BEEF does not fit into the headers, and takes one of 40 KB', async () => {
    const { url } = await open()
    const { server } = await termsOf(url)
    const deep = new TestWallet(PrivateKey.fromRandom(), { ancestors: 180 })
    const headers = await headers121(deep, server, 100)
    expect(headers['x-bsv-beef']!.length).toBeGreaterThan(40_000)
    expect((await fetch(url, { headers })).status).toBe(200)
    const { hostname, port } = new URL(url)
    const answer = await new Promise<string>((resolve, reject) => {
      let said = ''
      const socket = connect(Number(port), hostname)
      socket.on('data', (chunk) => (said += chunk)).on('end', () => resolve(said))
      socket.on('error', reject)
      socket.write(`GET /mypool HTTP/1.1\r\nHost: ${hostname}\r\nx-bsv-beef: ${'A'.repeat(70_000)}\r\n\r\n`)
    })
    expect(answer).toMatch(/^HTTP\/1.1 431 .*\r\nAccess-Control-Allow-Origin: \*/)
    expect(JSON.parse(answer.split('\r\n\r\n')[1]!).error).toMatch(/BRC-166, and POST it in the body/)
  })

  it('is paid by payingFetch', async () => {
    const { url, entries } = await open()
    const answer = await payingFetch(url, { wallet, budget: { perCall: 100 } })
    expect([answer.status, (await entries()).length]).toEqual([200, 1])
  })

  it('refuses settings that make no sense', async () => {
    const { pool } = await openMachine()
    for (const settings of [{ price: 0 }, { price: 1.5 }, { price: 100, unique: 'transaction' as const }, { paymail: 'Shop' }])
      await expect(pool.create({ path: 'other', port: false, ...settings })).rejects.toMatchObject({ code: 'BAD_CONFIG' })
    for (const paid of [{ price: 1 }, { paymail: 'shop@pay.example' }])
      expect(() => checkPool({ door: false, ...paid }, 'pools.shop')).toThrow(/pools.shop.door is false/)
  })
})
