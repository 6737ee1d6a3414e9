import { randomBytes } from 'node:crypto'
import { HD, P2PKH, PublicKey } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import { scriptOfAddress } from '../../shared/chain/filter.ts'
import { atFirstUseOrAnew } from '../../shared/first-use.ts'
import { dueOf, type Invoice, keyPathOf, newInvoiceId, paidOf } from '../../shared/invoice/invoice.ts'
import { Receiver } from '../../shared/invoice/receive.ts'
import { urisOf } from '../../shared/invoice/request.ts'
import { checkTerms } from '../../shared/invoice/terms.ts'
import { invoiceIn, isToken, type TokenKeys, tokenKeysIn, tokenOf } from '../../shared/invoice/token.ts'
import { Invoicing, type InvoicingDeps } from '../../shared/machine/invoicing.ts'
import { addressOf, scanTransaction } from '../../shared/transaction/index.ts'
import { paying } from './pay.ts'

const keys = (...n: number[]) => n.map((one) => Buffer.alloc(32, one)) as unknown as TokenKeys
const invoice: Invoice = {
  id: newInvoiceId(),
  pool: 'coffee',
  outputs: [
    { satoshis: 1_000, script: `76a914${'11'.repeat(20)}88ac`, address: '12ZEw5Hcv1hTb6YUQJ69y1V7uhcoDz92PH', keyPath: '0/7' },
    { satoshis: 0, script: '006a0474657374', description: 'a receipt' },
  ],
  memo: 'an espresso ☕',
  createdAt: 1_700_000_000_000,
  expiresAt: 1_700_000_900_000,
  data: { order: 7, of: ['a', null] },
}

describe('merchantData', () => {
  it('carries an invoice, and says who has signed it', () => {
    const token = tokenOf(invoice, keys(1))
    expect(isToken(token)).toBe(true)
    expect(invoiceIn(token, keys(1))).toEqual(invoice)
    expect(invoiceIn(token, keys(2, 1))).toEqual(invoice)
    expect(invoiceIn(token, keys(2))).toBeUndefined()
    const { memo: _m, expiresAt: _e, data: _d, ...least } = invoice
    const [output] = invoice.outputs
    const fresh = { ...output!, keyPath: keyPathOf(invoice.id, 0), address: addressOf(Buffer.from(output!.script, 'hex'))! }
    const short = tokenOf({ ...least, outputs: [fresh] }, keys(1))
    expect(invoiceIn(short, keys(1))).toEqual({ ...least, outputs: [fresh] })
    expect(short.length).toBeLessThan(150) // people scan it as a code
    expect(invoiceIn(tokenOf(least, keys(1)), keys(1))).toEqual(least)
  })

  it('has its keys read again when it has none of them: another instance of the door may have a newer one', async () => {
    const stores = {} as InvoicingDeps['stores']
    let reads = 0
    const make = async () => keys(...(reads++ ? [2, 1] : [1]))
    let time = 0
    const invoicing = new Invoicing({
      stores,
      keys: atFirstUseOrAnew(make, 10_000, () => time),
      receiver: async () => Promise.reject(new Error('no script is asked for')),
      now: Date.now,
    })
    const [old, newer, forged] = [1, 2, 3].map((key) => tokenOf(invoice, keys(key)))
    const opened = (token: string | undefined) => invoicing.askedBy('coffee', undefined, token)
    expect(await opened(old)).toEqual(invoice)
    await expect(opened(newer)).rejects.toMatchObject({ code: 'BAD_PAYMENT' }) // strangers cannot have the keys read all the time
    time = 10_000
    expect(await opened(newer)).toEqual(invoice)
    await expect(opened(forged)).rejects.toMatchObject({ code: 'BAD_PAYMENT' })
    expect(reads).toBe(2)
  })

  it('counts for nothing when a character is changed', () => {
    const token = tokenOf(invoice, keys(1))
    for (let at = 0; at < token.length; at++) {
      const changed = token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1)
      if (isToken(changed)) expect(invoiceIn(changed, keys(1)), `${at}`).toBeUndefined()
    }
    for (const text of [
      '',
      'a.b.c',
      '{"order":7}',
      'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
      7,
      null,
    ])
      expect(isToken(text)).toBe(false)
  })

  it('counts for nothing when it is cut, repeated, or written otherwise', () => {
    const token = tokenOf(invoice, keys(1))
    const [name, body, mac] = token.split('.') as [string, string, string]
    const bytes = Buffer.from(body, 'base64url')
    const longer = Buffer.concat([Buffer.of(0x98, bytes[0]! & 0x1f), bytes.subarray(1)]) // the same list of CBOR, with its length in a byte of its own
    const otherwise = [
      ...Array.from({ length: token.length }, (_, length) => token.slice(0, length)),
      token + token,
      `${token}.${mac}`,
      `${token}\n`,
      ` ${token}`,
      `"${token}"`,
      token.toUpperCase(),
      token.replaceAll('.', '%2E'),
      token.replaceAll('.', ':'),
      `${name}.${body}=.${mac}`,
      `${name}.${bytes.toString('hex')}.${mac}`,
      `${name}.${longer.toString('base64url')}.${mac}`,
      `${name}.${Buffer.concat([bytes, Buffer.of(0)]).toString('base64url')}.${mac}`,
      `${name}.${body}.${Buffer.from(mac, 'base64url').toString('hex')}`,
      `${name}.${body.padEnd(10_000 - 30, 'A')}.${mac}`,
      `${name}.${'A'.repeat(1_000_000)}.${mac}`,
      Buffer.from(token).toString('base64url'),
    ]
    for (const text of otherwise) if (isToken(text)) expect(invoiceIn(text, keys(1)), text.slice(0, 300)).toBeUndefined()
    expect(isToken(otherwise.find((text) => text.length > 1_000_000))).toBe(false)
  })

  it('is no longer than BIP270 allows', () => {
    expect(() => tokenOf({ ...invoice, data: 'x'.repeat(8_000) }, keys(1))).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
  })

  it('has its keys as hex, the newest first', () => {
    const [one, two] = [randomBytes(32), randomBytes(32)]
    expect(tokenKeysIn(`${one.toString('hex')}\n${two.toString('hex')}\n`, 'f')).toEqual([one, two])
    for (const bad of ['', 'xyz', one.toString('hex').slice(2)]) expect(() => tokenKeysIn(bad, 'f')).toThrow(/^f holds no keys/)
  })
})

