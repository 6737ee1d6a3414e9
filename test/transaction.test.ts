import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Transaction, Utils } from '@bsv/sdk'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OverpoolError } from '../shared/errors.ts'
import { type Cell, type Parsed, parseTransaction, scanTransaction, transactionFromHex } from '../shared/transaction/index.ts'

const REAL: { txid: string; inputs: number; outputs: number; hex: string }[] = read('transactions.json')
const PARSED: { about: string; txid: string; hex: string; parsed: Parsed }[] = read('parsed.json')
const EVERY_HEX = [...new Set([...REAL, ...PARSED].map(({ hex }) => hex))]

describe('scanTransaction', () => {
  it.each(REAL)('gives the right txid, inputs and outputs of $txid', ({ txid, inputs, outputs, hex }) => {
    const scanned = transactionFromHex(hex)
    expect(scanned.txid).toBe(txid)
    expect([...scanned.readInputs()]).toHaveLength(inputs)
    expect([...scanned.readOutputs()]).toHaveLength(outputs)
    expect(bytesOf(shapeOf(scanned.bytes))).toEqual(scanned.bytes)
  })

  it('refuses a transaction that is cut off anywhere', () => {
    for (const hex of EVERY_HEX) {
      const bytes = Buffer.from(hex, 'hex')
      const step = bytes.length < 5_000 ? 1 : 97
      for (let length = 0; length < bytes.length; length += step)
        expect(verdict(bytes.subarray(0, length)), `${length} bytes of ${hex}`).toBe('BAD_TRANSACTION')
    }
  })

  it('refuses anything appended to a transaction', () => {
    for (const hex of EVERY_HEX) {
      for (const more of ['00', '01', 'ff', '00000000', hex]) expect(verdict(Buffer.from(hex + more, 'hex'))).toBe('BAD_TRANSACTION')
    }
    fc.assert(
      fc.property(
        shapes,
        fc.uint8Array({ minLength: 1, maxLength: 100 }),
        (shape, more) => verdict(Buffer.concat([bytesOf(shape), more])) === 'BAD_TRANSACTION',
      ),
    )
  })

  it('reads only its own bytes, wherever they lie in a buffer', () => {
    const { hex, txid, inputs } = REAL[0]!
    const bytes = Buffer.from(`ff${hex}ff`, 'hex').subarray(1, -1)
    const scanned = scanTransaction(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length))
    const [first, ...more] = scanned.readInputs()
    expect([scanned.txid, 1 + more.length]).toEqual([txid, inputs])
    expect(first!.script.buffer).toBe(bytes.buffer)
  })

  const PLACES = ['inputs', 'input script', 'outputs', 'output script'] as const
  describe.each(PLACES)('the number at %s', (place) => {
    it('is accepted in its shortest form', () => {
      expect(verdict(withNumber(place, 1, varint(1)))).toBe('accepted')
      expect(verdict(withNumber(place, 252, varint(252)))).toBe('accepted')
      expect(verdict(withNumber(place, 253, varint(253)))).toBe('accepted')
      expect(verdict(withNumber(place, 0xffff, varint(0xffff)))).toBe('accepted')
      expect(verdict(withNumber(place, 0x10000, varint(0x10000)))).toBe('accepted')
    })

    it.each([
      { width: 2, values: [0, 1, 252] },
      { width: 4, values: [0, 1, 252, 253, 0xffff] },
      { width: 8, values: [0, 1, 252, 253, 0xffff, 0x10000] },
    ] as const)('is refused in $width bytes when fewer would do', ({ width, values }) => {
      for (const value of values) expect(verdict(withNumber(place, value, wide(value, width)))).toBe('BAD_TRANSACTION')
    })

    it('is refused when fewer bytes follow than it declares, and allocates no memory for them', () => {
      const before = process.memoryUsage()
      for (const value of [2, 3, 252, 253, 0xffff, 0xffff_ffff, 2 ** 32, 2 ** 53 - 1])
        expect(verdict(withNumber(place, 1, varint(value)))).toBe('BAD_TRANSACTION')
      expect(verdict(withNumber(place, 1, Buffer.from('ffffffffffffffffff', 'hex')))).toBe('BAD_TRANSACTION')
      expect(verdict(withNumber(place, 1, Buffer.from('ff0000000000000080', 'hex')))).toBe('BAD_TRANSACTION')
      const after = process.memoryUsage()
      expect(after.heapUsed + after.arrayBuffers).toBeLessThan(before.heapUsed + before.arrayBuffers + 16 * 1024 * 1024)
    })
  })

  it('refuses the nine bytes that make other parsers allocate until they die', () => {
    expect(verdict(Buffer.from('01000000feffffffff', 'hex'))).toBe('BAD_TRANSACTION')
    expect(verdict(Buffer.from('0100000000feffffffff', 'hex'))).toBe('BAD_TRANSACTION')
  })

  it('accepts an output of all 21 million bitcoins, and refuses one satoshi more', () => {
    const withSatoshis = (satoshis: bigint) => bytesOf({ ...EMPTY, outputs: [{ satoshis, script: new Uint8Array() }] })
    expect([...scanTransaction(withSatoshis(2_100_000_000_000_000n)).readOutputs()][0]!.satoshis).toBe(2_100_000_000_000_000n)
    for (const satoshis of [2_100_000_000_000_001n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n])
      expect(verdict(withSatoshis(satoshis))).toBe('BAD_TRANSACTION')
  })

  it('accepts unsigned transactions, and transactions without inputs or outputs', () => {
    const input = { txid: new Uint8Array(32), vout: 0, script: new Uint8Array(), sequence: 0 }
    const output = { satoshis: 1n, script: new Uint8Array() }
    expect(verdict(bytesOf(EMPTY))).toBe('accepted')
    expect(verdict(bytesOf({ ...EMPTY, inputs: [input] }))).toBe('accepted')
    expect(verdict(bytesOf({ ...EMPTY, outputs: [output] }))).toBe('accepted')
    expect([...scanTransaction(bytesOf({ ...EMPTY, inputs: [input], outputs: [output] })).readInputs()][0]!.script).toHaveLength(0)
  })

  it('reads every transaction as @bsv/sdk does', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const bytes = bytesOf(shape)
        const scanned = scanTransaction(bytes)
        const theirs = Transaction.fromBinary(bytes)
        expect(scanned.txid).toBe(theirs.id('hex'))
        expect([scanned.version, scanned.lockTime]).toEqual([theirs.version, theirs.lockTime])
        expect([...scanned.readInputs()].map(({ script, ...rest }) => ({ ...rest, script: hexOf(script) }))).toEqual(
          theirs.inputs.map((input) => ({
            txid: input.sourceTXID,
            vout: input.sourceOutputIndex,
            script: input.unlockingScript!.toHex(),
            sequence: input.sequence,
          })),
        )
        expect([...scanned.readOutputs()].map(({ satoshis, script }) => ({ satoshis, script: hexOf(script) }))).toEqual(
          theirs.outputs.map((output) => ({ satoshis: BigInt(output.satoshis!), script: output.lockingScript.toHex() })),
        )
      }),
    )
  })
})

