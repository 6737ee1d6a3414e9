import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkPayment } from '../../shared/bip270/payment.ts'
import type { PaymentFields } from '../../shared/ledger/kinds.ts'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { payment, TestMachine } from '../machine/machine.ts'
import { askAt } from './ask.ts'

// What the ledger would give back as something else is refused: otherwise two payments that differ only there would be one.

const { transaction } = payment('exact')

let machine: TestMachine
beforeAll(async () => {
  machine = await TestMachine.start({ mypool: {} })
})
afterAll(() => machine[Symbol.asyncDispose]())

const post = (body: string | Uint8Array, type = 'application/json') => askAt(machine.url, 'POST', '/mypool', body, { 'content-type': type })
const json = (fields: string) => `{"transaction":"${transaction}",${fields}}`

describe('the door refuses', () => {
  it.each([
    ['half of a surrogate pair in the memo', '"memo":"\\ud800"', /"memo" holds half of a surrogate pair/],
    ['another half, which would be the same', '"memo":"\\udbff"', /"memo" holds half of a surrogate pair/],
    ['a byte order mark at the start of the memo', '"memo":"\\ufeffa"', /"memo" holds text that begins with a byte order mark/],
    ['half of a surrogate pair in a key', '"merchantData":{"a":[{"\\ud800":1}]}', /"merchantData" holds half of a surrogate pair/],
    ['half of a surrogate pair in refundTo', '"refundTo":"\\udc00"', /"refundTo" holds half of a surrogate pair/],
    ['a number beyond 2^53', '"merchantData":{"order":9007199254740993}', /"merchantData" holds a number with too many digits/],
    ['a number beyond 2^53 that has no last digits', '"merchantData":9007199254740994', /"merchantData" holds a whole number beyond 2\^53/],
    ['a number with too many digits', '"merchantData":[0.1000000000000000055]', /"merchantData" holds a number with too many digits/],
    ['a number that is infinite here', '"merchantData":[1e400]', /"merchantData" holds a number with too many digits/],
    ['a number that is 0 here', '"refundTo":[{"script":1e-400}]', /"refundTo" holds a number with too many digits/],
    ['a number of ten thousand digits', `"merchantData":[1${'0'.repeat(9_000)}.5]`, /"merchantData" holds a number with too many digits/],
  ])('%s', async (_, fields, memo) => {
    const { status, body } = await post(json(fields))
    expect([status, body]).toEqual([422, { memo: expect.stringMatching(memo), error: 1, code: 'BAD_PAYMENT' }])
  })

  it('a message whose unknown fields are nested too deeply to look for numbers in the others', async () => {
    const { status, body } = await post(json(`"merchantData":[1],"later":${'['.repeat(30_000)}${']'.repeat(30_000)}`))
    expect([status, body.memo]).toEqual([400, 'the message is nested too deeply'])
  })

  it('bytes that are no UTF-8, in JSON and in a form', async () => {
    const broken = Buffer.from(json('"memo":"~"')).map((byte) => (byte === 0x7e ? 0xff : byte))
    const form = `transaction=${transaction}&memo=`
    for (const { status, body } of [
      await post(broken),
      await post(`${form}%ff`, 'application/x-www-form-urlencoded'),
      await post(Buffer.concat([Buffer.from(form), Buffer.of(0xff)]), 'application/x-www-form-urlencoded'),
    ])
      expect([status, body]).toEqual([400, { memo: 'the message is not valid UTF-8', error: 1, code: 'MALFORMED_PAYMENT' }])
  })
})

describe('the door takes and gives back', () => {
  it.each([
    ['numbers in any notation', '"merchantData":[0,-0.0,1.50,15e-1,1E3,9007199254740991,-9007199254740991,0.1,5e-324]'],
    ['whole surrogate pairs, U+FFFD and a byte order mark inside', '"memo":"\\ud83d\\ude00 \ufffd a\\ufeff"'],
    ['an inexact number in a field that is not known here', '"later":[1e400,9007199254740993]'],
  ])('%s', async (_, fields) => {
    const sent = json(fields)
    const { status, body } = await post(sent)
    const { later: _later, ...known } = JSON.parse(sent)
    expect([status, body.payment]).toEqual([200, JSON.parse(JSON.stringify(known))])
  })

  it('U+FFFD in a form, and a percent sign that escapes nothing', async () => {
    const { status, body } = await post(`transaction=${transaction}&memo=%EF%BF%BD+100%`, 'application/x-www-form-urlencoded')
    expect([status, body.payment?.memo]).toEqual([200, '\ufffd 100%'])
  })
})

describe('a program’s payment is refused with', () => {
  class Order {
    number = 7
  }
  it.each<[string, unknown, RegExp]>([
    ['a Date', new Date(0), /class Date/],
    ['a Map', new Map([['a', 1]]), /class Map/],
    ['a Set', new Set([1]), /class Set/],
    ['an object of a class', new Order(), /class Order/],
    ['a string object', new String('a'), /class String/],
    ['NaN', Number.NaN, /the number NaN/],
    ['Infinity', Number.POSITIVE_INFINITY, /the number Infinity/],
    ['a number beyond 2^53', 2 ** 53, /a whole number beyond 2\^53/],
    ['half of a surrogate pair', '\ud800', /half of a surrogate pair/],
  ])('%s', (_, value, message) => {
    for (const merchantData of [value, [value], { deep: { value } }] as PaymentFields['merchantData'][])
      expect(() => checkPayment({ transaction: sampleTransaction('a'), merchantData })).toThrow(message)
  })

  it('an id that is half of a surrogate pair', async () => {
    await expect(machine.call('post', { path: 'mypool', payment: transaction, id: '\ud800' })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
    })
  })
})
