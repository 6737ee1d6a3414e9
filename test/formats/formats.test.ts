import { Beef, MerklePath, P2PKH, PrivateKey, Transaction } from '@bsv/sdk'
import { describe, expect, it } from 'vitest'
import { readTransaction } from '../../shared/chain/any-format.ts'
import { scanBeef } from '../../shared/chain/beef.ts'
import { scanBump } from '../../shared/chain/merkle.ts'
import { asDigest } from '../../shared/transaction/digest.ts'
import { extendedFormat, readSpent, scanExtended, scanTransaction } from '../../shared/transaction/index.ts'
import { BRC74 } from '../chain/proofs.ts'
import { ATOMIC, atomic, beef, bumpOf, field, type Member, spending, threeSteps, txidOf, V1, V2 } from './made.ts'

const { mined, parent, subject, bump, members } = threeSteps()
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const bad = (message: string | RegExp) =>
  expect.objectContaining({ code: 'BAD_TRANSACTION', message: expect.stringMatching(message) }) as unknown as Error

describe('the extended format', () => {
  it.each(['06-sdk-ef.hex', 'ef-tx-004.hex'])('of %s gives the raw transaction and the outputs that it spends', (name) => {
    const bytes = field(name)
    const { scanned, spent } = scanExtended(bytes)
    const theirs = Transaction.fromHexEF(hexOf(bytes))
    expect(hexOf(scanned.bytes)).toBe(theirs.toHex())
    expect(scanned.txid).toBe(theirs.id('hex'))
    const outputs = readSpent(spent)
    expect(outputs.map(({ satoshis }) => Number(satoshis))).toEqual(
      theirs.inputs.map(({ sourceTransaction, sourceOutputIndex }) => sourceTransaction!.outputs[sourceOutputIndex]!.satoshis),
    )
    expect(hexOf(extendedFormat(scanned.bytes, outputs))).toBe(hexOf(bytes))
  })

  it('has the txid of the conformance vector', () => {
    expect(readTransaction(field('ef-tx-004.hex')).scanned.txid).toBe('157428aee67d11123203735e4c540fa1bdab3b36d5882c6f8c5ff79f07d20d1c')
  })

  it('is refused where it is cut, where bytes follow, and where its numbers are wrong', () => {
    const bytes = field('06-sdk-ef.hex')
    for (let length = 0; length < bytes.length; length++)
      expect(() => scanExtended(bytes.subarray(0, length))).toThrow(bad(/extended format/))
    expect(() => scanExtended(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(bad('1 more bytes follow'))
    expect(() => scanExtended(changed(bytes, 10, 'fd0100'))).toThrow(bad('not in its shortest form'))
    expect(() => scanExtended(changed(bytes, 10, 'fe00ffff00'))).toThrow(bad('cannot fit'))
    const satoshis = bytes.indexOf(Buffer.from('a186010000000000', 'hex'))
    expect(() => scanExtended(changed(bytes, satoshis, 'ffffffffffffff7f', 8))).toThrow(bad('more than 21,000,000 bitcoins'))
    expect(() => scanExtended(field('06-sdk-raw.hex'))).toThrow(bad('the mark 0000000000ef does not follow'))
  })
})

describe('BEEF', () => {
  it.each([
    ['beef-v1-tx-003.hex', '157428ae'],
    ['beef-v1-go-sdk-168.hex', '40a613ba'],
    ['06-sdk-beef.hex', ''],
    ['06-sdk-atomic.hex', ''],
  ])('of %s is read as @bsv/sdk reads it', (name, begin) => {
    const bytes = field(name)
    const read = scanBeef(bytes)
    const theirs = hexOf(bytes).startsWith(ATOMIC) ? Transaction.fromAtomicBEEF([...bytes]) : Transaction.fromBEEF([...bytes])
    expect(read.subject.txid).toBe(theirs.id('hex'))
    expect(hexOf(read.subject.bytes)).toBe(theirs.toHex())
    expect(read.subject.txid.startsWith(begin)).toBe(true)
    expectAncestorsOf(read, Beef.fromBinary([...bytes]))
  })

  it('is read in each version, whoever has written it', async () => {
    const [one, two, three] = await threeOfSdk()
    const all = Beef.fromBinary(three.toBEEF())
    const kinds = [three.toBEEF(), all.toBinary(), three.toAtomicBEEF(), all.toBinaryAtomic(three.id('hex'))]
    for (const bytes of kinds) {
      const read = scanBeef(Uint8Array.from(bytes))
      expect([read.subject.txid, read.along.map(({ txid }) => txid)]).toEqual([three.id('hex'), [one.id('hex'), two.id('hex')]])
      expectAncestorsOf(read, all)
    }
  })

  it.each([V1, V2])('%s: gives ancestors once, parents first, with proofs of them alone', (mark) => {
    const read = scanBeef(beef(mark, [bump], members))
    expect([read.subject.txid, read.along.map(({ txid }) => txid)]).toEqual([txidOf(subject), [txidOf(mined), txidOf(parent)]])
    const { proof } = read.along[0]!
    expect(MerklePath.fromBinary([...proof!.bump]).computeRoot(txidOf(mined))).toBe(proof!.root)
    expect(read.along[1]!.proof).toBeUndefined()
  })

  it.each([V1, V2])('%s: is read in any order, as @bsv/sdk 2.1.0 writes a child before its parent', (mark) => {
    const [first, second, third] = members as [Member, Member, Member]
    for (const all of [
      [third, second, first],
      [second, third, first],
      [third, first, second],
    ]) {
      const read = scanBeef(beef(mark, [bump], all))
      expect([read.subject.txid, read.along.map(({ txid }) => txid)]).toEqual([txidOf(subject), [txidOf(mined), txidOf(parent)]])
    }
  })

  it('leaves out what has nothing to do with its subject', () => {
    const stranger = spending([], 'stranger')
    const all = [{ tx: stranger }, ...members, { tx: spending([subject], 'later') }]
    const read = scanBeef(atomic(subject, beef(V1, [bump], all)))
    expect([read.subject.txid, read.along.length]).toEqual([txidOf(subject), 2])
    expect(scanBeef(beef(V1, [bump], [...members, { tx: stranger }])).along).toEqual([])
  })

  it('keeps the proof of the subject, too', () => {
    const { along } = scanBeef(beef(V1, [bump], [{ tx: mined, proof: 0 }]))
    const [{ txid, tx, proof }] = along as [(typeof along)[0]]
    expect([along.length, txid, hexOf(tx!), proof?.root]).toEqual([1, txidOf(mined), hexOf(mined), scanBump(bump).root(txidOf(mined))])
    expect(hexOf(proof!.bump)).toBe(hexOf(bump))
  })

  it('V2 may give ancestors by their ids alone, the subject not', () => {
    const [first, ...others] = members as [Member, ...Member[]]
    const read = scanBeef(beef(V2, [], [{ tx: first.tx, id: true }, ...others]))
    expect(read.along.map(({ txid }) => txid)).toEqual([txidOf(parent)])
    const byId = beef(V2, [], [{ tx: parent, id: true }])
    expect(() => scanBeef(byId)).toThrow(bad('of its subject only the id is given'))
    expect(() => scanBeef(atomic(parent, byId))).toThrow(bad('of its subject only the id is given'))
  })

  it.each([
    ['a transaction twice', beef(V1, [], [{ tx: parent }, { tx: parent }]), 'a transaction is in it twice'],
    ['a subject that is not in it', atomic(subject, beef(V1, [], [{ tx: parent }])), 'its subject is not in it'],
    ['no transaction', beef(V1, [bump], []), 'there is no transaction in it'],
    ['a proof that is not there', beef(V1, [bump], [{ tx: mined, proof: 1 }]), 'the proof 1 of 1, counted from 0'],
    ['the same in V2', beef(V2, [bump], [{ tx: mined, proof: 1 }]), 'the proof 1 of 1, counted from 0'],
    ['a proof of another transaction', beef(V2, [bump], [{ tx: parent, proof: 0 }]), 'the proof 0 holds nothing of the transaction'],
    [
      'a proof that is wrong in itself',
      beef(V1, [changed(bump, bump.length - 34, '00', 1)], [{ tx: mined }]),
      'the proof 0 (BUMP): bad Merkle proof',
    ],
    ['a mark of a proof that is neither 0 nor 1', changed(beef(V1, [], [{ tx: parent }]), -1, '02', 1), 'the mark 2 of a proof'],
    ['a format that does not exist', changed(beef(V2, [], [{ tx: parent }]), 6, '03', 1), 'the format 3 of a transaction'],
    ['AtomicBEEF inside of AtomicBEEF', atomic(subject, atomic(subject, beef(V1, [bump], members))), 'neither the mark of BEEF'],
    ['a number that is not in its shortest form', changed(beef(V1, [], members), 5, 'fd0300', 1), 'not in its shortest form'],
  ])('with %s is refused', (_, bytes, message) => {
    expect(() => scanBeef(bytes)).toThrow(bad(escaped(message)))
  })

  it.each([
    ['BEEF (BRC-62)', beef(V1, [bump], members)],
    ['BEEF V2 (BRC-96)', beef(V2, [bump], members)],
    ['AtomicBEEF (BRC-95)', atomic(subject, beef(V2, [bump], members))],
    ['AtomicBEEF (BRC-95)', field('06-sdk-atomic.hex')],
    ['BEEF (BRC-62)', field('beef-v1-tx-003.hex')],
  ])('%s is refused where it is cut, and where bytes follow', (name, bytes) => {
    for (let length = 4; length < bytes.length; length++)
      expect(() => scanBeef(bytes.subarray(0, length)), `${length}`).toThrow(bad(escaped(name)))
    expect(() => scanBeef(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(bad('1 more bytes follow'))
  })
})

describe('a proof of several transactions', () => {
  it('gives one for each of them alone', () => {
    const whole = scanBump(BRC74)
    for (const txid of whole.txids) {
      const alone = whole.bumpOf(txid)
      const read = scanBump(alone)
      expect([read.txids, read.root(txid), read.index(txid), read.blockHeight]).toEqual([
        [txid],
        whole.root(txid),
        whole.index(txid),
        813_706,
      ])
      expect(MerklePath.fromBinary([...alone]).computeRoot(txid)).toBe(whole.root(txid))
      expect(read.bumpOf(txid)).toEqual(alone)
    }
    expect(whole.has(asDigest(Buffer.alloc(32)))).toBe(false)
  })

  it.each([0, 1, 2, 3, 4, 5, 8])('and so for a block of one transaction and %d others', (others) => {
    expect(scanBump(bumpOf(mined, others)).bumpOf(txidOf(mined))).toEqual(bumpOf(mined, others))
  })
})

describe('any format', () => {
  const FILES = ['06-sdk-raw.hex', '06-sdk-ef.hex', '06-sdk-beef.hex', '06-sdk-atomic.hex']

  it.each(FILES)('%s is told by its mark, as hex, in base64 and as bytes', (name) => {
    const bytes = field(name)
    const { txid } = scanTransaction(field('06-sdk-raw.hex'))
    const texts = [hexOf(bytes), hexOf(bytes).toUpperCase(), bytes.toString('base64'), bytes.toString('base64url')]
    for (const sent of [...texts, bytes]) {
      const read = readTransaction(sent)
      expect(hexOf(read.scanned.bytes)).toBe(hexOf(field('06-sdk-raw.hex')))
      expect([read.scanned.txid, read.along === undefined]).toEqual([txid, name === '06-sdk-raw.hex'])
    }
  })

  it('is a raw transaction where it is one, however it begins', () => {
    for (const start of [V1, V2, ATOMIC]) {
      const raw = changed(spending([], 'an odd version'), 0, start, 4)
      expect(readTransaction(raw).scanned.bytes).toBe(raw)
    }
  })

  it.each([
    ['segwit', field('06-segwit.hex'), /segwit format of BTC/],
    ['PSBT', Buffer.concat([Buffer.from('psbt'), Buffer.of(0xff, 1, 0, 0, 0), Buffer.alloc(40)]), /PSBT/],
    ['the id of a transaction', Buffer.alloc(32, 0xab), /the id of a transaction/],
  ])('%s is refused by its name, with what to send', (_, bytes, names) => {
    for (const sent of [hexOf(bytes), bytes]) {
      expect(() => readTransaction(sent)).toThrow(bad(names))
      expect(() => readTransaction(sent)).toThrow(bad(/send the raw transaction in hex/))
    }
  })

  it('in base64 that is cut, or has something else in it, is refused', () => {
    const text = field('06-sdk-raw.hex').toString('base64')
    for (const wrong of [`${text.slice(0, 100)} ${text.slice(100)}`, `${text.slice(0, 101)}`, text.replace(/.$/, '!')])
      expect(() => readTransaction(wrong)).toThrow(bad(/in base64|bad transaction/))
  })
})

describe('a bomb', () => {
  const many = (mark: string, count: string) => Buffer.concat([Buffer.from(`${mark}${count}`, 'hex'), Buffer.alloc(60_000)])
  it.each([
    ['extended inputs', many('010000000000000000ef', 'feffffff00')],
    ['an extended script', many('010000000000000000ef', `01${'00'.repeat(36)}feffffff7f`)],
    ['proofs', many(V1, 'feffffff00')],
    ['levels of a proof', many(V1, '010740ff')],
    ['leaves of a proof', many(V1, '010702feffffff00')],
    ['transactions', many(V1, '00feffffff00')],
    ['transactions that would fit', many(V1, '00fda00f')],
    ['inputs of a transaction', many(V2, '000100' + '01000000' + 'feffffff00')],
    ['the number of a proof', many(V2, `000101ffffffffffffffff7f`)],
    ['an atomic one in an atomic one', many(ATOMIC, '01010101'.repeat(1_000))],
  ])('of %s is refused before anything is made of it', (_, bytes) => {
    const before = process.memoryUsage().arrayBuffers
    expect(() => readTransaction(bytes)).toThrow(bad(/./))
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000)
  })
})

/** What was read has the bytes and the proofs that @bsv/sdk finds. */
function expectAncestorsOf({ along }: ReturnType<typeof scanBeef>, theirs: Beef): void {
  expect(along.length).toBeGreaterThan(0)
  for (const { txid, tx, proof } of along) {
    const { rawTx, tx: parsed, bumpIndex } = theirs.findTxid(txid)!
    expect(hexOf(tx!)).toBe(parsed?.toHex() ?? hexOf(Uint8Array.from(rawTx!)))
    expect(proof?.root).toBe(bumpIndex === undefined ? undefined : theirs.bumps[bumpIndex]!.computeRoot(txid))
  }
}

/** Three signed transactions of @bsv/sdk, each of which spends the one before; the first is in a block. */
async function threeOfSdk(): Promise<[Transaction, Transaction, Transaction]> {
  const key = PrivateKey.fromHex('11'.repeat(32))
  const lock = new P2PKH().lock(key.toAddress())
  const first = new Transaction(1, [], [{ satoshis: 1_000, lockingScript: lock }])
  first.merklePath = MerklePath.fromBinary([...bumpOf(Buffer.from(first.toBinary()), 20)])
  const chain = [first]
  for (const satoshis of [900, 800]) {
    const next = new Transaction(1, [], [{ satoshis, lockingScript: lock }])
    next.addInput({ sourceTransaction: chain.at(-1)!, sourceOutputIndex: 0, unlockingScriptTemplate: new P2PKH().unlock(key) })
    await next.sign()
    chain.push(next)
  }
  return chain as [Transaction, Transaction, Transaction]
}

/** These bytes with others in place of `length` of them; a negative place counts from the end. */
function changed(bytes: Buffer, at: number, hex: string, length = 1): Buffer {
  const from = at < 0 ? bytes.length + at : at
  return Buffer.concat([bytes.subarray(0, from), Buffer.from(hex, 'hex'), bytes.subarray(from + length)])
}

function escaped(text: string): RegExp {
  return new RegExp(text.replace(/[()]/g, '\\$&'))
}