describe('transactionFromHex', () => {
  const { hex, txid } = REAL[0]!

  it('accepts digits in either case', () => {
    expect(transactionFromHex(hex).txid).toBe(txid)
    expect(transactionFromHex(hex.toUpperCase()).txid).toBe(txid)
  })

  it.each([
    ['half a byte more', `${hex}0`],
    ['half a byte less', hex.slice(0, -1)],
    ['nothing', ''],
    ['a prefix', `0x${hex}`],
    ['a line feed at the end', `${hex}\n`],
    ['spaces', hex.replace(/../g, '$& ')],
    ['a letter that is no digit', hex.replace(/0/, 'g')],
    ['digits of another script', hex.replace(/0/, '\u0660')],
    ['full-width digits', hex.replace(/0/, '\uff10')],
    ['a character whose low byte is a digit', hex.replace(/0/, '\u0130')],
    ['half of a surrogate pair', hex.replace(/0/, '\ud83d')],
  ])('refuses %s', (_, text) => {
    expect(codeOf(() => transactionFromHex(text))).toBe('BAD_TRANSACTION')
  })

  it.each([0, 1, 65_535, 65_536, 65_537, 131_072, 200_001])('names a bad digit at position %i of a long transaction', (position) => {
    const zeros = '0'.repeat(200_002)
    for (const digit of ['g', '\u0130', '\u00e9']) {
      const bad = zeros.slice(0, position) + digit + zeros.slice(position + 1)
      expect(() => transactionFromHex(bad)).toThrow(`the transaction is not hex: "${digit}" at position ${position}`)
    }
  })

  it.each([[undefined], [null], [1], [true], [{}], [[hex]], [Object(hex)], [Buffer.from(hex, 'hex')], [Symbol('hex')]])(
    'refuses %o, which is no string',
    (value) => {
      expect(codeOf(() => transactionFromHex(value))).toBe('BAD_TRANSACTION')
    },
  )
})

