import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Transaction } from '@bsv/sdk'
import { handle } from 'hono/aws-lambda'
import { expect, it, onTestFinished } from 'vitest'
import { paymentsApp } from '../../functions/payments/app.ts'
import { measured } from '../../functions/payments/measured.ts'
import type { Telemetry } from '../../functions/telemetry.ts'
import { openLedgerFile } from '../../local/ports.ts'
import { checkSettings } from '../../shared/config/config.ts'
import { encodeBlock } from '../../shared/ledger/block.ts'
import { decodeEntry } from '../../shared/ledger/entry-codec.ts'
import type { TxEntry } from '../../shared/ledger/kinds.ts'
import { decodeIngress } from '../../shared/ledger/messages.ts'
import { Copies } from '../../shared/machine/copies.ts'
import { paywallsOf } from '../../shared/paywall/paywall.ts'
import { functionUrlEvent } from '../door/function-url.ts'
import { decoded, encoded, headers121, TestWallet } from './wallet.ts'

// A pool with a price behind a function URL, with events as AWS sends them, over a real ingress queue and real receipts.

const wallet = new TestWallet(undefined, { ancestors: 1 })

function open({ halted }: { halted?: string } = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'overpool-priced-'))
  const ledger = openLedgerFile(dir)
  onTestFinished(() => {
    ledger.close()
    rmSync(dir, { recursive: true })
  })
  let now = Date.now()
  const pools = [
    { path: 'mypool', ...checkSettings({ price: 100 }, ''), halted },
    { path: 'shop', ...checkSettings({ paymail: 'shop@pay.example' }, ''), halted },
  ]
  const app = paymentsApp({
    ingress: ledger.ingress,
    ancestors: ledger.stores.ancestors,
    pool: (path) => pools.find((pool) => pool.path === path),
    pools: () => pools,
    copies: new Copies(ledger.stores.receipts, ledger.ingress),
    paywall: paywallsOf(async () => 'a secret', { network: 'main', now: () => now }),
    now: () => now,
    maxBytes: 1_000_000,
    log: (error) => {
      throw error
    },
  })
  const counted: string[] = []
  const telemetry = {
    refused: (code: string) => counted.push(code),
    count: (name: string) => counted.push(name),
    time() {},
    flush() {},
  } as unknown as Telemetry
  const handler = measured(handle(app), telemetry)
  const ask = async (options: Parameters<typeof functionUrlEvent>[1], body?: string) => {
    const answer = await handler(functionUrlEvent(body, options))
    if (!('headers' in answer)) throw new Error('a function URL reads `headers`')
    const { statusCode, body: text } = answer
    const headers = answer.headers as Record<string, string>
    return { status: statusCode, headers, body: text ? JSON.parse(text) : undefined }
  }
  /** What the writer does with what is in the queue. */
  const write = async () => {
    const messages = (await ledger.ingress.receive({ max: 10, waitMs: 0 })).map(({ body }) => decodeIngress(body))
    await ledger.stores.control.create({ kind: 'own', path: 'mypool', key: 'aa', discoveryKey: 'bb', createdAt: 0 })
    const entries = messages.map(({ entry }) => entry)
    await ledger.stores.blocks.put('mypool', encodeBlock(0, 0, entries))
    const receipts = messages.map(({ id, txid }, seq) => ({ key: txid!, id, txid: txid!, seq, block: 0 }))
    await ledger.stores.receipts.put('mypool', receipts)
    return entries.map((entry) => decodeEntry(entry) as TxEntry)
  }
  return { ask, write, wait: (ms: number) => (now += ms), counted, now: () => now, ancestors: ledger.stores.ancestors }
}

