import { ECDH, hash } from 'node:crypto'
import { turn } from '../turn.ts'
import type { ScannedTransaction } from './scan.ts'

/** A transaction in the BPU/TXO shape, which the original Overpool gave to its handlers. Plain data, fit for JSON. */
export interface Parsed {
  tx: { h: string }
  /** without the input of a coinbase, which spends nothing */
  in: ParsedInput[]
  out: ParsedOutput[]
}

/** `e`: the output that it spends, and the address of the public key, or of the script, that its script pushes (nobody checked a signature), or "false". */
export interface ParsedInput {
  i: number
  tape: Tape[]
  e: { h: string; i: number; a: string }
}

/** `e`: its satoshis, its place, and the address that it pays to, or "false". */
export interface ParsedOutput {
  i: number
  tape: Tape[]
  e: { v: number; i: number; a: string }
}

/** A part of a script. A part ends with an OP_RETURN, which belongs to it, or before a pushed "|", which belongs to none. */
export interface Tape {
  cell: Cell[]
  i: number
}

/** One opcode, or one push: its number in the script (`ii`) and in its tape (`i`), and either the opcode or the pushed bytes. */
export interface Cell {
  ii: number
  i: number
  op?: number
  ops?: string
  /** the pushed bytes in base64 */
  b?: string
  /** the pushed bytes as UTF-8, with U+FFFD for what is none */
  s?: string
  /** `b` and `s` of a push of more than 512 bytes */
  lb?: string
  ls?: string
  /** in the last cell, instead of all these: this many bytes of the script are not shown, because it was made to exhaust its reader */
  cut?: number
}

/** Longer pushes are `lb` and `ls`. */
const MAX_SHORT_PUSH = 512
/** The longest script of a P2SH output, while those existed. */
const MAX_P2SH_INPUT = 10_000
/** At most this many opcodes of a transaction are shown. An opcode takes 1 byte, its cell up to 300: a few megabytes of script would take a gigabyte. */
export const MAX_CELLS = 100_000
/** At most this many public keys of a transaction's P2SH inputs are checked, each a tenth of a millisecond. The original checked all. */
const MAX_CHECKED_KEYS = 100
/** Longer pushes are not shown: no string could hold the base64 of half a gigabyte. */
const MAX_PUSH = 64 * 1024 * 1024

/** The text of longer pushes is read in parts of this many bytes. */
const TEXT_PART = 256 * 1024
/** The work of one step: this many opcodes, about. An input or an output counts for some more, and so do long pushes. */
const STEP = 8_000
const ADDRESS_WORK = 4
const BYTES_OF_WORK = 256

const NO_ADDRESS = 'false'
const NO_TXID = '0'.repeat(64)
const P2PKH = 0x00
const P2SH = 0x05

export const OP_PUSHDATA1 = 0x4c
const OP_PUSHDATA4 = 0x4e
export const OP_1 = 0x51
export const OP_16 = 0x60
export const OP_RETURN = 0x6a
const OP_DUP = 0x76
export const OP_EQUAL = 0x87
const OP_EQUALVERIFY = 0x88
export const OP_HASH160 = 0xa9
const OP_CHECKSIG = 0xac
const OP_CHECKMULTISIG = 0xae
const PIPE = 0x7c

/** The names of the opcodes from 76 to 185, as the original's library had them. */
const NAMES = `PUSHDATA1 PUSHDATA2 PUSHDATA4 1NEGATE RESERVED 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
  NOP VER IF NOTIF VERIF VERNOTIF ELSE ENDIF VERIFY RETURN
  TOALTSTACK FROMALTSTACK 2DROP 2DUP 3DUP 2OVER 2ROT 2SWAP IFDUP DEPTH DROP DUP NIP OVER PICK ROLL ROT SWAP TUCK
  CAT SPLIT NUM2BIN BIN2NUM SIZE INVERT AND OR XOR EQUAL EQUALVERIFY RESERVED1 RESERVED2
  1ADD 1SUB 2MUL 2DIV NEGATE ABS NOT 0NOTEQUAL ADD SUB MUL DIV MOD LSHIFT RSHIFT
  BOOLAND BOOLOR NUMEQUAL NUMEQUALVERIFY NUMNOTEQUAL LESSTHAN GREATERTHAN LESSTHANOREQUAL GREATERTHANOREQUAL MIN MAX WITHIN
  RIPEMD160 SHA1 SHA256 HASH160 HASH256 CODESEPARATOR CHECKSIG CHECKSIGVERIFY CHECKMULTISIG CHECKMULTISIGVERIFY
  NOP1 NOP2 NOP3 NOP4 NOP5 NOP6 NOP7 NOP8 NOP9 NOP10`.split(/\s+/)