describe('parseTransaction', () => {
  it.each(PARSED)('gives the same result as the original: $about', ({ hex, txid, parsed }) => {
    const ours = parseTransaction(transactionFromHex(hex))
    expect(ours).toStrictEqual(parsed)
    expect(ours.tx.h).toBe(txid)
  })

  it('writes addresses as @bsv/sdk does', () => {
    const hashes = fc.tuple(fc.nat(20), fc.uint8Array({ minLength: 20, maxLength: 20 })).map(([zeros, hash]) => hash.fill(0, 0, zeros))
    fc.assert(
      fc.property(hashes, (hash) => {
        expect(addressOf([0x76, 0xa9, 20, ...hash, 0x88, 0xac])).toBe(Utils.toBase58Check([...hash], [0x00]))
        expect(addressOf([0xa9, 20, ...hash, 0x87])).toBe(Utils.toBase58Check([...hash], [0x05]))
      }),
    )
  })

  it('gives no address for scripts that only resemble the standard script', () => {
    const hash = repeat(20, 7)
    const standard = [0x76, 0xa9, 20, ...hash, 0x88, 0xac]
    expect(addressOf(standard)).toMatch(/^1/)
    for (let length = 0; length < standard.length; length++) expect(addressOf(standard.slice(0, length))).toBe('false')
    expect(addressOf([...standard, 0x61])).toBe('false')
    expect(addressOf([0x61, ...standard])).toBe('false')
    expect(addressOf([0x76, 0xa9, 19, ...hash.slice(1), 0x88, 0xac])).toBe('false')
  })

  it('gives the address of an input that spends a P2SH output, as the original did', () => {
    const known = {
      ab097537: { 0: '3EozxrXDckxLvw8b6UHyNNK3PihywFi5wp' },
      '4d163e00': { 0: '36K2A5DvxTsmLsxYCxPLnsQFTxqGw7XBgA' },
      '9fe2ef9d': { 0: '3JDtby6YtY4VSbcWQJ3VXQUGwnrC8xhHwa' },
      f4b05f97: { 0: '3HuB2CUMJ2vsfF2qE8tvQqZwq9z9utQbqh' },
      '5df1375f': { 1: '3MTdzi2J1qqge4MsGykL7K461JuSwNqwko' },
      '743a2ad1': { 0: '32CzthLR1rS2y7Y88tTzmcUv6CRwGchFLA' },
      '477b2849': { 0: '3JDtby6YtY4VSbcWQJ3VXQUGwnrC8xhHwa' },
      '6a6b568d': { 0: '34vLBQBBiy8ZQkQWi5hyTzuqg39ZA1Anfr', 1: '34vLBQBBiy8ZQkQWi5hyTzuqg39ZA1Anfr' },
      c36efe11: { 0: '3HuB2CUMJ2vsfF2qE8tvQqZwq9z9utQbqh' },
    }
    const found = REAL.map(({ hex, txid }) => {
      const inputs = parseTransaction(transactionFromHex(hex)).in
      return [txid.slice(0, 8), Object.fromEntries(inputs.flatMap(({ i, e: { a } }) => (a.startsWith('3') ? [[i, a]] : [])))] as const
    })
    expect(Object.fromEntries(found.filter(([, inputs]) => Object.keys(inputs).length))).toEqual(known)
  })

  it('gives no address of a P2SH input whose key is no point of the curve, as the original did', () => {
    const { hex, original } = JSON.parse(readFileSync(new URL('data/field/07-parsed-p2sh-key-off-curve.json', import.meta.url), 'utf8'))
    expect(parseTransaction(transactionFromHex(hex))).toEqual(original)
    const key = '034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa'
    const [input] = parseTransaction(transactionFromHex(hex.replace(/02(00){31}05/, key))).in
    expect(input!.e.a).toMatch(/^3/)
  })

  it('numbers inputs by their place, and leaves out a coinbase', () => {
    const nothing = { txid: new Uint8Array(32), vout: 0xffff_ffff, script: new Uint8Array(), sequence: 0 }
    const { in: inputs } = parseTransaction(scanTransaction(bytesOf({ ...EMPTY, inputs: [nothing, { ...nothing, vout: 5 }] })))
    expect(inputs).toEqual([{ i: 1, tape: [], e: { h: '0'.repeat(64), i: 5, a: 'false' } }])
  })

  it('shows the rest of the script for a push that runs past its end', () => {
    expect(cellsOf([0x05, 0x61, 0x62])).toEqual([{ b: 'YWI=', s: 'ab', ii: 0, i: 0 }])
    expect(cellsOf([0x05])).toEqual([{ b: '', s: '', ii: 0, i: 0 }])
    expect(cellsOf([0x4c, 0xff, 0x61])).toEqual([{ b: 'YQ==', s: 'a', ii: 0, i: 0 }])
    expect(cellsOf([0x4d, 0xff, 0xff, 0x61])).toEqual([{ b: 'YQ==', s: 'a', ii: 0, i: 0 }])
    expect(cellsOf([0x4e, 0xff, 0xff, 0xff, 0xff, 0x61])).toEqual([{ b: 'YQ==', s: 'a', ii: 0, i: 0 }])
  })

  it('shows a push whose length is cut off as its opcode', () => {
    expect(cellsOf([0x4c])).toEqual([{ op: 76, ops: 'OP_PUSHDATA1', ii: 0, i: 0 }])
    expect(cellsOf([0x61, 0x4d, 0x01])).toEqual([
      { op: 97, ops: 'OP_NOP', ii: 0, i: 0 },
      { op: 77, ops: 'OP_PUSHDATA2', ii: 1, i: 1 },
    ])
    expect(cellsOf([0x4e, 0x01, 0x00, 0x00])).toEqual([{ op: 78, ops: 'OP_PUSHDATA4', ii: 0, i: 0 }])
  })

  it('names every opcode', () => {
    for (let op = 79; op < 256; op++) expect(cellsOf([op])).toEqual([{ op, ops: expect.stringMatching(/^OP_[A-Z0-9]+$/), ii: 0, i: 0 }])
    expect(cellsOf([0xba])[0]!.ops).toBe('OP_UNKNOWN')
    expect(cellsOf([0xb9])[0]!.ops).toBe('OP_NOP10')
    expect(cellsOf([0xff])[0]!.ops).toBe('OP_INVALIDOPCODE')
  })

  it('shows every opcode and push in order; a part ends with OP_RETURN or before a pipe', () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 40 }), (script) => {
        const parts: object[][] = [[]]
        script.forEach(({ op, pushed }, ii) => {
          if (pushed?.toString('latin1') === '|') parts.push([])
          else parts.at(-1)!.push(pushed ? { ...textsOf(pushed), ii } : { op, ops: expect.any(String), ii })
          if (op === 0x6a) parts.push([])
        })
        if (parts.at(-1)!.length === 0) parts.pop()
        const expected = parts.map((cells, i) => ({ cell: cells.map((cell, k) => ({ ...cell, i: k })), i }))
        expect(tapeOf(Buffer.concat(script.map(({ bytes }) => bytes)))).toEqual(expected)
      }),
    )
  })

  it.each([
    ['a script of OP_RETURNs', [0x6a]],
    ['a script of one-byte pushes', [0x01, 0x61]],
    ['a script of pipes', [0x01, 0x7c]],
  ])('shows the beginning of %s, and how much it does not show', (_, pattern) => {
    const script = new Uint8Array(Buffer.alloc(1_000_000, Buffer.from(pattern)))
    const shown = tapeOf(script)
    expect(shown.at(-1)!.cell.at(-1)).toEqual({ cut: 1_000_000 - 100_000 * pattern.length, ii: 100_000, i: expect.any(Number) })
    expect(shown.reduce((sum, { cell }) => sum + cell.length, shown.length)).toBeLessThanOrEqual(200_002)
  })

  it('shows at most a hundred thousand opcodes of a transaction, in however many scripts they are', () => {
    const output = { satoshis: 0n, script: new Uint8Array(1_000).fill(0x61) }
    const { out } = parseTransaction(scanTransaction(bytesOf({ ...EMPTY, outputs: repeat(102, output) })))
    expect(out[99]!.tape[0]!.cell).toHaveLength(1_000)
    expect(out[99]!.tape[0]!.cell.at(-1)).toEqual({ op: 97, ops: 'OP_NOP', ii: 999, i: 999 })
    expect(out.slice(100).map(({ tape }) => tape)).toEqual(repeat(2, [{ cell: [{ cut: 1_000, ii: 0, i: 0 }], i: 0 }]))
  })

  it('shows a long push of any bytes as the same text and base64 as a short one', () => {
    const data = createHash('shake256', { outputLength: 400_000 }).update('any bytes').digest()
    for (const [at, text] of ['\ufeff', '☕'.repeat(100_000)].entries()) data.write(text, at * 100_003)
    const cell = tapeOf(Buffer.concat([Uint8Array.of(0x4e), uint(data.length, 4), data]))[0]!.cell[0]!
    expect(cell.ls === data.toString('utf8'), 'text').toBe(true)
    expect(cell.lb === data.toString('base64'), 'base64').toBe(true)
  })

  it('does not show a push that is too long for a string', () => {
    const length = 64 * 1024 * 1024 + 1
    const script = new Uint8Array(5 + length)
    script.set([0x4e, 0x01, 0x00, 0x00, 0x04])
    expect(tapeOf(script)).toEqual([{ cell: [{ cut: script.length, ii: 0, i: 0 }], i: 0 }])
  })
})