it('the door on AWS names the terms at its own address, takes both payments, and counts them', async () => {
  const { ask, write, wait, counted, now, ancestors } = open()
  const terms = await ask({ method: 'GET' })
  expect([terms.status, terms.body, terms.headers['x-bsv-sats']]).toEqual([402, undefined, '100'])
  const { resource, accepts } = decoded(terms.headers['payment-required'])
  expect(resource).toEqual({ url: expect.stringMatching(/^https:\/\/[a-z\d]+\.lambda-url\..*\/mypool$/) })
  const first = await headers121(wallet, terms.headers['x-bsv-server']!, 100, { time: String(now()) })
  expect((await ask({ method: 'GET', headers: first })).status).toBe(200)
  const script = accepts[0]!.extra.lockingScriptHex!
  const payload = { x402Version: 2, accepted: accepts[0], payload: { rawtx: (await wallet.pay([{ script, satoshis: 100 }])).toHex() } }
  const second = { 'payment-signature': encoded(payload) }
  const answer = await ask({ headers: second })
  expect([answer.status, decoded(answer.headers['payment-response'])]).toEqual([200, expect.objectContaining({ success: true })])
  expect((await write()).map(({ payment }) => payment.merchantData)).toMatchObject([{ paid: 'BRC-121' }, { paid: 'BRC-166' }])
  const parent = Transaction.fromAtomicBEEF([...Buffer.from(first['x-bsv-beef']!, 'base64')]).inputs[0]!.sourceTXID!
  expect(await ancestors.transaction(parent)).toBeDefined()
  // Both are too old now. Their answers may have been lost.
  wait(3_600_000)
  for (const headers of [first, second]) expect((await ask({ headers })).status).toBe(200)
  const late = await headers121(wallet, terms.headers['x-bsv-server']!, 100, { time: String(now() - 60_000) })
  expect(await ask({ headers: late })).toMatchObject({ status: 402, body: { errorReason: 'payment_expired' } })
  expect(counted).toEqual(['PRICE_NOT_PAID', 'posts', 'posts', 'posts', 'posts', 'PRICE_NOT_PAID'])
})

it('the door on AWS takes payments by paymail', async () => {
  const { ask, write } = open()
  const { body } = await ask({ method: 'GET', path: '/.well-known/bsvalias' })
  const path = (name: string) => new URL(body.capabilities[name].replace('{alias}@{domain.tld}', 'shop@pay.example')).pathname
  const asked = await ask({ path: path('2a40af698840') }, '{"satoshis":5000}')
  const tx = await wallet.pay(asked.body.outputs)
  const sent = { hex: tx.toHex(), reference: asked.body.reference, metadata: { note: 'tea' } }
  const taken = await ask({ path: path('5f1323cddf31') }, JSON.stringify(sent))
  expect(taken).toMatchObject({ status: 200, body: { txid: tx.id('hex') } })
  expect(await write()).toMatchObject([{ payment: { memo: 'tea', merchantData: { paid: 'paymail', satoshis: 5_000 } } }])
})

it('a halted pool asks for no payment', async () => {
  const { ask } = open({ halted: 'its disk is full' })
  const terms = await ask({ method: 'GET' })
  expect([terms.status, terms.headers['x-bsv-sats'], terms.body.code]).toEqual([503, undefined, 'POOL_HALTED'])
  const destination = await ask({ path: '/_/paymail/destination/shop@pay.example' }, '{"satoshis":5000}')
  expect([destination.status, destination.body.outputs]).toEqual([503, undefined])
})

it('a paymail payment is one entry, whatever note it is sent with, and however late', async () => {
  const { ask, write, wait } = open()
  const path = (what: string) => `/_/paymail/${what}/shop@pay.example`
  const asked = await ask({ path: path('destination') }, '{"satoshis":5000}')
  const sent = { hex: (await wallet.pay(asked.body.outputs)).toHex(), reference: asked.body.reference }
  for (const note of ['tea', 'coffee'])
    expect((await ask({ path: path('receive') }, JSON.stringify({ ...sent, metadata: { note } }))).status).toBe(200)
  wait(31 * 24 * 3_600_000)
  expect((await ask({ path: path('receive') }, JSON.stringify(sent))).status).toBe(200)
  expect(new Set((await write()).map(({ id }) => id)).size).toBe(1)
})
