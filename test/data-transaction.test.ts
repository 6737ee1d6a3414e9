import { Script, Transaction } from '@bsv/sdk'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dataTransaction } from '../index.ts'
import { dataOf, transactionFromHex } from '../shared/transaction/index.ts'

const dataIn = (hex: string) => dataOf(transactionFromHex(hex))
const textsIn = (hex: string) => dataIn(hex).map(({ text }) => text)

/** A transaction with outputs of these scripts, as the SDK writes it. */
const withScripts = (...scripts: string[]) =>
  new Transaction(
    1,
    [],
    scripts.map((asm) => ({ lockingScript: Script.fromASM(asm) as never, satoshis: 0 })),
  ).toHex()

describe('a data transaction', () => {
  it('gives back what was put into it', () => {
    const parts = fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.uint8Array()), { maxLength: 20 })
    fc.assert(
      fc.property(parts, (parts) => {
        const read = dataIn(dataTransaction(...parts))
        expect(read.map(({ bytes }) => bytes)).toEqual(parts.map((part) => Buffer.from(part as string)))
        expect(read.map(({ text }) => text)).toEqual(parts.map((part) => Buffer.from(part as string).toString()))
      }),
    )
  })

  it.each([0, 1, 75, 76, 255, 256, 65_535, 65_536, 300_000])('of %i bytes has the script that the SDK reads', (size) => {
    const bytes = new Uint8Array(size).fill(7)
    const hex = dataTransaction(bytes, 'end')
    const { inputs, outputs } = Transaction.fromHex(hex)
    expect([inputs.length, outputs.length]).toEqual([0, 1])
    const { chunks } = Script.fromHex(outputs[0]!.lockingScript.toHex())
    expect(Transaction.fromHex(hex).toHex()).toBe(hex)
    expect(chunks[0]!.op).toBe(0)
    expect(dataIn(hex).map(({ bytes }) => bytes.length)).toEqual([size, 3])
  })

  it('is refused with parts that are no text and no bytes', () => {
    for (const part of [7, null, undefined, {}, ['a']])
      expect(() => dataTransaction(part as never)).toThrow(/each part of a data transaction/)
  })
})

describe('data', () => {
  it('is that of the first data output, with OP_FALSE before it or without', () => {
    const [a, b] = [Buffer.from('app').toString('hex'), Buffer.from('move').toString('hex')]
    expect(textsIn(withScripts('OP_DUP', `OP_FALSE OP_RETURN ${a} ${b}`, `OP_RETURN ${b}`))).toEqual(['app', 'move'])
    expect(textsIn(withScripts(`OP_RETURN ${b}`, `OP_FALSE OP_RETURN ${a}`))).toEqual(['move'])
    expect(textsIn(withScripts('OP_DUP OP_RETURN 6161'))).toEqual([])
    expect(textsIn('01000000000000000000')).toEqual([])
  })

  it('has numbers that are opcodes, and ends before an opcode that pushes nothing', () => {
    const hex = withScripts('OP_FALSE OP_RETURN OP_0 OP_1 OP_16 OP_1NEGATE 7c OP_DUP 6161')
    expect(dataIn(hex).map(({ bytes }) => bytes.toString('hex'))).toEqual(['', '01', '10', '81', '7c'])
  })

  it('is bounded', () => {
    const pushes = 200_000
    const script = `006a${'51'.repeat(pushes)}`
    const length = Buffer.alloc(4)
    length.writeUInt32LE(script.length / 2)
    const hex = `01000000 00 01 0000000000000000 fe${length.toString('hex')} ${script} 00000000`.replaceAll(' ', '')
    expect(dataIn(hex)).toHaveLength(100_000)
  })
})