// ---- transactions made by hand

interface Shape {
  version: number
  inputs: { txid: Uint8Array; vout: number; script: Uint8Array; sequence: number }[]
  outputs: { satoshis: bigint; script: Uint8Array }[]
  lockTime: number
}

const EMPTY: Shape = { version: 1, inputs: [], outputs: [], lockTime: 0 }

interface Step {
  op?: number
  pushed?: Buffer
  bytes: Uint8Array
}

/** An opcode, or a push in any of its forms, the shortest or not. */
const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.constantFrom(0, 0x6a, 0x7c, 0x4f, 0xac, 0xff).map((op) => ({ op, bytes: Uint8Array.of(op) })),
  fc
    .tuple(
      fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 75 }),
        fc.constant(Buffer.from('|')),
        fc.constant(Buffer.alloc(512)),
        fc.constant(Buffer.alloc(513)),
      ),
      fc.constantFrom(0, 1, 2, 4),
    )
    .map(([data, width]) => {
      const form = data.length > 255 ? Math.max(width, 2) : width
      const length = form === 0 ? [data.length] : [0x4c + Math.log2(form), ...uint(data.length, form)]
      return { pushed: Buffer.from(data), bytes: Uint8Array.from([...length, ...data]) }
    }),
)

function textsOf(pushed: Buffer): object {
  const [s, b] = [pushed.toString('utf8'), pushed.toString('base64')]
  return pushed.length > 512 ? { ls: s, lb: b } : { s, b }
}

