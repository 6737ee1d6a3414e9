import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { type ErrorCode, OverpoolError } from '../shared/errors.ts'

// Every reader of bytes from outside gets mutations of valid bytes. OVERPOOL_FUZZ_SECONDS and OVERPOOL_FUZZ_COUNT (inputs, however long
// they take) are for all targets of a file together. Input k of a run depends on seed + k alone, so a failure names the seed of a run that begins with that input.

const SECONDS = Number(process.env.OVERPOOL_FUZZ_SECONDS || 3)
const COUNT = Number(process.env.OVERPOOL_FUZZ_COUNT || 0)
const SEED = Number(process.env.OVERPOOL_SEED || randomInt(2 ** 31))

/** The longest time that one input may keep this thread busy: what others do on the machine does not count. */
const MAX_MS = 50
/** An input fails when it takes too long this many times in a row: a collection of garbage may come in between once, but not at the same input each time. */
const TRIES = 4
const MAX_BYTES = 64 * 1024
/** A reader that has only taken, or only refused, gets more inputs, however slow the machine is at this moment; up to this many. */
const MAX_ONE_SIDED = 5_000
/** What may be in memory at the end of a run that was not there in its middle, bytes: compiled code, and what is kept within bounds. */
const MAX_GROWTH = 4 * 2 ** 20

export interface Target {
  name: string
  code: ErrorCode | ErrorCode[]
  honest: Buffer[]
  read: (bytes: Buffer) => unknown
}

/** Makes the tests of these readers. */
export function fuzz(targets: Target[]): void {
  it.each(targets)('never make $name throw anything but $code, nor take long, nor keep memory', { timeout: 0 }, async (target) => {
    for (const bytes of target.honest) expect(await outcome(target, bytes, Number.POSITIVE_INFINITY)).toBe('accepted') // the first ones load what they need
    const ms = (SECONDS * 1000) / targets.length
    const begin = performance.now()
    /** the share of the work that is done */
    const done = (k: number) => (COUNT ? (k * targets.length) / COUNT : (performance.now() - begin) / ms)
    let atHalf: number | undefined
    const seen = { accepted: 0, refused: 0 }
    let pause = 0
    const isOneSided = () => seen.accepted === 0 || seen.refused === 0
    for (let k = 0; done(k) < 1 || (isOneSided() && k < MAX_ONE_SIDED); k++) {
      const bytes = mutated(target.honest, SEED + k)
      try {
        seen[await outcome(target, bytes)]++
      } catch (cause) {
        throw new Error(`${target.name}, run again with OVERPOOL_SEED=${SEED + k}, on ${bytes.toString('hex')}`, { cause })
      }
      if (done(k + 1) > 0.5) atHalf ??= await inMemory()
      if (performance.now() > pause) {
        await setImmediate() // the test runner needs a turn of the event loop now and then
        pause = performance.now() + 100
      }
    }
    const enough = (atHalf ?? 0) + MAX_GROWTH
    expect(await inMemory(enough), `bytes that stay in memory, seed ${SEED}`).toBeLessThan(enough)
    // Some inputs are accepted and some refused. A fuzzer that only meets one of the two tests nothing.
    expect(seen.accepted, `seed ${SEED}`).toBeGreaterThan(0)
    expect(seen.refused, `seed ${SEED}`).toBeGreaterThan(0)
  })
}

/** Reads the bytes. They must be accepted, or refused with the right code, within this time. */
async function outcome({ read, code }: Target, bytes: Buffer, maxMs = MAX_MS): Promise<'accepted' | 'refused'> {
  for (let tries = 1; ; tries++) {
    const start = process.threadCpuUsage()
    let result: 'accepted' | 'refused' = 'accepted'
    try {
      await read(bytes)
    } catch (error) {
      if (!(error instanceof OverpoolError) || ![code].flat().includes(error.code)) throw error
      result = 'refused'
    }
    const { user, system } = process.threadCpuUsage(start)
    const took = (user + system) / 1_000
    if (took < maxMs) return result
    if (tries === TRIES) throw new Error(`took ${Math.round(took)} ms, and no less in ${TRIES} tries`)
  }
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes that something still refers to. The memory of buffers is given back beside the program, after a collection: it is looked at until `enough` is given back, or often. */
async function inMemory(enough = 0): Promise<number> {
  let bytes = Number.POSITIVE_INFINITY
  for (let left = enough ? 20 : 2; left > 0 && bytes > enough; left--) {
    collect()
    await setImmediate()
    const { heapUsed, external } = process.memoryUsage()
    bytes = heapUsed + external
  }
  return bytes
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

/** The transactions of the other tests. */
export function realTransactions(): Buffer[] {
  const lists = ['transactions.json', 'parsed.json'].map((file) => readFileSync(new URL(`data/${file}`, import.meta.url), 'utf8'))
  return lists.flatMap((list) => JSON.parse(list) as { hex: string }[]).map(({ hex }) => Buffer.from(hex, 'hex'))
}
