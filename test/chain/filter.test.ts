import { P2PKH, PrivateKey, Transaction, Utils } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import { ByteSet } from '../../shared/chain/byte-set.ts'
import { ChainFilter, type FilterConfig } from '../../shared/chain/filter.ts'
import { dataTransaction, parseTransaction, type ScannedTransaction, transactionFromHex } from '../../shared/transaction/index.ts'
import { randomFrom, seed } from '../random.ts'

const key = new PrivateKey(7)
const address = key.toAddress()
const testAddress = key.toAddress('testnet')
const scriptHash = 'ab'.repeat(20)
const scriptAddress = Utils.toBase58Check(Utils.toArray(scriptHash, 'hex'), [5])
const OUTPOINT = `${'cd'.repeat(32)}:3`

const paysToKey = withOutput(new P2PKH().lock(address).toHex())
const paysToScript = withOutput(`a914${scriptHash}87`)
const spends = withInput(OUTPOINT, `${push('30'.repeat(71))}${push(key.toPublicKey().toString())}`)
const plain = withOutput('51')
const bitcom = '19HxigV4QyBv3tHpQVcUEQyq1pzZVdoAut'

describe('a filter of the chain', () => {
  it.each([
    ['an address in an output', { addresses: [address] }, paysToKey, plain],
    ['the same on a test network', { addresses: [testAddress] }, paysToKey, plain],
    [
      'an address that is pushed in a longer form',
      { addresses: [address] },
      withOutput(`76a94c14${hashOf(address)}88ac`),
      withOutput(`76a94c14${'00'.repeat(20)}88ac`),
    ],
    ['an address whose script has something after it', { addresses: [address] }, paysToKey, withOutput(`76a914${hashOf(address)}88ac51`)],
    ['the address of a script', { addresses: [scriptAddress] }, paysToScript, paysToKey],
    ['an address in an input', { addresses: [address] }, spends, withInput(OUTPOINT, push('30'.repeat(71)))],
    [
      'a public key that is pushed without a signature',
      { addresses: [address] },
      spends,
      withInput(OUTPOINT, push(key.toPublicKey().toString())),
    ],
    ['an output that is spent', { outpoints: [OUTPOINT] }, spends, withInput(OUTPOINT.replace(':3', ':4'), '')],
    ['the same as an object', { outpoints: [{ txid: 'CD'.repeat(32), vout: 3 }] }, spends, plain],
    ['a locking script', { scripts: ['51', 'FFFF'] }, plain, withOutput('5151')],
    ['a prefix', { prefixes: [bitcom] }, data(bitcom, 'text'), data(`${bitcom}x`, 'text')],
    ['a prefix that is not the first push', { prefixes: ['text'] }, data('text'), data(bitcom, 'text')],
    ['a prefix in bytes', { prefixes: ['0x6D02'] }, data(Buffer.of(0x6d, 2)), data('0x6D02')],
    ['a prefix of two pushes', { prefixes: [['app', 'chess']] }, data('app', 'chess', 'e4'), data('app', 'go')],
    ['a prefix of more pushes than there are', { prefixes: [['app', 'chess'], ['app']] }, data('app'), data('chess')],
    ['a prefix after OP_RETURN alone', { prefixes: ['app'] }, withOutput(`6a${push('617070')}`), withOutput(`00${push('617070')}`)],
    ['a prefix that a short opcode pushes', { prefixes: ['0x05'] }, withOutput('006a55'), withOutput('006a56')],
    [
      'a prefix in a later output',
      { prefixes: ['app'] },
      withOutput(`006a${push('00')}`, `006a${push('617070')}`),
      withOutput('006a', '6a'),
    ],
    ['a prefix that is cut', { prefixes: ['app'] }, data('app'), withOutput('006a4c')],
    ['a rule of its own', { match: ({ out }) => out[0]!.e.v === 1 }, plain, data('x')],
    ['any of several', { scripts: ['00'], prefixes: ['app'], addresses: [scriptAddress], outpoints: [OUTPOINT] }, data('app'), plain],
  ] satisfies [string, FilterConfig, ScannedTransaction, ScannedTransaction][])('finds %s', (_, config, wanted, other) => {
    const filter = new ChainFilter(config as FilterConfig)
    expect([filter.matches(wanted), filter.matches(other)]).toEqual([true, false])
  })

  it('that looks for nothing finds nothing', () => {
    for (const transaction of [paysToKey, spends, data('x')]) expect(new ChainFilter({}).matches(transaction)).toBe(false)
  })

  it('sees the addresses that `parsed` shows', () => {
    const transactions = [paysToKey, paysToScript, spends, withOutput(`76a94d1400${hashOf(address)}88ac`), data('x')]
    for (const transaction of transactions) {
      const { in: inputs, out: outputs } = parseTransaction(transaction)
      const shown = [...inputs, ...outputs].map(({ e }) => e.a)
      for (const one of [address, scriptAddress])
        expect(new ChainFilter({ addresses: [one] }).matches(transaction), transaction.txid).toBe(shown.includes(one))
    }
  })

  it('finds what a wallet signed', async () => {
    const source = new Transaction(1, [], [{ lockingScript: new P2PKH().lock(address), satoshis: 1_000 }])
    const payment = new Transaction()
    payment.addInput({ sourceTransaction: source, sourceOutputIndex: 0, unlockingScriptTemplate: new P2PKH().unlock(key) })
    payment.addOutput({ lockingScript: new P2PKH().lock(new PrivateKey(9).toAddress()), satoshis: 900 })
    await payment.sign()
    const scanned = transactionFromHex(payment.toHex())
    expect(new ChainFilter({ addresses: [address] }).matches(scanned)).toBe(true)
    expect(new ChainFilter({ outpoints: [`${source.id('hex')}:0`] }).matches(scanned)).toBe(true)
    expect(new ChainFilter({ addresses: [new PrivateKey(8).toAddress()] }).matches(scanned)).toBe(false)
  })

  it('looks for more while it runs: all of it, or nothing', () => {
    const filter = new ChainFilter({ scripts: ['00'] })
    expect(filter.matches(paysToKey)).toBe(false)
    expect(() => filter.add({ addresses: [address], scripts: ['x'] })).toThrow(
      expect.objectContaining({ code: 'BAD_ARGUMENT', message: 'watch.scripts[0] is no script in hex' }),
    )
    expect(filter.matches(paysToKey)).toBe(false)
    filter.add({ addresses: [address], outpoints: [OUTPOINT], scripts: ['51'] })
    for (const transaction of [paysToKey, spends, plain]) expect(filter.matches(transaction)).toBe(true)
    expect(() => filter.add({ prefixes: ['app'] } as never)).toThrow('watch.prefixes is no setting')
  })

  it('asks its own rule only about what nothing else matches', () => {
    const asked: string[] = []
    const filter = new ChainFilter({ scripts: ['51'], match: ({ tx }) => asked.push(tx.h) > 5 })
    expect([filter.matches(plain), filter.matches(paysToKey)]).toEqual([true, false])
    expect(asked).toEqual([paysToKey.txid])
    const later = new ChainFilter({ match: (async () => false) as never })
    expect(() => later.matches(plain)).toThrow(expect.objectContaining({ code: 'BAD_CONFIG' }))
  })

  it.each([
    ['no object', 5, 'filter is an object with some of'],
    ['a setting that there is not', { prefix: ['x'] }, 'filter.prefix is no setting; there are addresses, scripts'],
    ['no list', { scripts: '51' }, 'filter.scripts is a list'],
    ['an empty prefix', { prefixes: ['app', ''] }, 'filter.prefixes[1] is a text, 0x and hex digits, or a list of such'],
    ['a prefix without a push', { prefixes: [[]] }, 'filter.prefixes[0] is an empty list'],
    ['a prefix that is no text', { prefixes: [['app', 5]] }, 'filter.prefixes[0] is a text'],
    ['half a byte', { scripts: ['510'] }, 'filter.scripts[0] is no script in hex'],
    ['an address that is no text', { addresses: [null] }, 'filter.addresses[0] is no text'],
    ['a wrong digit', { addresses: [address, address.replace(/.$/, '0')] }, 'filter.addresses[1] is no address'],
    ['a wrong checksum', { addresses: [swapped(address)] }, 'filter.addresses[0] is no address: the checksum of'],
    ['an address with a digit too many', { addresses: [`1${address}`] }, 'filter.addresses[0] is no address'],
    [
      'another coin',
      { addresses: [Utils.toBase58Check(Utils.toArray(scriptHash, 'hex'), [30])] },
      'is an address of another coin: the version of',
    ],
    ['a private key', { addresses: [key.toWif()] }, 'filter.addresses[0] is no address'],
    ['an outpoint without an output', { outpoints: ['cd'.repeat(32)] }, 'filter.outpoints[0] is no output'],
    ['an output beyond 2^32', { outpoints: [{ txid: 'cd'.repeat(32), vout: 2 ** 32 }] }, 'filter.outpoints[0] is no output'],
    ['an outpoint that is nothing', { outpoints: [null] }, 'filter.outpoints[0] is no output'],
    ['a rule that is no function', { match: true }, 'filter.match is a function'],
  ])('is refused with %s', (_, config, message) => {
    expect(() => new ChainFilter(config as never)).toThrow(
      expect.objectContaining({ code: 'BAD_CONFIG', message: expect.stringContaining(message) }),
    )
  })
})

