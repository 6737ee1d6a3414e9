import { decode, encode } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OverpoolError } from '../shared/errors.ts'
import { decodeBlock, encodeBlock, entryAt } from '../shared/ledger/block.ts'
import { decodeEntry, encodeAnyEntry, encodeEntry } from '../shared/ledger/entry-codec.ts'
import { idOfPayment } from '../shared/ledger/ids.ts'
import type { EntryId, PaymentFields, TxEntry } from '../shared/ledger/kinds.ts'
import { type Bell, decodeBell, decodeIngress, encodeBell, encodeIngress, type IngressMessage } from '../shared/ledger/messages.ts'
import { encodePlainEntry } from '../shared/ledger/plain-entry.ts'
import { toStorable } from '../shared/ledger/values.ts'

const MAX_SEQ = Number.MAX_SAFE_INTEGER
const HASH = new Uint8Array(32).fill(7)
const ENTRY: TxEntry = {
  kind: 'tx',
  id: '07'.repeat(32) as EntryId,
  at: 1_700_000_000_000,
  tx: new Uint8Array(10),
  payment: {},
  source: 'http',
  hops: 0,
}
/** The same entry, and a block of it, before CBOR. */
const MAP = { id: HASH, at: ENTRY.at, tx: ENTRY.tx, payment: {}, source: 'http' }
const BLOCK = { v: 1, first: 0, entries: [MAP] }

const hexes = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'))
const ids = hexes as fc.Arbitrary<EntryId>
const byteses = fc.uint8Array({ maxLength: 300 })
const text = fc.string({ unit: 'grapheme', maxLength: 300 })
const json = fc.json().map((value): unknown => JSON.parse(value)) // JSON text has no -0
const payments: fc.Arbitrary<PaymentFields> = fc.record(
  { merchantData: fc.oneof(text, json), refundTo: text, memo: text },
  { requiredKeys: [] },
)
const entries: fc.Arbitrary<TxEntry> = fc.record(
  {
    kind: fc.constant('tx'),
    id: ids,
    at: fc.maxSafeNat().map((ms) => ms % 8.64e15), // the latest time that a Date can hold
    tx: byteses,
    payment: payments,
    source: fc.constantFrom('http', 'api', 'handler'),
    cause: fc.record({ key: hexes, seq: fc.maxSafeNat() }),
    hops: fc.nat(),
    invoice: fc.record(
      {
        id: hexes,
        state: fc.constantFrom('paid', 'late'),
        received: fc.maxSafeNat(),
        isShared: fc.constant(true as const),
        copyOf: hexes,
        data: json,
      },
      { requiredKeys: ['id', 'state', 'received'] },
    ),
    unknown: fc.dictionary(
      fc.string({ minLength: 1 }).map((key) => `later ${key}`),
      fc.oneof(json, byteses),
      { minKeys: 1, noNullPrototype: true },
    ),
  },
  { requiredKeys: ['kind', 'id', 'at', 'tx', 'payment', 'source', 'hops'] },
)
const ingressMessages: fc.Arbitrary<IngressMessage> = fc.record({ pool: text, id: ids, txid: hexes, named: fc.boolean(), entry: byteses })
const bells: fc.Arbitrary<Bell> = fc
  .record(
    { pool: text, n: fc.maxSafeNat(), inside: fc.record({ first: fc.maxSafeNat(), count: fc.maxSafeNat(), bytes: byteses }) },
    { requiredKeys: ['pool', 'n'] },
  )
  .map(({ pool, n, inside }) => ({ pool, n, ...(inside && { block: { n, ...inside } }) }))