const OPS: readonly string[] = Array.from({ length: 256 }, (_, op) => `OP_${NAMES[op - OP_PUSHDATA1] ?? 'UNKNOWN'}`)
  .with(0, 'OP_0')
  .with(253, 'OP_PUBKEYHASH')
  .with(254, 'OP_PUBKEY')
  .with(255, 'OP_INVALIDOPCODE')

/**
 * Reads a transaction's scripts into tapes and addresses. Scripts are whatever their maker liked to write, so nothing in them is an error:
 * a push that runs past the end pushes what is left (the original did the same), one that is cut inside its length is a bare opcode,
 * and an opcode that nobody defined is OP_UNKNOWN. Never throws; time and memory are linear in the transaction's size.
 */
export function parseTransaction(scanned: ScannedTransaction): Parsed {
  const steps = parsing(scanned)
  while (true) {
    const { done, value } = steps.next()
    if (done) return value
  }
}

/** The same in steps of a few milliseconds, between which others have their turn: ten megabytes of scripts take half a second. */
export async function parseInSteps(scanned: ScannedTransaction): Promise<Parsed> {
  const steps = parsing(scanned)
  while (true) {
    const { done, value } = steps.next()
    if (done) return value
    await turn()
  }
}

function* parsing(scanned: ScannedTransaction): Generator<void, Parsed, void> {
  const budget: Budget = { cells: MAX_CELLS, keys: MAX_CHECKED_KEYS, step: STEP }
  const parsed: Parsed = { tx: { h: scanned.txid }, in: [], out: [] }
  let i = 0
  for (const { txid, vout, script } of scanned.readInputs()) {
    const spendsNothing = vout === 0xffffffff && txid === NO_TXID
    if (!spendsNothing) {
      const tape: Tape[] = []
      yield* readTape(script, tape, budget)
      parsed.in.push({ i, tape, e: { h: txid, i: vout, a: addressOfInput(script, budget) } })
    }
    i++
  }
  i = 0
  for (const { satoshis, script } of scanned.readOutputs()) {
    const tape: Tape[] = []
    yield* readTape(script, tape, budget)
    parsed.out.push({ i, tape, e: { v: Number(satoshis), i, a: addressOfOutput(script) } })
    i++
  }
  return parsed
}

interface Budget {
  /** how many cells may still be shown of the transaction */
  cells: number
  keys: number
  /** how much may still be done in this step */
  step: number
}

/** Reads a script into `tape`, and pauses at the end of each step. */
function* readTape(script: Uint8Array, tape: Tape[], budget: Budget): Generator<void, void, void> {
  if (isStepDone(budget, ADDRESS_WORK)) yield
  let cell: Cell[] = []
  const endPart = () => {
    tape.push({ cell, i: tape.length })
    cell = []
  }
  const steps = new Steps(script)
  for (let ii = 0; steps.next(); ii++) {
    const { op, from, to } = steps
    const i = cell.length
    if (isStepDone(budget, 1 + (to - from) / BYTES_OF_WORK)) yield
    if (budget.cells-- <= 0 || to - from > MAX_PUSH) {
      cell.push({ cut: script.length - steps.start, ii, i })
      break
    }
    if (!steps.pushes) {
      cell.push({ op, ops: OPS[op]!, ii, i })
      if (op === OP_RETURN) endPart()
    } else if (to - from === 1 && script[from] === PIPE) {
      endPart()
    } else {
      const pushed = Buffer.from(script.buffer, script.byteOffset + from, to - from)
      const b = pushed.toString('base64')
      const s = pushed.length > TEXT_PART ? yield* readText(pushed) : pushed.toString('utf8')
      cell.push(to - from > MAX_SHORT_PUSH ? { ii, i, ls: s, lb: b } : { b, s, ii, i })
    }
  }
  if (cell.length > 0) endPart()
}