const uint32s = fc.nat(0xffff_ffff)
const scripts = fc.oneof(
  { weight: 9, arbitrary: fc.uint8Array({ maxLength: 120 }) },
  { weight: 1, arbitrary: fc.constantFrom(252, 253, 254, 0xffff, 0x10000).map((length) => new Uint8Array(length).fill(0x61)) },
)
const shapes: fc.Arbitrary<Shape> = fc.record({
  version: uint32s,
  inputs: fc.array(
    fc.record({ txid: fc.uint8Array({ minLength: 32, maxLength: 32 }), vout: uint32s, script: scripts, sequence: uint32s }),
    { maxLength: 5 },
  ),
  outputs: fc.array(fc.record({ satoshis: fc.bigInt(0n, 2_100_000_000_000_000n), script: scripts }), { maxLength: 5 }),
  lockTime: uint32s,
})

function bytesOf(
  shape: Shape,
  numbers: { inputs?: Uint8Array; inputScript?: Uint8Array; outputs?: Uint8Array; outputScript?: Uint8Array } = {},
): Uint8Array {
  return Buffer.concat([
    uint(shape.version, 4),
    numbers.inputs ?? varint(shape.inputs.length),
    ...shape.inputs.flatMap(({ txid, vout, script, sequence }) => [
      txid,
      uint(vout, 4),
      numbers.inputScript ?? varint(script.length),
      script,
      uint(sequence, 4),
    ]),
    numbers.outputs ?? varint(shape.outputs.length),
    ...shape.outputs.flatMap(({ satoshis, script }) => [uint(satoshis, 8), numbers.outputScript ?? varint(script.length), script]),
    uint(shape.lockTime, 4),
  ])
}