describe('an entry', () => {
  it('is decoded to what was encoded, also with the keys of a later version', () => {
    fc.assert(
      fc.property(entries, (entry) => {
        expect(decodeEntry(encodeEntry(entry))).toEqual(entry)
      }),
    )
  })

  it('gets the same bytes from both encoders', () => {
    fc.assert(
      fc.property(entries, fc.boolean(), ({ unknown, ...plain }, isPlain) => {
        const entry = isPlain || !unknown ? plain : { ...plain, unknown }
        const isOther = encodePlainEntry(entry, (fields) => encode(toStorable(fields)), encode) === undefined
        expect(isOther, 'only the general one knows later keys').toBe('unknown' in entry)
        expect(Buffer.from(encodeEntry(entry))).toEqual(Buffer.from(encodeAnyEntry(entry)))
      }),
      { numRuns: 2_000 },
    )
    const lengths = [0, 23, 24, 255, 256, 65_535, 65_536]
    for (const length of lengths) {
      const entry = { ...ENTRY, tx: new Uint8Array(length), at: length, hops: length, cause: { key: ENTRY.id, seq: 2 ** 32 - 1 + length } }
      expect(Buffer.from(encodeEntry(entry))).toEqual(Buffer.from(encodeAnyEntry(entry)))
    }
  })

  it('is encoded to the same bytes after it was decoded', () => {
    fc.assert(
      fc.property(entries, (entry) => {
        const bytes = encodeEntry(entry)
        expect(encodeEntry(decodeEntry(bytes))).toEqual(bytes)
        expect(Buffer.from(bytes)).toEqual(Buffer.from(encode(decode(bytes))))
      }),
    )
  })

  it('omits the cause, hops and payment fields that it does not have', () => {
    expect(Object.keys(decode(encodeEntry(ENTRY)) as object).sort()).toEqual(['at', 'id', 'payment', 'source', 'tx'])
    expect(decodeEntry(encodeEntry(ENTRY))).toStrictEqual(ENTRY)
  })

  it.each([
    ['two keys that are halves of surrogate pairs', '{"\\ud800":1,"\\udbff":2}'],
    ['two keys that differ in a byte order mark', '{"\\ufeffa":1,"\\ufeff\\ufeffa":2,"a":3}'],
    ['a key that names the prototype', '{"__proto__":{"polluted":1}}'],
    ['text that is no Unicode', '["\\ud83d","\\ufeff"]'],
    ['numbers of every size', '[0,-0,1e400,-1e400,9007199254740993,18446744073709551616,-18446744073709551617,0.1,5e-324]'],
    ['keys that are numbers', '{"1":2,"0":1,"-1":0}'],
  ])('can be read again when a wallet sends %s', (_, json) => {
    const entry = { ...ENTRY, payment: { merchantData: JSON.parse(json) as unknown } }
    const bytes = encodeEntry(entry)
    expect(encodeEntry(decodeEntry(bytes))).toEqual(bytes)
    expect(decodeBlock(encodeBlock(0, 0, [bytes]).bytes).entries).toHaveLength(1)
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  it('can be decoded, whatever JSON the wallet sent', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), fc.array(fc.integer({ min: 0xd800, max: 0xdfff })), (merchantData, halves) => {
        const memo = String.fromCharCode(...halves)
        const bytes = encodeEntry({ ...ENTRY, payment: { merchantData, memo } })
        expect(encodeEntry(decodeEntry(bytes))).toEqual(bytes)
      }),
    )
  })

  it.each([
    ['nested too deeply', { merchantData: JSON.parse('['.repeat(1_000) + ']'.repeat(1_000)) as unknown }],
    ['a circle', { merchantData: circle() }],
    ['a function', { merchantData: { run: () => {} } }],
    ['a symbol', { refundTo: Symbol('refund') }],
    ['a bigint', { merchantData: [1n] }],
  ] satisfies [string, PaymentFields][])('is refused with a payment that is %s, before an id is made of it', (_, payment) => {
    expect(codeOf(() => encodeEntry({ ...ENTRY, payment }))).toBe('BAD_PAYMENT')
    expect(codeOf(() => idOfPayment('mypool', ENTRY.tx, payment))).toBe('BAD_PAYMENT')
  })
})

