import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { extendedFormat, formatOf, scanTransaction } from '../../shared/transaction/index.ts'

const field = (name: string) => Buffer.from(readFileSync(new URL(`../data/field/${name}`, import.meta.url), 'utf8').trim(), 'hex')
const script = Buffer.from('76a914fc7250a211deddc70ee5a2738de5f07817351cef88ac', 'hex')

describe('the extended format', () => {
  it('is what @bsv/sdk makes of the same transaction', () => {
    const extended = extendedFormat(field('06-sdk-raw.hex'), [{ satoshis: 100_001n, script }])
    expect(Buffer.from(extended).toString('hex')).toBe(field('06-sdk-ef.hex').toString('hex'))
    expect(formatOf(extended)).toBe('the extended format (BRC-30)')
  })

  it('is the one of the conformance vectors', () => {
    const vector = field('ef-tx-004.hex')
    // The vector without its marker and without the 8 + 1 + 25 bytes behind its only input is the raw transaction.
    const inputEnd = 10 + 1 + 36 + 1 + 106 + 4
    const raw = Buffer.concat([vector.subarray(0, 4), vector.subarray(10, inputEnd), vector.subarray(inputEnd + 34)])
    expect(scanTransaction(raw).txid).toBe('157428aee67d11123203735e4c540fa1bdab3b36d5882c6f8c5ff79f07d20d1c')
    const spent = { satoshis: vector.readBigUInt64LE(inputEnd), script: vector.subarray(inputEnd + 9, inputEnd + 34) }
    expect(extendedFormat(raw, [spent])).toEqual(vector)
  })

  it('reads a transaction that is a part of a longer buffer', () => {
    const raw = field('06-sdk-raw.hex')
    const part = Buffer.concat([Buffer.alloc(7), raw, Buffer.alloc(3)]).subarray(7, 7 + raw.length)
    expect(extendedFormat(part, [{ satoshis: 100_001n, script }])).toEqual(field('06-sdk-ef.hex'))
  })

  it('needs one spent output for each input', () => {
    expect(() => extendedFormat(field('06-sdk-raw.hex'), [])).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
    expect(() => extendedFormat(field('06-sdk-raw.hex').subarray(1), [])).toThrow(expect.objectContaining({ code: 'BAD_TRANSACTION' }))
  })
})
