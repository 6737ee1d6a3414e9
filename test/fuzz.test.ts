import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type ErrorCode, OverpoolError } from '../shared/errors.ts'
import { decodeBlock, encodeBlock, entryAt } from '../shared/ledger/block.ts'
import { decodeEntry, encodeEntry } from '../shared/ledger/entry-codec.ts'
import type { EntryId, TxEntry } from '../shared/ledger/kinds.ts'
import { decodeBell, decodeIngress, encodeBell, encodeIngress } from '../shared/ledger/messages.ts'
import { parseTransaction, type ScannedTransaction, scanTransaction, transactionFromHex } from '../shared/transaction/index.ts'

// Every reader of bytes from outside gets mutations of valid bytes. OVERPOOL_FUZZ_SECONDS and OVERPOOL_FUZZ_COUNT (inputs, however long
// they take) are for all targets together. Input k of a run depends on seed + k alone, so a failure names the seed of a run that begins with that input.

const SECONDS = Number(process.env.OVERPOOL_FUZZ_SECONDS || 3)
const COUNT = Number(process.env.OVERPOOL_FUZZ_COUNT || 0)
const SEED = Number(process.env.OVERPOOL_SEED || randomInt(2 ** 31))

/** The longest time that one input may take. */
const MAX_MS = 50
/** An input fails when it takes too long this many times in a row: a busy machine may stall once, but not at the same input each time. */
const TRIES = 4
const MAX_BYTES = 64 * 1024

interface Target {
  name: string
  code: ErrorCode
  honest: Buffer[]
  read: (bytes: Buffer) => void
}

const transactions = realTransactions()
const entries = someEntries()
const blocks = [entries.slice(0, 1), entries, Array.from({ length: 300 }, () => entries[0]!)].map((list, n) =>
  encodeBlock(n, n * 100, list),
)

const TARGETS: Target[] = [
  { name: 'scanTransaction', code: 'BAD_TRANSACTION', honest: transactions, read: (bytes) => readAll(scanTransaction(bytes)) },
  {
    name: 'transactionFromHex',
    code: 'BAD_TRANSACTION',
    honest: transactions.map((bytes) => Buffer.from(bytes.toString('hex'))),
    read: (bytes) => readAll(transactionFromHex(bytes.toString('latin1'))),
  },
  { name: 'decodeEntry', code: 'BAD_BLOCK', honest: entries.map((bytes) => Buffer.from(bytes)), read: decodeEntry },
  { name: 'decodeBlock', code: 'BAD_BLOCK', honest: blocks.map(({ bytes }) => Buffer.from(bytes)), read: decodeBlock },
  {
    name: 'entryAt',
    code: 'BAD_BLOCK',
    honest: blocks.map(({ bytes }) => Buffer.from(bytes)),
    read: (bytes) => entryAt({ count: 1, bytes }, bytes.length % 3),
  },
  {
    name: 'decodeIngress',
    code: 'BAD_MESSAGE',
    honest: entries.map((entry) => Buffer.from(encodeIngress({ pool: 'mypool', id: hexOf(1), txid: hexOf(2), named: true, entry }))),
    read: decodeIngress,
  },
  {
    name: 'decodeBell',
    code: 'BAD_MESSAGE',
    honest: [{ pool: 'mypool', n: 7 }, ...blocks.map((block) => ({ pool: hexOf(3), n: block.n, block }))].map((bell) =>
      Buffer.from(encodeBell(bell)),
    ),
    read: decodeBell,
  },
]

describe('bytes from outside', () => {
  it.each(TARGETS)('never make $name throw anything but $code, nor take long', { timeout: 0 }, async (target) => {
    for (const bytes of target.honest) expect(outcome(target, bytes)).toBe('accepted')
    const until = performance.now() + (SECONDS * 1000) / TARGETS.length
    const seen = { accepted: 0, refused: 0 }
    let pause = 0
    for (let k = 0; COUNT ? k < COUNT / TARGETS.length : performance.now() < until; k++) {
      const bytes = mutated(target.honest, SEED + k)
      try {
        seen[outcome(target, bytes)]++
      } catch (cause) {
        throw new Error(`${target.name}, run again with OVERPOOL_SEED=${SEED + k}, on ${bytes.toString('hex')}`, { cause })
      }
      if (performance.now() > pause) {
        await setImmediate() // the test runner needs a turn of the event loop now and then
        pause = performance.now() + 100
      }
    }
    // At least one input in ten is accepted and one in ten refused. A fuzzer that only meets one of the two tests nothing.
    expect(seen.accepted, `seed ${SEED}`).toBeGreaterThan(0)
    expect(seen.refused, `seed ${SEED}`).toBeGreaterThan(0)
  })
})

/** Reads the bytes. They must be accepted, or refused with the right code, within MAX_MS. */
function outcome({ read, code }: Target, bytes: Buffer): 'accepted' | 'refused' {
  for (let tries = 1; ; tries++) {
    const start = performance.now()
    let result: 'accepted' | 'refused' = 'accepted'
    try {
      read(bytes)
    } catch (error) {
      if (!(error instanceof OverpoolError) || error.code !== code) throw error
      result = 'refused'
    }
    const took = performance.now() - start
    if (took < MAX_MS) return result
    if (tries === TRIES) throw new Error(`took ${Math.round(took)} ms, and no less in ${TRIES} tries`)
  }
}