describe('a block', () => {
  it('is decoded to what was encoded', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.array(entries, { minLength: 1, maxLength: 30 }), (n, first, list) => {
        const block = encodeBlock(n, first, list.map(encodeEntry))
        expect(block).toMatchObject({ n, first, count: list.length })
        expect(decodeBlock(block.bytes)).toEqual({ first, entries: list })
      }),
    )
  })

  it.each([1, 2, 23, 24, 25, 255, 256, 257, 1_000])(
    'of %i entries, assembled from their bytes, equals the canonical encoding of the whole',
    (count) => {
      const list = Array.from({ length: count }, (_, i) => ({ ...ENTRY, at: i * 12_345_678, hops: i % 3 }))
      for (const first of [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, MAX_SEQ - count]) {
        const { bytes } = encodeBlock(0, first, list.map(encodeEntry))
        const whole = encode({ v: 1, first, entries: list.map((entry) => decode(encodeEntry(entry))) })
        expect(Buffer.compare(bytes, whole)).toBe(0)
        expect(decodeBlock(bytes)).toMatchObject({ first, entries: { length: count } })
      }
    },
  )

  it('of any entries, assembled from their bytes, equals the canonical encoding of the whole', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.array(entries, { minLength: 1, maxLength: 30 }), (first, list) => {
        const parts = list.map(encodeEntry)
        expect(
          Buffer.compare(encodeBlock(0, first, parts).bytes, encode({ v: 1, first, entries: parts.map((part) => decode(part)) })),
        ).toBe(0)
      }),
    )
  })

  it('may have keys of a later version', () => {
    expect(decodeBlock(encode({ ...BLOCK, root: 'later' })).entries).toEqual([ENTRY])
  })

  it('is refused when it is cut off anywhere, and with anything appended', () => {
    const { bytes } = encodeBlock(0, 0, [encodeEntry({ ...ENTRY, payment: { memo: 'a coffee' } }), encodeEntry(ENTRY)])
    for (let length = 0; length < bytes.length; length++) expect(codeOf(() => decodeBlock(bytes.subarray(0, length)))).toBe('BAD_BLOCK')
    for (let byte = 0; byte < 256; byte++) expect(codeOf(() => decodeBlock(Buffer.concat([bytes, Uint8Array.of(byte)])))).toBe('BAD_BLOCK')
  })

  it.each<[string, unknown]>([
    ['no map', [BLOCK]],
    ['null', null],
    ['bytes', new Uint8Array(8)],
    ['without a version', without(BLOCK, 'v')],
    ['of another version', { ...BLOCK, v: 2 }],
    ['without a first number', without(BLOCK, 'first')],
    ['with a negative first number', { ...BLOCK, first: -1 }],
    ['with a broken first number', { ...BLOCK, first: 0.5 }],
    ['with a first number that is text', { ...BLOCK, first: '0' }],
    ['with a first number past 2^53', { ...BLOCK, first: 2n ** 53n }],
    ['with entries past 2^53', { ...BLOCK, first: MAX_SEQ }],
    ['without entries', without(BLOCK, 'entries')],
    ['with a list of no entries', { ...BLOCK, entries: [] }],
    ['with a map of entries', { ...BLOCK, entries: { 0: MAP } }],
    ...malformedEntries().map(([what, entry]): [string, unknown] => [`with ${what}`, { ...BLOCK, entries: [MAP, entry] }]),
  ])('is refused: %s', (_, value) => {
    expect(codeOf(() => decodeBlock(encode(value)))).toBe('BAD_BLOCK')
  })

  it.each(malformedEntries())('refuses, outside of a block, %s', (_, value) => {
    expect(codeOf(() => decodeEntry(encode(value)))).toBe('BAD_BLOCK')
  })

  it.each([
    ['a list of 2^32 entries that are not there', 'a361760165666972737400' + '67656e7472696573' + '9affffffff'],
    ['a list of 2^53 entries that are not there', 'a361760165666972737400' + '67656e7472696573' + '9b001fffffffffffff'],
    ['a map of 2^32 keys that are not there', 'baffffffff'],
    ['bytes of 4 GB that are not there', '5affffffff'],
    ['text of 2^53 bytes that is not there', '7b001fffffffffffff'],
    ['a list without a declared length', 'a361760165666972737400' + '67656e7472696573' + '9fff'],
    ['a map without a declared length', 'bf617601ff'],
    ['a break out of place', 'ff'],
    ['a key twice', 'a2617601617601'],
    ['a key that is no text', 'a10101'],
    [
      'a number that is not in its shortest form',
      `a36176180165666972737400${'67656e747269657381'}${Buffer.from(encodeEntry(ENTRY)).toString('hex')}`,
    ],
    ['a tag', 'c11a00000000'],
    ['lists nested a hundred thousand deep', '81'.repeat(100_000)],
  ])('is refused: %s', (_, hex) => {
    expect(codeOf(() => decodeBlock(Buffer.from(hex, 'hex')))).toBe('BAD_BLOCK')
  })
})