describe('what a transaction pays', () => {
  const script = (n: number) => `51${n.toString(16).padStart(2, '0')}`
  const asked = (...outputs: [number, number][]) => ({ outputs: outputs.map(([satoshis, n]) => ({ satoshis, script: script(n) })) })
  const pays = (of: Pick<Invoice, 'outputs'>, ...outputs: [number, number][]) =>
    paidOf(of, scanTransaction(paying(outputs.map(([satoshis, n]) => ({ satoshis, script: script(n) })))))

  it.each<[string, [number, number][], [number, number][], [boolean, boolean, number]]>([
    ['all of it', [[500, 1]], [[500, 1]], [true, true, 500]],
    [
      'all of it, with change',
      [[500, 1]],
      [
        [9_000, 2],
        [500, 1],
      ],
      [true, true, 500],
    ],
    ['more', [[500, 1]], [[501, 1]], [true, true, 501]],
    ['less', [[500, 1]], [[499, 1]], [false, true, 499]],
    ['nothing of it', [[500, 1]], [[500, 2]], [false, false, 0]],
    [
      'two equal outputs by one',
      [
        [500, 1],
        [500, 1],
      ],
      [[1_000, 1]],
      [false, true, 1_000],
    ],
    [
      'two outputs to one script, in any order',
      [
        [500, 1],
        [100, 1],
      ],
      [
        [100, 1],
        [500, 1],
      ],
      [true, true, 600],
    ],
    [
      'one of two outputs',
      [
        [500, 1],
        [100, 2],
      ],
      [[500, 1]],
      [false, true, 500],
    ],
    [
      'in parts to one script',
      [[500, 1]],
      [
        [250, 1],
        [250, 1],
      ],
      [false, true, 500],
    ],
    [
      'an output of data',
      [
        [500, 1],
        [0, 2],
      ],
      [
        [0, 2],
        [500, 1],
      ],
      [true, true, 500],
    ],
  ])('is %s', (_, of, outputs, [all, any, received]) => {
    expect(pays(asked(...of), ...outputs)).toEqual({ all, any, received })
  })

  it('is due in all', () => expect(dueOf(asked([500, 1], [100, 2]))).toBe(600))
})