describe('a set of bytes', () => {
  it(`has what was added, and nothing else (seed ${seed})`, () => {
    const random = randomFrom(seed)
    const bytes = () => Buffer.from(Array.from({ length: Math.floor(random() * 4) }, () => Math.floor(random() * 16)))
    const [set, model] = [new ByteSet(), new Set<string>()]
    for (let i = 0; i < 3_000; i++) {
      const some = bytes()
      if (random() < 0.3) {
        set.add(some)
        model.add(some.toString('hex'))
      }
      const other = bytes()
      const around = Buffer.concat([Buffer.of(9), other, Buffer.of(9)])
      expect(set.has(around, 1, 1 + other.length)).toBe(model.has(other.toString('hex')))
      expect(set.size).toBe(model.size)
    }
  })
})

function withOutput(...scripts: string[]): ScannedTransaction {
  const outputs = scripts.map((script) => `0100000000000000${lengthOf(script)}${script}`)
  return transactionFromHex(`0100000000${byte(outputs.length)}${outputs.join('')}00000000`)
}

function withInput(outpoint: string, script: string): ScannedTransaction {
  const [txid, vout] = outpoint.split(':')
  const spent = Buffer.concat([Buffer.from(txid!, 'hex').reverse(), Buffer.of(Number(vout), 0, 0, 0)]).toString('hex')
  return transactionFromHex(`0100000001${spent}${lengthOf(script)}${script}ffffffff0000000000`)
}

function data(...parts: (string | Uint8Array)[]): ScannedTransaction {
  return transactionFromHex(dataTransaction(...parts))
}

function push(hex: string): string {
  return lengthOf(hex) + hex
}

function lengthOf(hex: string): string {
  return byte(hex.length / 2)
}

function byte(value: number): string {
  return value.toString(16).padStart(2, '0')
}

function hashOf(some: string): string {
  return Utils.toHex(Utils.fromBase58Check(some).data as number[])
}

/** The same with two digits swapped. */
function swapped(text: string): string {
  return text.slice(0, 10) + text[11] + text[10] + text.slice(12)
}