describe('one entry of a block', () => {
  const two = { count: 2, bytes: encodeBlock(0, 0, [encodeEntry({ ...ENTRY, payment: { memo: 'a coffee' } }), encodeEntry(ENTRY)]).bytes }

  it('is the same as in the decoded block, at every place', () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(entries, { minLength: 1, maxLength: 30 }), (first, list) => {
        const block = encodeBlock(0, first, list.map(encodeEntry))
        expect(list.map((_, i) => entryAt(block, i))).toEqual(decodeBlock(block.bytes).entries)
        expect(entryAt(block, list.length)).toBeUndefined()
      }),
    )
  })

  it('is found whatever numbers, texts and lists lie before it', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), fc.double({ noNaN: true }), (merchantData, number) => {
        const odd = encodeEntry({ ...ENTRY, payment: { merchantData: [merchantData, number, null, true] } })
        expect(entryAt(encodeBlock(0, 0, [odd, encodeEntry(ENTRY)]), 1)).toEqual(ENTRY)
      }),
    )
  })

  it('is found in a block with keys of a later version, before its entries and after them', () => {
    expect(entryAt({ count: 1, bytes: encode({ ...BLOCK, root: ['later', { entries: [1] }] }) }, 0)).toEqual(ENTRY)
    expect(entryAt({ count: 1, bytes: encode({ ...BLOCK, afterwards: 'entries' }) }, 0)).toEqual(ENTRY)
  })

  it('is refused, wherever it lies, when the block is cut off anywhere, and with anything appended', () => {
    const { count, bytes } = two
    for (const i of [0, 1, 2]) {
      for (let length = 0; length < bytes.length; length++)
        expect(codeOf(() => entryAt({ count, bytes: bytes.subarray(0, length) }, i))).toBe('BAD_BLOCK')
      for (let byte = 0; byte < 256; byte++)
        expect(codeOf(() => entryAt({ count, bytes: Buffer.concat([bytes, Uint8Array.of(byte)]) }, i))).toBe('BAD_BLOCK')
    }
  })

  it.each(malformedEntries())('is refused: %s', (_, entry) => {
    expect(codeOf(() => entryAt({ count: 2, bytes: encode({ ...BLOCK, entries: [MAP, entry] }) }, 1))).toBe('BAD_BLOCK')
  })

  it.each([
    ['a list of 2^32 entries that are not there', 'a367656e74726965739affffffff'],
    ['a list of 2^53 entries that are not there', 'a367656e74726965739b001fffffffffffff'],
    ['a map of 2^32 keys that are not there', 'baffffffff'],
    ['bytes of 4 GB that are not there', 'a167656e7472696573815affffffff'],
    ['text of 2^64 - 1 bytes that is not there', 'a167656e7472696573817bffffffffffffffff'],
    ['nested lists whose declared lengths exceed the bytes', `a167656e7472696573${'98ff'.repeat(100)}`],
    ['a list without a declared length', 'a167656e74726965739fff'],
    ['a tag', 'a167656e747269657381c100'],
    ['no entries', 'a1617601'],
    ['a number in place of the entries', 'a167656e747269657301'],
    ['a list in place of the map', '81a0'],
    ['nothing', ''],
  ])('is refused in %s', (_, hex) => {
    expect(codeOf(() => entryAt({ count: 1, bytes: Buffer.from(hex, 'hex') }, 0))).toBe('BAD_BLOCK')
  })

  it('does not exist in a block that was passed over', () => {
    expect(entryAt({ count: 0, bytes: Uint8Array.of(1, 2, 3) }, 0)).toBeUndefined()
  })
})

describe('an ingress message', () => {
  it('is decoded to what was encoded', () => {
    fc.assert(
      fc.property(ingressMessages, (message) => {
        expect(decodeIngress(encodeIngress(message))).toEqual(message)
      }),
    )
  })

  it.each([
    ['no list', { pool: 'mypool' }],
    ['empty', []],
    ['without a pool', [1, HASH, HASH, true, HASH]],
    ['with a short id', ['mypool', HASH.subarray(1), HASH, true, HASH]],
    ['with a long txid', ['mypool', HASH, new Uint8Array(33), true, HASH]],
    ['with an id as text', ['mypool', '00'.repeat(32), HASH, true, HASH]],
    ['that does not say whether it is named', ['mypool', HASH, HASH, 1, HASH]],
    ['without an entry', ['mypool', HASH, HASH, true]],
  ])('is refused: %s', (_, value) => {
    expect(codeOf(() => decodeIngress(encode(value)))).toBe('BAD_MESSAGE')
  })

  it('is refused when it is cut off anywhere', () => {
    const bytes = encodeIngress({ pool: 'mypool', id: ENTRY.id, txid: ENTRY.id, named: false, entry: encodeEntry(ENTRY) })
    for (let length = 0; length < bytes.length; length++) expect(codeOf(() => decodeIngress(bytes.subarray(0, length)))).toBe('BAD_MESSAGE')
  })
})