function isStepDone(budget: Budget, work: number): boolean {
  budget.step -= work
  const isDone = budget.step <= 0
  if (isDone) budget.step = STEP
  return isDone
}

/** The text of a long push, a part a step: text that is no UTF-8 takes longest. */
function* readText(pushed: Buffer): Generator<void, string, void> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  let text = ''
  for (let at = 0; at < pushed.length; at += TEXT_PART) {
    text += decoder.decode(pushed.subarray(at, at + TEXT_PART), { stream: true })
    yield
  }
  return text + decoder.decode()
}

/** The main network's address that a locking script pays to; undefined if it has none. */
export function addressOf(script: Uint8Array): string | undefined {
  const found = addressOfOutput(script)
  return found === NO_ADDRESS ? undefined : found
}

/** P2PKH, and P2SH outputs from before 2020. */
function addressOfOutput(script: Uint8Array): string {
  if (script[0] === OP_HASH160 && script[1] === 20 && script[22] === OP_EQUAL && script.length === 23)
    return address(P2SH, script.subarray(2, 22))
  const from = keyHashAt(script)
  return from < 0 ? NO_ADDRESS : address(P2PKH, script.subarray(from, from + 20))
}

/** Where the hash of the public key is in a P2PKH script, whose push may have any form; -1 in another script. */
export function keyHashAt(script: Uint8Array): number {
  if (script[0] !== OP_DUP || script[1] !== OP_HASH160) return -1
  const steps = new Steps(script, 2)
  if (!steps.next() || steps.to - steps.from !== 20) return -1
  const { from, to } = steps
  const paysToIt = script[to] === OP_EQUALVERIFY && script[to + 1] === OP_CHECKSIG && script.length === to + 2
  return paysToIt ? from : -1
}

/** A script that pushes a signature and a public key, and nothing else; or one that ends with the script of a P2SH output. */
function addressOfInput(script: Uint8Array, budget: Budget): string {
  const key = publicKeyIn(script)
  if (key) return address(P2PKH, hash160(key))
  if (script.length > MAX_P2SH_INPUT) return NO_ADDRESS
  const steps = new Steps(script)
  while (steps.to < script.length) steps.next()
  const last = script.subarray(steps.from, steps.to)
  return steps.pushes && isStandard(last, budget) ? address(P2SH, hash160(last)) : NO_ADDRESS
}

/** The public key in the script of an input that pushes a signature and this key, and nothing else. */
export function publicKeyIn(script: Uint8Array): Uint8Array | undefined {
  const steps = new Steps(script)
  if (!steps.next()) return undefined
  const isSignature = steps.from < steps.to && script[steps.from] === 0x30
  if (!steps.next()) return undefined
  const second = script.subarray(steps.from, steps.to)
  return isSignature && steps.to === script.length && isPublicKey(second) ? second : undefined
}

function isPublicKey(bytes: Uint8Array): boolean {
  const form = bytes[0]
  return bytes.length === 33 ? form === 2 || form === 3 : bytes.length === 65 && (form === 4 || form === 6 || form === 7)
}

/** Whether bytes are a public key that exists, in a form that the original took. */
function isOnCurve(bytes: Uint8Array, budget: Budget): boolean {
  if (!isPublicKey(bytes) || bytes[0]! > 4 || budget.keys-- <= 0) return false
  try {
    ECDH.convertKey(bytes, 'secp256k1')
    return true
  } catch {
    return false
  }
}

/** An output script of a kind that P2SH outputs stood for: to a key, to a key's or a script's hash, or to some of many keys. */
function isStandard(script: Uint8Array, budget: Budget): boolean {
  if (addressOfOutput(script) !== NO_ADDRESS) return true
  const steps = new Steps(script)
  if (!steps.next()) return false
  if (steps.pushes)
    return script[steps.to] === OP_CHECKSIG && script.length === steps.to + 1 && isOnCurve(script.subarray(steps.from, steps.to), budget)
  if (!isSmallNumber(steps.op)) return false
  let keys = 0
  while (steps.next() && steps.pushes) keys++
  return keys > 0 && isSmallNumber(steps.op) && script[steps.to] === OP_CHECKMULTISIG && script.length === steps.to + 1
}