function readAll(scanned: ScannedTransaction): void {
  const [inputs, outputs] = [[...scanned.readInputs()], [...scanned.readOutputs()]]
  if (scanned.txid.length !== 64 || inputs.length !== scanned.inputCount || outputs.length !== scanned.outputCount)
    throw new Error('the sizes of its parts do not add up to its own size')
  JSON.stringify(parseTransaction(scanned))
}

// ---- mutations

type Random = (below: number) => number

/** Bytes with a meaning in varints, scripts, CBOR or hex. */
const TELLING = Buffer.from('0001171819224c4d4e6a7c7f80819899a2b6b7b8bfc0d9f7fafbfcfdfeff3066', 'hex')
const LENGTHS = [
  0,
  1,
  23,
  24,
  75,
  76,
  252,
  253,
  255,
  256,
  512,
  513,
  0xffff,
  0x10000,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 63,
]

function mutated(honest: Buffer[], seed: number): Buffer {
  const random = randomFrom(seed)
  let bytes: Buffer = Buffer.from(pick(honest, random))
  for (let left = 1 + random(4); left > 0; left--) bytes = pick(MUTATIONS, random)(bytes, random, honest)
  return bytes.subarray(0, MAX_BYTES)
}

const MUTATIONS: ((bytes: Buffer, random: Random, honest: Buffer[]) => Buffer)[] = [
  function flipBits(bytes, random) {
    for (let left = 1 + random(8); left > 0 && bytes.length > 0; left--) bytes[random(bytes.length)]! ^= 1 << random(8)
    return bytes
  },
  function putTellingByte(bytes, random) {
    if (bytes.length > 0) bytes[random(bytes.length)] = TELLING[random(TELLING.length)]!
    return bytes
  },
  function cut(bytes, random) {
    const [from, to] = range(bytes, random)
    return random(2) ? bytes.subarray(0, from) : Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)])
  },
  function splice(bytes, random, honest) {
    const other = pick(honest, random)
    const [from, to] = range(bytes, random)
    const [start, end] = range(other, random)
    return Buffer.concat([bytes.subarray(0, from), other.subarray(start, end), bytes.subarray(random(2) ? from : to)])
  },
  function repeat(bytes, random) {
    const [from, to] = range(bytes, random)
    const times = random(8) ? random(8) : random(2_000)
    const part = bytes.subarray(from, to)
    const room = Math.floor(MAX_BYTES / Math.max(1, part.length))
    return Buffer.concat([bytes.subarray(0, to), ...Array.from({ length: Math.min(times, room) }, () => part), bytes.subarray(to)])
  },
  function swapVarint(bytes, random) {
    const at = random(bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, at), varint(pick(LENGTHS, random), random), bytes.subarray(at + random(3))])
  },
  function swapCborHead(bytes, random) {
    const at = random(bytes.length + 1)
    const width = random(4)
    const head = Buffer.concat([Buffer.of((random(8) << 5) | (24 + width)), bigEndian(pick(LENGTHS, random), 1 << width)])
    return Buffer.concat([bytes.subarray(0, at), head, bytes.subarray(at + random(3))])
  },
]

function varint(value: number, random: Random): Buffer {
  const [prefix, width] = pick(
    [
      [0xfd, 2],
      [0xfe, 4],
      [0xff, 8],
      [0x4c, 1],
      [0x4d, 2],
      [0x4e, 4],
    ] as const,
    random,
  ) // prettier-ignore
  return Buffer.concat([Buffer.of(prefix), bigEndian(value, width).reverse()])
}

function bigEndian(value: number, width: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes.subarray(8 - width)
}

function range(bytes: Buffer, random: Random): [from: number, to: number] {
  const from = random(bytes.length + 1)
  return [from, from + random(Math.min(bytes.length - from, random(4) ? 64 : bytes.length) + 1)]
}

function pick<T>(list: readonly T[], random: Random): T {
  return list[random(list.length)]!
}

/** Whole numbers from 0 up to, not including, a bound; the same seed gives the same numbers (mulberry32). */
function randomFrom(seed: number): Random {
  let state = seed | 0
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

// ---- honest bytes

function realTransactions(): Buffer[] {
  const lists = ['transactions.json', 'parsed.json'].map((file) => readFileSync(new URL(`data/${file}`, import.meta.url), 'utf8'))
  return lists.flatMap((list) => JSON.parse(list) as { hex: string }[]).map(({ hex }) => Buffer.from(hex, 'hex'))
}

function someEntries(): Uint8Array[] {
  const plain: TxEntry = { kind: 'tx', id: hexOf(4), at: 1_700_000_000_000, tx: transactions[0]!, payment: {}, source: 'http', hops: 0 }
  return [
    plain,
    { ...plain, payment: { merchantData: 'table 7', refundTo: 'someone@example.com', memo: 'Zwei Käse, bitte ☕' } },
    {
      ...plain,
      payment: { merchantData: { table: 7, items: [1, 2.5, -3, null, true, { deep: [[['er']]] }] } },
      unknown: { later: [1, 2, 3] },
    },
    { ...plain, source: 'handler' as const, cause: { key: hexOf(5), seq: 2 ** 40 }, hops: 300 },
  ].map(encodeEntry)
}

function hexOf(byte: number): EntryId {
  return byte.toString(16).padStart(2, '0').repeat(32) as EntryId
}
