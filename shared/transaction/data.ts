import { OverpoolError } from '../errors.ts'
import { MAX_CELLS, OP_1, OP_16, OP_PUSHDATA1, OP_RETURN, Steps } from './parsed.ts'
import type { ScannedTransaction } from './scan.ts'

const OP_0 = 0x00
const OP_1NEGATE = 0x4f

/** What one push of a data output holds. `text`: the bytes as UTF-8, with U+FFFD for what is none. */
export interface DataPush {
  text: string
  bytes: Buffer
}

/**
 * A transaction that carries data, hex: no inputs (a template that somebody else may fund), and one output OP_FALSE OP_RETURN with a push for each part.
 * @param parts text, or bytes
 * @throws OverpoolError BAD_ARGUMENT
 */
export function dataTransaction(...parts: (string | Uint8Array)[]): string {
  const script = Buffer.concat([Buffer.of(OP_0, OP_RETURN), ...parts.map(pushOf)])
  const output = Buffer.concat([Buffer.alloc(8), varint(script.length), script])
  return Buffer.concat([Buffer.of(1, 0, 0, 0, 0, 1), output, Buffer.alloc(4)]).toString('hex')
}

function pushOf(part: unknown): Buffer {
  if (typeof part !== 'string' && !(part instanceof Uint8Array))
    throw new OverpoolError('BAD_ARGUMENT', 'each part of a data transaction is text, or bytes in a Buffer or Uint8Array')
  const bytes = Buffer.from(part as string)
  const { length } = bytes
  const head =
    length < OP_PUSHDATA1 ? Buffer.of(length) : length < 0x100 ? Buffer.of(OP_PUSHDATA1, length) : Buffer.alloc(length < 0x1_0000 ? 3 : 5)
  if (head.length === 3) head.writeUInt16LE(length, head.writeUInt8(OP_PUSHDATA1 + 1))
  if (head.length === 5) head.writeUInt32LE(length, head.writeUInt8(OP_PUSHDATA1 + 2))
  return Buffer.concat([head, bytes])
}

/** The shortest form of a whole number below 2^53. */
export function varint(value: number): Buffer {
  if (value < 0xfd) return Buffer.of(value)
  const bytes = Buffer.alloc(value < 0x1_0000 ? 3 : value < 0x1_0000_0000 ? 5 : 9)
  if (bytes.length === 3) bytes.writeUInt16LE(value, bytes.writeUInt8(0xfd))
  else if (bytes.length === 5) bytes.writeUInt32LE(value, bytes.writeUInt8(0xfe))
  else bytes.writeBigUInt64LE(BigInt(value), bytes.writeUInt8(0xff))
  return bytes
}

/**
 * The pushes of the first data output, one whose script begins with OP_RETURN, or with OP_FALSE OP_RETURN; none if there is no such output. They end before an opcode that
 * pushes nothing, and after as many as `parsed` shows.
 */
export function dataOf(scanned: ScannedTransaction): DataPush[] {
  for (const { script } of scanned.readOutputs()) {
    const begin = dataBegin(script, 0)
    if (begin > 0) return pushesOf(script, begin)
  }
  return []
}

/** Where the pushes begin in a script at `from` that carries data; 0 in another script. */
export function dataBegin(bytes: Uint8Array, from: number): number {
  if (bytes[from] === OP_RETURN) return from + 1
  return bytes[from] === OP_0 && bytes[from + 1] === OP_RETURN ? from + 2 : 0
}

function pushesOf(script: Uint8Array, begin: number): DataPush[] {
  const pushes: DataPush[] = []
  for (const steps = new Steps(script, begin); pushes.length < MAX_CELLS && steps.next(); ) {
    const bytes = pushed(script, steps)
    if (!bytes) break
    pushes.push({ text: bytes.toString('utf8'), bytes })
  }
  return pushes
}

/** A copy of what an opcode pushes, undefined if it pushes nothing. Short numbers have opcodes of their own. */
export function pushed(script: Uint8Array, { op, from, to, pushes }: Steps): Buffer | undefined {
  if (pushes) return Buffer.from(script.subarray(from, to))
  if (op === OP_0) return Buffer.alloc(0)
  if (op === OP_1NEGATE) return Buffer.of(0x81)
  return op >= OP_1 && op <= OP_16 ? Buffer.of(op - OP_1 + 1) : undefined
}
