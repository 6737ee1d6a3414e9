import { hash } from 'node:crypto'
import { OverpoolError } from '../errors.ts'
import { cut } from '../printed.ts'
import { dataBegin, pushed } from '../transaction/data.ts'
import { type Parsed, parseTransaction, type ScannedTransaction } from '../transaction/index.ts'
import { hash160, keyHashAt, OP_EQUAL, OP_HASH160, publicKeyIn, Steps } from '../transaction/parsed.ts'
import { ByteSet } from './byte-set.ts'

/** What is looked for in the transactions of the chain, also while it runs. */
export interface Watch {
  /**
   * Addresses, of main or test networks: P2PKH and P2SH. A transaction matches if an output pays to one, or if an input's script pushes a signature and the public key of a P2PKH
   * one. (Nobody checks the signature here.)
   */
  addresses?: string[]
  /** Whole locking scripts in hex: a transaction matches if an output has one of them. */
  scripts?: string[]
  /** Outputs, as `txid:vout` or `{ txid, vout }`: a transaction matches if it spends one of them. */
  outpoints?: (string | { txid: string; vout: number })[]
}

/** Which transactions of the chain are wanted: those that any of these matches. */
export interface FilterConfig extends Watch {
  /**
   * The first pushes of a data output, one whose script begins with OP_RETURN or with OP_FALSE OP_RETURN. A text matches if the first push is this text in UTF-8, all of it; a text
   * of 0x and hex digits, if the first push is these bytes; a list of such texts, if the first pushes are these, one after the other. Any data output of the transaction may match.
   * So `'19HxigV4QyBv3tHpQVcUEQyq1pzZVdoAut'` is what is written by B://, `'0x6d02'` a post of memo.cash, `['1PuQa7K62MiKCtssSLKy1kh56WWU7MtUR5', 'SET']` what sets a value of MAP.
   */
  prefixes?: (string | string[])[]
  /** Any other rule. It is asked, and the transaction parsed for it, only if nothing else matches; it answers at once. */
  match?: (transaction: Parsed) => boolean
}

const WATCH_KEYS = ['addresses', 'scripts', 'outpoints'] as const
const KEYS = [...WATCH_KEYS, 'prefixes', 'match'] as const

/** A shorter script does not push a signature and a public key: the first byte of a signature is enough for one here. */
const SHORTEST_UNLOCK = 36
const P2PKH_BYTES = 25
/** A push of 20 bytes has up to four bytes more than the usual one. */
const LONGEST_P2PKH = P2PKH_BYTES + 4
const P2SH_BYTES = 23
const OP_DUP = 0x76
const OP_EQUALVERIFY = 0x88
const OP_CHECKSIG = 0xac

/** The set that each version of an address belongs to: main, test. */
const VERSIONS: Record<number, 'keys' | 'scriptHashes'> = { 0: 'keys', 111: 'keys', 5: 'scriptHashes', 196: 'scriptHashes' }

/**
 * A filter that is compiled once, and asked about each transaction of the chain: it looks the bytes up in sets, and parses nothing but what `match` needs. One that looks for nothing
 * matches nothing.
 */
export class ChainFilter {
  readonly #keys = new ByteSet()
  readonly #scriptHashes = new ByteSet()
  readonly #scripts = new ByteSet()
  readonly #outpoints = new ByteSet()
  /** the first push of each prefix */
  readonly #firsts = new ByteSet()
  /** all pushes of the prefixes, by their first one in hex */
  readonly #prefixes = new Map<string, Buffer[][]>()
  readonly #match: FilterConfig['match']
  /** the transaction that is being looked at */
  #bytes: Uint8Array = new Uint8Array(0)

  /**
   * @param place where the config is, for errors
   * @throws OverpoolError BAD_CONFIG
   */
  constructor(config: FilterConfig = {}, place = 'filter') {
    const read = new ConfigReader('BAD_CONFIG', place)
    read.keys(config, KEYS)
    for (const [i, prefix] of read.list(config.prefixes, 'prefixes').entries()) this.#addPrefix(prefix, `prefixes[${i}]`, read)
    if (config.match !== undefined && typeof config.match !== 'function') throw read.wrong('match', 'is a function')
    this.#match = config.match
    this.#addAll(config, read)
  }

  /**
   * Looks for more from now on. Either all of it is added, or nothing.
   * @throws OverpoolError BAD_ARGUMENT
   */
  add(watch: Watch): void {
    const read = new ConfigReader('BAD_ARGUMENT', 'watch')
    read.keys(watch, WATCH_KEYS)
    this.#addAll(watch, read)
  }