function isSmallNumber(op: number): boolean {
  return op === 0 || (op >= OP_1 && op <= OP_16)
}

export function hash160(bytes: Uint8Array): Uint8Array {
  digest.write(hash('sha256', bytes, 'binary'), 'binary')
  return Buffer.from(hash('ripemd160', digest, 'binary'), 'binary')
}

/** Goes through a script, an opcode a step. What the opcode pushes stands from `from` to `to`. */
export class Steps {
  op = 0
  start = 0
  from = 0
  to: number
  pushes = false
  readonly #script: Uint8Array

  constructor(script: Uint8Array, at = 0) {
    this.#script = script
    this.to = at
  }

  next(): boolean {
    const script = this.#script
    if (this.to >= script.length) return false
    this.start = this.to
    this.from = this.to = this.start + 1
    this.op = script[this.start]!
    // OP_0 pushes too, nothing; the original shows it as an opcode.
    this.pushes = this.op > 0 && this.op <= OP_PUSHDATA4
    if (this.pushes) this.#readPush()
    return true
  }

  #readPush(): void {
    let length = this.op
    if (this.op >= OP_PUSHDATA1) {
      const width = 1 << (this.op - OP_PUSHDATA1)
      this.from += width
      length = 0
      for (let k = 1; k <= width; k++) length = length * 256 + (this.#script[this.from - k] ?? 0)
    }
    this.pushes = this.from <= this.#script.length
    this.to = Math.min(this.from + length, this.#script.length)
    if (!this.pushes) this.from = this.to
  }
}

/** The bytes of an address: version, hash, checksum. A 0 before them makes them 13 numbers of 16 bits. */
const addressBytes = Buffer.alloc(26)
const versionAndHash = addressBytes.subarray(1, 22)
const digest = Buffer.alloc(32)

/** A hash with its version and checksum in base 58. */
export function address(version: number, hash160: Uint8Array): string {
  versionAndHash[0] = version
  versionAndHash.set(hash160, 1)
  digest.write(hash('sha256', versionAndHash, 'binary'), 'binary')
  addressBytes.write(hash('sha256', digest, 'binary'), 22, 4, 'binary')
  return base58(addressBytes)
}

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
/** Digits are computed five at a time. */
const FIVE_DIGITS = 58 ** 5
const FIVES = 7
/** The value of each number of 16 bits at its place, in fives of digits, the last five first: with it, base 58 is additions, which all stay below 2^53. */
const PLACES = Float64Array.from({ length: 13 * FIVES }, (_, i) => {
  const [k, at] = [Math.floor(i / 13), i % 13]
  return Number((65_536n ** BigInt(12 - at) / BigInt(FIVE_DIGITS) ** BigInt(k)) % BigInt(FIVE_DIGITS))
})
const digits = Buffer.alloc(5 * FIVES)

function base58(bytes: Uint8Array): string {
  let carry = 0
  for (let k = 0; k < FIVES; k++) {
    let sum = carry
    for (let at = 0; at < 13; at++) sum += (bytes[2 * at]! * 256 + bytes[2 * at + 1]!) * PLACES[13 * k + at]!
    carry = Math.floor(sum / FIVE_DIGITS)
    let five = (sum - carry * FIVE_DIGITS) | 0
    for (let at = 5 * (FIVES - k) - 1; at >= 5 * (FIVES - k - 1); at--) {
      const rest = (five / 58) | 0
      digits[at] = ALPHABET.charCodeAt(five - rest * 58)
      five = rest
    }
  }
  // A leading zero byte is a "1"; the other leading ones are only the room that was left.
  let zeros = 0
  while (bytes[zeros + 1] === 0) zeros++
  let leading = 0
  while (digits[leading] === ALPHABET.charCodeAt(0)) leading++
  return digits.toString('latin1', leading - zeros)
}
