import { HttpClient, PaymailClient } from '@bsv/paymail/client'
import { LockingScript, PrivateKey, PublicKey, Transaction } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import { askAt } from '../door/ask.ts'
import { openMachine } from './machine.ts'
import { TestWallet } from './wallet.ts'

// Paymail P2P, by the client of @bsv/paymail. That package lists its test tools as dependencies; `overrides` in package.json leave them out.

const ADDRESS = 'coffee@localhost'
const wallet = new TestWallet(undefined, { ancestors: 1 })

async function open() {
  const machine = await openMachine({ port: 0, paymail: ADDRESS })
  const { port, origin } = new URL(machine.url)
  return { ...machine, origin, client: new PaymailClient(new HttpClient(), undefined, Number(port)) }
}

async function payTo(client: PaymailClient, satoshis: number, paid = satoshis): Promise<{ tx: Transaction; reference: string }> {
  const { outputs, reference } = await client.getP2pPaymentDestination(ADDRESS, satoshis)
  return { tx: await wallet.pay([{ script: outputs[0]!.script, satoshis: paid }]), reference }
}

describe('a pool with a paymail', () => {
  it('gives destinations, and takes raw transactions and BEEF', async () => {
    const { client, entries, pool } = await open()
    const [raw, beef] = [await payTo(client, 1_000), await payTo(client, 2_000)]
    const metadata = { sender: 'payer@wallet.example', pubkey: '', signature: '', note: 'two coffees' }
    expect(await client.sendTransactionP2P(ADDRESS, raw.tx.toHex(), raw.reference, metadata)).toEqual({
      txid: raw.tx.id('hex'),
      note: 'Received into mypool',
    })
    const sent = await client.sendBeefTransactionP2P(ADDRESS, Buffer.from(beef.tx.toBEEF()).toString('hex'), beef.reference, metadata)
    expect(sent.txid).toBe(beef.tx.id('hex'))
    const kept = await entries()
    expect(kept.map(({ hash, payment: { memo, refundTo, merchantData } }) => ({ hash, memo, refundTo, ...merchantData }))).toMatchObject([
      { hash: raw.tx.id('hex'), memo: 'two coffees', refundTo: 'payer@wallet.example', paid: 'paymail', satoshis: 1_000, vout: 0 },
      { hash: beef.tx.id('hex'), paid: 'paymail', satoshis: 2_000 },
    ])
    expect(await pool.ancestors({ path: 'mypool', hash: beef.tx.id('hex') })).toHaveLength(2)
  })

  it('has a public key, which its payments can be traced to', async () => {
    const { client, pool, entries } = await open()
    const { pubkey, handle } = await client.getPki(ADDRESS)
    const payee = await pool.payee({ path: 'mypool' })
    expect([handle, pubkey]).toEqual([ADDRESS, (await payee.getPublicKey({ identityKey: true })).publicKey])
    const { tx, reference } = await payTo(client, 5)
    await client.sendTransactionP2P(ADDRESS, tx.toHex(), reference)
    const { sender, prefix, suffix } = (await entries())[0]!.payment.merchantData!
    const anyone = new TestWallet(new PrivateKey(1))
    expect(sender).toBe(anyone.key.toPublicKey().toString())
    const { publicKey } = await anyone.getPublicKey({ protocolID: [2, '3241645161d8'], keyID: `${prefix} ${suffix}`, counterparty: pubkey })
    expect(tx.outputs[0]!.lockingScript.toHex()).toContain(PublicKey.fromString(publicKey).toHash('hex'))
  })

  it('takes a transaction once, however often it is sent', async () => {
    const { client, entries } = await open()
    const { tx, reference } = await payTo(client, 1_000)
    const answers = await Promise.all(Array.from({ length: 5 }, () => client.sendTransactionP2P(ADDRESS, tx.toHex(), reference)))
    expect([new Set(answers.map(({ txid }) => txid)).size, (await entries()).length]).toEqual([1, 1])
  })

  it('records a transaction that pays too little with a note, and refuses one that pays nothing', async () => {
    const { client, entries } = await open()
    const little = await payTo(client, 1_000, 999)
    expect((await client.sendTransactionP2P(ADDRESS, little.tx.toHex(), little.reference)).note).toContain('999 of 1000 satoshis')
    const { reference } = await payTo(client, 1_000)
    await expect(client.sendTransactionP2P(ADDRESS, little.tx.toHex(), reference)).rejects.toThrow(/pays nothing/)
    expect((await entries()).map(({ payment }) => payment.merchantData)).toMatchObject([{ refused: 'insufficient_funds', satoshis: 999 }])
  })

  it('that has a price as well takes no less than that', async () => {
    const { url } = await openMachine({ port: 0, paymail: ADDRESS, price: 100 })
    const ask = (satoshis: number) => askAt(new URL(url).origin, 'POST', `/_/paymail/destination/${ADDRESS}`, JSON.stringify({ satoshis }))
    expect([(await ask(99)).body.code, (await ask(100)).status]).toEqual(['BAD_PAYMENT', 200])
  })

  it('refuses a transaction that spends nothing', async () => {
    const { client, entries } = await open()
    const { outputs, reference } = await client.getP2pPaymentDestination(ADDRESS, 5)
    const tx = new Transaction(1, [], [{ lockingScript: LockingScript.fromHex(outputs[0]!.script), satoshis: 5 }])
    await expect(client.sendTransactionP2P(ADDRESS, tx.toHex(), reference)).rejects.toThrow(/spends nothing/)
    expect(await entries()).toEqual([])
  })

  it.each([
    ['nobody', 'POST', '/_/paymail/destination/tea@localhost', '{"satoshis":1}', 404, 'POOL_NOT_FOUND'],
    ['no capability', 'POST', '/_/paymail/profile/coffee@localhost', '{}', 404, 'POOL_NOT_FOUND'],
    ['a GET', 'GET', '/_/paymail/destination/coffee@localhost', '', 405, 'METHOD_NOT_ALLOWED'],
    ['no JSON', 'POST', '/_/paymail/destination/coffee@localhost', 'satoshis=1', 400, 'MALFORMED_PAYMENT'],
    ['no satoshis', 'POST', '/_/paymail/destination/coffee@localhost', '{"satoshis":0.5}', 422, 'BAD_PAYMENT'],
    ['no transaction', 'POST', '/_/paymail/receive/coffee@localhost', '{"reference":"x"}', 422, 'BAD_PAYMENT'],
    ['no BEEF', 'POST', '/_/paymail/beef/coffee@localhost', '{"beef":"zz","reference":"x"}', 422, 'BAD_TRANSACTION'],
    [
      'a foreign reference',
      'POST',
      '/_/paymail/receive/coffee%40localhost',
      `{"hex":"${'01000000000100000000000000000a006a0768656c6c6f203100000000'}","reference":"mine"}`,
      422,
      'BAD_PAYMENT',
    ],
  ])('refuses %s by name', async (_, method, path, body, status, code) => {
    const { origin } = await open()
    const answer = await askAt(origin, method, path, body, { 'content-type': 'application/json' })
    expect([answer.status, answer.body.code]).toEqual([status, code])
  })

  it('has capabilities under the address by which it is asked, and none without a paymail', async () => {
    const { origin } = await open()
    const { body } = await askAt(origin, 'GET', '/.well-known/bsvalias', '', { host: 'pay.example', 'x-forwarded-proto': 'https' })
    expect(body).toMatchObject({
      bsvalias: '1.0',
      capabilities: { '2a40af698840': 'https://pay.example/_/paymail/destination/{alias}@{domain.tld}', '6745385c3fc0': false },
    })
    const plain = await openMachine({ port: 0 })
    expect((await askAt(new URL(plain.url).origin, 'GET', '/.well-known/bsvalias')).status).toBe(404)
  })
})