  /** Whether a transaction is wanted. It throws what `match` throws. */
  matches(transaction: ScannedTransaction): boolean {
    this.#bytes = transaction.bytes
    const looksAtOutputs = this.#keys.size + this.#scriptHashes.size + this.#scripts.size + this.#firsts.size > 0
    if (looksAtOutputs && transaction.someOutput(this.#isOutputWanted)) return true
    const looksAtInputs = this.#keys.size + this.#outpoints.size > 0
    if (looksAtInputs && transaction.someInput(this.#isInputWanted)) return true
    if (!this.#match) return false
    const answer: unknown = this.#match(parseTransaction(transaction))
    if (answer instanceof Promise) throw new OverpoolError('BAD_CONFIG', 'the `match` of a filter answers true or false, not a promise')
    return Boolean(answer)
  }

  readonly #isOutputWanted = (from: number, to: number): boolean => {
    const bytes = this.#bytes
    if (this.#scripts.has(bytes, from, to)) return true
    if (this.#keys.size > 0 && bytes[from] === OP_DUP && this.#paysToKey(from, to)) return true
    if (bytes[from] === OP_HASH160 && to - from === P2SH_BYTES && bytes[from + 1] === 20 && bytes[to - 1] === OP_EQUAL)
      return this.#scriptHashes.has(bytes, from + 2, from + 22)
    if (this.#firsts.size === 0) return false
    const begin = dataBegin(bytes, from)
    return begin > 0 && begin < to && this.#hasPrefix(bytes.subarray(begin, to))
  }

  readonly #isInputWanted = (outpoint: number, from: number, to: number): boolean => {
    const bytes = this.#bytes
    if (this.#outpoints.has(bytes, outpoint, outpoint + 36)) return true
    if (this.#keys.size === 0 || to - from < SHORTEST_UNLOCK) return false
    const key = publicKeyIn(bytes.subarray(from, to))
    return key !== undefined && this.#keys.has(hash160(key), 0, 20)
  }

  #paysToKey(from: number, to: number): boolean {
    const bytes = this.#bytes
    const isUsual =
      to - from === P2PKH_BYTES &&
      bytes[from + 1] === OP_HASH160 &&
      bytes[from + 2] === 20 &&
      bytes[to - 2] === OP_EQUALVERIFY &&
      bytes[to - 1] === OP_CHECKSIG
    if (isUsual) return this.#keys.has(bytes, from + 3, from + 23)
    if (to - from <= P2PKH_BYTES || to - from > LONGEST_P2PKH) return false
    const at = keyHashAt(bytes.subarray(from, to))
    return at > 0 && this.#keys.has(bytes, from + at, from + at + 20)
  }

  /** @param pushes of a data output */
  #hasPrefix(pushes: Uint8Array): boolean {
    const steps = new Steps(pushes)
    steps.next()
    const first = steps.pushes ? undefined : pushed(pushes, steps)
    const isKnown = steps.pushes ? this.#firsts.has(pushes, steps.from, steps.to) : first && this.#firsts.has(first, 0, first.length)
    if (!isKnown) return false
    const prefixes = this.#prefixes.get((first ?? Buffer.from(pushes.subarray(steps.from, steps.to))).toString('hex'))!
    return prefixes.some((prefix) => {
      const at = new Steps(pushes)
      return prefix.every((part) => at.next() && pushed(pushes, at)?.equals(part) === true)
    })
  }

  #addPrefix(prefix: unknown, where: string, read: ConfigReader): void {
    const parts = Array.isArray(prefix) ? (prefix as unknown[]) : [prefix]
    const pushes = parts.map((part) => {
      if (typeof part !== 'string' || part === '') throw read.wrong(where, 'is a text, 0x and hex digits, or a list of such')
      return Buffer.from(/^0x([0-9a-f]{2})+$/i.test(part) ? Buffer.from(part.slice(2), 'hex') : part)
    })
    const [first] = pushes
    if (!first) throw read.wrong(where, 'is an empty list')
    this.#firsts.add(first)
    const same = this.#prefixes.get(first.toString('hex')) ?? []
    this.#prefixes.set(first.toString('hex'), [...same, pushes])
  }

  #addAll(watch: Watch, read: ConfigReader): void {
    const found: [ByteSet, Uint8Array][] = [
      ...read.list(watch.addresses, 'addresses').map((address, i): [ByteSet, Uint8Array] => {
        const { kind, digest } = addressOf(address, `addresses[${i}]`, read)
        return [kind === 'keys' ? this.#keys : this.#scriptHashes, digest]
      }),
      ...read.list(watch.scripts, 'scripts').map((script, i): [ByteSet, Uint8Array] => {
        if (typeof script !== 'string' || !/^([0-9a-f]{2})+$/i.test(script)) throw read.wrong(`scripts[${i}]`, 'is no script in hex')
        return [this.#scripts, Buffer.from(script, 'hex')]
      }),
      ...read
        .list(watch.outpoints, 'outpoints')
        .map((outpoint, i): [ByteSet, Uint8Array] => [this.#outpoints, outpointOf(outpoint, `outpoints[${i}]`, read)]),
    ]
    for (const [set, bytes] of found) set.add(bytes)
  }
}

/** Checks the parts of a config, and says where it is wrong. */
class ConfigReader {
  readonly #code: 'BAD_CONFIG' | 'BAD_ARGUMENT'
  readonly #place: string

  constructor(code: 'BAD_CONFIG' | 'BAD_ARGUMENT', place: string) {
    this.#code = code
    this.#place = place
  }

  wrong(where: string, what: string): OverpoolError {
    return new OverpoolError(
      this.#code,
      `${this.#code === 'BAD_CONFIG' ? 'the config is wrong: ' : ''}${this.#place}${where && `.${where}`} ${what}`,
    )
  }

  keys(value: unknown, known: readonly string[]): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.wrong('', `is an object with some of ${known.join(', ')}`)
    for (const key of Object.keys(value)) if (!known.includes(key)) throw this.wrong(key, `is no setting; there are ${known.join(', ')}`)
  }

  list(value: unknown, where: string): unknown[] {
    if (value === undefined) return []
    if (!Array.isArray(value)) throw this.wrong(where, 'is a list')
    return value
  }
}

/** The bytes of an output as an input names it. */
function outpointOf(value: unknown, where: string, read: ConfigReader): Uint8Array {
  const named = typeof value === 'string' ? /^([0-9a-f]{64}):(0|[1-9]\d{0,9})$/i.exec(value) : undefined
  const { txid, vout } = named ? { txid: named[1], vout: Number(named[2]) } : ((value ?? {}) as { txid?: unknown; vout?: unknown })
  const isVout = Number.isInteger(vout) && (vout as number) >= 0 && (vout as number) <= 0xffffffff
  if (typeof txid !== 'string' || !/^[0-9a-f]{64}$/i.test(txid) || !isVout)
    throw read.wrong(where, 'is no output: write "txid:vout" or { txid, vout }, the txid in 64 hex digits')
  const bytes = Buffer.alloc(36)
  Buffer.from(txid, 'hex').reverse().copy(bytes)
  bytes.writeUInt32LE(vout as number, 32)
  return bytes
}

const DIGITS = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
/** version, hash, checksum */
const ADDRESS_BYTES = 25

/** Which set an address belongs to, and the hash in it. */
function addressOf(address: unknown, where: string, read: Pick<ConfigReader, 'wrong'>): { kind: 'keys' | 'scriptHashes'; digest: Buffer } {
  if (typeof address !== 'string') throw read.wrong(where, 'is no text')
  const bytes = fromBase58(address)
  if (!bytes) throw read.wrong(where, `is no address: ${cut(JSON.stringify(address), 100)}`)
  const checksum = hash('sha256', hash('sha256', bytes.subarray(0, 21), 'buffer'), 'buffer').subarray(0, 4)
  if (!checksum.equals(bytes.subarray(21))) throw read.wrong(where, `is no address: the checksum of ${address} is wrong`)
  const kind = VERSIONS[bytes[0]!]
  if (!kind) throw read.wrong(where, `is an address of another coin: the version of ${address} is ${bytes[0]}`)
  return { kind, digest: bytes.subarray(1, 21) }
}

/** The locking script of an address, hex. @throws OverpoolError BAD_ARGUMENT */
export function scriptOfAddress(address: string): string {
  const wrong = (where: string, what: string) => new OverpoolError('BAD_ARGUMENT', `${where} ${what}`)
  const { kind, digest } = addressOf(address, 'the address', { wrong })
  return kind === 'keys' ? `76a914${digest.toString('hex')}88ac` : `a914${digest.toString('hex')}87`
}

/** The bytes of an address; undefined if they are more or fewer, or in another form. */
function fromBase58(text: string): Buffer | undefined {
  if (text.length < ADDRESS_BYTES || text.length > 35) return undefined
  let value = 0n
  for (const character of text) {
    const digit = DIGITS.indexOf(character)
    if (digit < 0) return undefined
    value = value * 58n + BigInt(digit)
  }
  if (value >= 256n ** BigInt(ADDRESS_BYTES)) return undefined
  const bytes = Buffer.from(value.toString(16).padStart(2 * ADDRESS_BYTES, '0'), 'hex')
  // Each zero byte at the beginning is a digit "1", or else an address would have several forms.
  const zeros = bytes.findIndex((byte) => byte !== 0)
  return /^1*/.exec(text)![0].length === zeros ? bytes : undefined
}

/** All that two watches look for. */
export function joined(one: Watch, other: Watch): Required<Watch> {
  const both = <T>(a: readonly T[] = [], b: readonly T[] = []) => [
    ...new Map([...a, ...b].map((each) => [JSON.stringify(each), each])).values(),
  ]
  return {
    addresses: both(one.addresses, other.addresses),
    scripts: both(one.scripts, other.scripts),
    outpoints: both(one.outpoints, other.outpoints),
  }
}