describe('a bell', () => {
  it('is decoded to what was encoded', () => {
    fc.assert(
      fc.property(bells, (bell) => {
        expect(decodeBell(encodeBell(bell))).toEqual(bell)
      }),
    )
  })

  it.each([
    ['no map', ['mypool', 0]],
    ['without a pool', { n: 0 }],
    ['without a block number', { pool: 'mypool' }],
    ['with a negative block number', { pool: 'mypool', n: -1 }],
    ['with a block number that is text', { pool: 'mypool', n: '0' }],
  ])('is refused: %s', (_, value) => {
    expect(codeOf(() => decodeBell(encode(value)))).toBe('BAD_MESSAGE')
  })

  it('is decoded without its block when the block is incomplete', () => {
    const whole = { pool: 'mypool', n: 3, first: 7, count: 1, bytes: HASH }
    expect(decodeBell(encode(whole))).toEqual({ pool: 'mypool', n: 3, block: { n: 3, first: 7, count: 1, bytes: HASH } })
    for (const key of ['first', 'count', 'bytes']) expect(decodeBell(encode(without(whole, key)))).toEqual({ pool: 'mypool', n: 3 })
  })
})

function malformedEntries(): [string, unknown][] {
  return [
    ['an entry that is no map', [HASH]],
    ['an entry that is null', null],
    ['an entry without an id', without(MAP, 'id')],
    ['an entry with a short id', { ...MAP, id: HASH.subarray(1) }],
    ['an entry with an id as text', { ...MAP, id: ENTRY.id }],
    ['an entry without a time', without(MAP, 'at')],
    ['an entry with a broken time', { ...MAP, at: 0.5 }],
    ['an entry of before 1970', { ...MAP, at: -1 }],
    ['an entry without a transaction', without(MAP, 'tx')],
    ['an entry with a transaction as hex', { ...MAP, tx: '01000000000000000000' }],
    ['an entry without a payment', without(MAP, 'payment')],
    ['an entry with a payment as text', { ...MAP, payment: 'coffee' }],
    ['an entry with a payment as bytes', { ...MAP, payment: HASH }],
    ['an entry with a list of payments', { ...MAP, payment: [{}] }],
    ['an entry with a memo that is no text', { ...MAP, payment: { memo: 1 } }],
    ['an entry with a second transaction', { ...MAP, payment: { transaction: '01000000000000000000' } }],
    ['an entry without a source', without(MAP, 'source')],
    ['an entry whose source is no name', { ...MAP, source: '' }],
    ['an entry whose kind is no name', { ...MAP, kind: 5 }],
    ['an entry with a cause that is no list', { ...MAP, cause: HASH }],
    ['an entry with an empty cause', { ...MAP, cause: [] }],
    ['an entry with a cause without a number', { ...MAP, cause: [HASH] }],
    ['an entry with a cause of three', { ...MAP, cause: [HASH, 0, 0] }],
    ['an entry with a cause with a short key', { ...MAP, cause: [HASH.subarray(1), 0] }],
    ['an entry with a cause with a broken number', { ...MAP, cause: [HASH, 0.5] }],
    ['an entry with a cause that is null', { ...MAP, cause: null }],
    ['an entry with negative hops', { ...MAP, hops: -1 }],
    ['an entry with hops that are null', { ...MAP, hops: null }],
  ]
}

function without(map: object, key: string): object {
  return Object.fromEntries(Object.entries(map).filter(([name]) => name !== key))
}

function circle(): unknown[] {
  const list: unknown[] = []
  list.push(list)
  return list
}

/** The code of the OverpoolError that `act` throws; any other error fails the test. */
function codeOf(act: () => unknown): string {
  try {
    act()
    return 'accepted'
  } catch (error) {
    if (error instanceof OverpoolError) return error.code
    throw error
  }
}
