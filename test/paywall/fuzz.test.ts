import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PrivateKey } from '@bsv/sdk'
import { afterAll, describe } from 'vitest'
import { answerPaymail } from '../../functions/payments/paymail.ts'
import { Quotas } from '../../functions/payments/quotas.ts'
import { openLedgerFile } from '../../local/ports.ts'
import { checkSettings } from '../../shared/config/config.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { offer166 } from '../../shared/paywall/brc166.ts'
import { payeeOf } from '../../shared/paywall/payee.ts'
import type { Read } from '../../shared/paywall/payment.ts'
import { Paywall } from '../../shared/paywall/paywall.ts'
import { fuzz } from '../fuzz.ts'
import { decoded, headers121, TestWallet } from './wallet.ts'

// What comes from payers, and from servers that are paid, with mutations.

const NOW = 1_719_500_000_000
const server = await payeeOf('a secret', 'mypool')
const wall = new Paywall({ payee: async () => server, network: 'main', now: () => NOW })
const wallet = new TestWallet(new PrivateKey(8), { ancestors: 1 })
const asked = { price: 100, resource: 'GET /', url: 'https://shop.example/' }
const { publicKey: key } = await server.getPublicKey({ identityKey: true })

const headers = await headers121(wallet, key, 100, { time: String(NOW) })
const required = (await wall.challenge(asked)).headers['payment-required']!
const accepted = decoded(required).accepts[0]!
const script = accepted.extra.lockingScriptHex!
const signature = {
  x402Version: 2,
  accepted,
  payload: { lockingScriptHex: script, rawtx: (await wallet.pay([{ script, satoshis: 100 }])).toHex() },
}

const dir = mkdtempSync(join(tmpdir(), 'overpool-fuzz-'))
const ledger = openLedgerFile(dir)
afterAll(() => {
  ledger.close()
  rmSync(dir, { recursive: true })
})
const pools = [{ path: 'mypool', ...checkSettings({ paymail: 'coffee@localhost' }, '') }]
const paymailDeps = { paywall: () => wall, quotas: new Quotas(), pools: () => pools, ingress: ledger.ingress, now: () => NOW }
const ask = async (what: string, body: Buffer) => {
  const path = `/_/paymail/${what}/coffee@localhost`
  return JSON.parse((await answerPaymail({ method: 'POST', path, header: () => undefined, body: async () => body }, paymailDeps)).body)
}
const { outputs, reference } = await ask('destination', Buffer.from('{"satoshis":1000}'))
const paid = await wallet.pay(outputs)
const message = { metadata: { sender: 'a@b.example', note: 'tea' }, reference }

/** A payment counts, or is refused by name. */
function taken(read: Read | undefined): void {
  if (!read || read.refusal) throw new OverpoolError('BAD_PAYMENT', read?.refusal?.sentence ?? 'none')
}

describe('payments by HTTP 402 and paymail', () =>
  fuzz([
    {
      name: 'the headers of BRC-121',
      code: 'BAD_PAYMENT',
      honest: [Buffer.from(Object.values(headers).join('\n'))],
      read: async (bytes) => {
        const values = bytes.toString('latin1').split('\n')
        const names = Object.keys(headers)
        taken(await wall.read((name) => values[names.indexOf(name)], asked))
      },
    },
    {
      name: 'PAYMENT-SIGNATURE',
      code: 'BAD_PAYMENT',
      honest: [Buffer.from(JSON.stringify(signature))],
      read: async (bytes) => taken(await wall.readMessage(bytes, asked)),
    },
    {
      name: 'PAYMENT-REQUIRED, as a client reads it',
      code: 'BAD_PAYMENT',
      honest: [Buffer.from(required, 'base64')],
      read: (bytes) => {
        if (!offer166(bytes.toString('base64'), 'main')) throw new OverpoolError('BAD_PAYMENT', 'no offer')
      },
    },
    {
      name: 'a raw transaction by paymail',
      code: ['BAD_PAYMENT', 'BAD_TRANSACTION', 'MALFORMED_PAYMENT'],
      honest: [Buffer.from(JSON.stringify({ hex: paid.toHex(), ...message }))],
      read: (bytes) => ask('receive', bytes),
    },
    {
      name: 'a BEEF by paymail',
      code: ['BAD_PAYMENT', 'BAD_TRANSACTION', 'MALFORMED_PAYMENT'],
      honest: [Buffer.from(JSON.stringify({ beef: Buffer.from(paid.toBEEF()).toString('hex'), ...message }))],
      read: (bytes) => ask('beef', bytes),
    },
    {
      name: 'the amount of a paymail destination',
      code: ['BAD_PAYMENT', 'MALFORMED_PAYMENT'],
      honest: [Buffer.from('{"satoshis":1000}')],
      read: (bytes) => ask('destination', bytes),
    },
  ]))