describe('a fresh script', () => {
  const root = HD.fromSeed([...Buffer.alloc(32, 7)])
  const receiver = new Receiver(root.toPublic().toString())

  it('is one that the private key can spend, and that a wallet with the xpub finds', () => {
    const { script, address, keyPath } = receiver.at('0/7')
    expect(keyPath).toBe('0/7')
    const key = root.derive('m/0/7').privKey.toPublicKey()
    expect(script).toBe(new P2PKH().lock(key.toHash() as number[]).toHex())
    expect(address).toBe(PublicKey.fromString(key.toString()).toAddress())
    expect(scriptOfAddress(address)).toBe(script)
  })

  it('of a request that nobody keeps follows from its id', () => {
    const id = newInvoiceId()
    const { script, keyPath } = receiver.at(keyPathOf(id, 0))
    expect(receiver.at(keyPathOf(id, 0)).script).toBe(script)
    expect(receiver.at(keyPathOf(id, 1)).script).not.toBe(script)
    expect(new P2PKH().lock(root.derive(`m/${keyPath}`).privKey.toPublicKey().toHash() as number[]).toHex()).toBe(script)
  })

  it('needs an xpub, and never the private key', () => {
    for (const bad of ['', 'xpub', root.toString()])
      expect(() => new Receiver(bad)).toThrow(expect.objectContaining({ code: 'BAD_CONFIG' }))
  })
})

describe('what is asked for', () => {
  const wrong = (code: string, message: RegExp) =>
    expect.objectContaining({ code, message: expect.stringMatching(message) }) as unknown as Error

  it('is an amount, or outputs', () => {
    expect(checkTerms({ amount: 5, memo: 'm', expiresIn: 9, data: 0 }, 'x', 'BAD_ARGUMENT')).toEqual({
      outputs: [{ amount: 5 }],
      memo: 'm',
      expiresIn: 9,
      data: 0,
    })
    expect(checkTerms({ outputs: [{ script: '6a' }] }, 'x', 'BAD_ARGUMENT')).toEqual({ outputs: [{ script: '6a' }] })
  })

  it.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /^x says what is asked for/],
    ['no outputs', {}, /asks for an `amount` in satoshis, or for 1 to 100/],
    ['no output', { outputs: [] }, /1 to 100 `outputs`/],
    ['both', { amount: 5, outputs: [{ amount: 5 }] }, /and not both/],
    ['half a satoshi', { amount: 0.5 }, /x\.amount is a whole number of satoshis, at least 1/],
    ['no amount', { outputs: [{ address: 'a' }] }, /x\.outputs\[0\]\.amount/],
    ['two places', { outputs: [{ amount: 1, script: '51', address: 'a' }] }, /a script, or an address/],
    ['a script that is no hex', { outputs: [{ amount: 1, script: 'OP_TRUE' }] }, /locking script in hex/],
    ['another name', { amount: 1, expires: 5 }, /there is no `expires` in x; there are outputs, amount, memo, expiresIn, data/],
    ['data that JSON cannot hold', { amount: 1, data: 1n }, /x\.data is what JSON can hold/],
    ['too much data', { amount: 1, data: 'x'.repeat(7_000) }, /7\d\d\d characters as JSON, and 6000 fit/],
    ['a time in the past', { amount: 1, expiresIn: -5 }, /expiresIn is a time in ms/],
  ])('is refused with %s', (_, terms, message) => {
    expect(() => checkTerms(terms, 'x', 'BAD_ARGUMENT')).toThrow(wrong('BAD_ARGUMENT', message))
    expect(() => checkTerms(terms, 'x', 'BAD_CONFIG')).toThrow(wrong('BAD_CONFIG', /^the config is wrong: /))
  })

  it('has URIs for old and new wallets', () => {
    const [output] = invoice.outputs
    expect(urisOf('https://a.b/c/d', [{ ...output!, satoshis: 123_456_000 }])).toEqual({
      page: 'https://a.b/c/d',
      pay: 'pay:?r=https%3A%2F%2Fa.b%2Fc%2Fd',
      bip272: 'bitcoin:?sv&r=https%3A%2F%2Fa.b%2Fc%2Fd',
      address: 'bitcoin:12ZEw5Hcv1hTb6YUQJ69y1V7uhcoDz92PH?amount=1.23456',
    })
    expect(urisOf('https://a.b/c/d', invoice.outputs)).not.toHaveProperty('address')
  })
})