function shapeOf(bytes: Uint8Array): Shape {
  const scanned = scanTransaction(bytes)
  return {
    version: scanned.version,
    inputs: Array.from(scanned.readInputs(), (input) => ({ ...input, txid: Buffer.from(input.txid, 'hex').reverse() })),
    outputs: [...scanned.readOutputs()],
    lockTime: scanned.lockTime,
  }
}

/** A transaction with `value` items at one place, where `number` is the encoded count. */
function withNumber(place: 'inputs' | 'input script' | 'outputs' | 'output script', value: number, number: Uint8Array): Uint8Array {
  const input = { txid: new Uint8Array(32), vout: 0, script: new Uint8Array(), sequence: 0 }
  const output = { satoshis: 0n, script: new Uint8Array() }
  const script = new Uint8Array(place.endsWith('script') ? value : 0)
  switch (place) {
    case 'inputs':
      return bytesOf({ ...EMPTY, inputs: repeat(value, input) }, { inputs: number })
    case 'outputs':
      return bytesOf({ ...EMPTY, outputs: repeat(value, output) }, { outputs: number })
    case 'input script':
      return bytesOf({ ...EMPTY, inputs: [{ ...input, script }] }, { inputScript: number })
    case 'output script':
      return bytesOf({ ...EMPTY, outputs: [{ ...output, script }] }, { outputScript: number })
  }
}

function varint(value: number): Uint8Array {
  if (value < 0xfd) return Uint8Array.of(value)
  return wide(value, value < 0x1_0000 ? 2 : value < 0x1_0000_0000 ? 4 : 8)
}

function wide(value: number, width: 2 | 4 | 8): Uint8Array {
  return Buffer.concat([Uint8Array.of({ 2: 0xfd, 4: 0xfe, 8: 0xff }[width]), uint(value, width)])
}

function uint(value: number | bigint, width: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes.subarray(0, width)
}

function verdict(bytes: Uint8Array): string {
  return codeOf(() => scanTransaction(bytes))
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

function tapeOf(script: Uint8Array): Parsed['out'][number]['tape'] {
  return parseTransaction(scanTransaction(bytesOf({ ...EMPTY, outputs: [{ satoshis: 0n, script }] }))).out[0]!.tape
}

function cellsOf(script: number[]): Cell[] {
  return tapeOf(Uint8Array.from(script)).flatMap(({ cell }) => cell)
}

function addressOf(script: number[]): string {
  return parseTransaction(scanTransaction(bytesOf({ ...EMPTY, outputs: [{ satoshis: 0n, script: Uint8Array.from(script) }] }))).out[0]!.e.a
}

function repeat<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value)
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function read<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`data/${file}`, import.meta.url), 'utf8'))
}
