import { OverpoolError } from '../errors.ts'

/** The longest notation of a number that is read. JavaScript itself writes every number with fewer characters. */
const MAX_NOTATION = 100
const NUMBER = /^-?(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i

/** Stands for a number that JSON.parse would round. */
class Rounded {}

/** JSON.parse with marks where it would round a number. */
export function parseExactly(text: string): unknown {
  const mark = (_key: string, value: unknown, { source }: { source?: string }) =>
    typeof value === 'number' && !isExact(source!, value) ? new Rounded() : value
  return JSON.parse(text, mark as (key: string, value: unknown) => unknown)
}

function isExact(source: string, value: number): boolean {
  const exact = decimal(source)
  return exact !== undefined && exact === decimal(String(value))
}

/** The digits and the exponent of a number, whatever its notation: the same for 1.50, 1.5 and 15e-1. */
function decimal(source: string): string | undefined {
  const [, whole, fraction = '', exponent = '0'] = (source.length <= MAX_NOTATION && NUMBER.exec(source)) || []
  if (whole === undefined) return undefined
  const digits = (whole + fraction).replace(/^0+/, '')
  const short = digits.replace(/0+$/, '')
  return short && `${short}e${Number(exponent) - fraction.length + digits.length - short.length}`
}

/**
 * Refuses what the ledger would give back as something else: two payments that differ only there would be taken for one.
 * @param value nested no deeper than can be kept
 * @throws OverpoolError BAD_PAYMENT
 */
export function checkExact(value: unknown, field: string): void {
  const why = fault(value)
  if (why !== undefined) throw new OverpoolError('BAD_PAYMENT', `"${field}" holds ${why}, which the ledger cannot keep exactly`)
}

function fault(value: unknown): string | undefined {
  if (typeof value === 'string') return faultOfText(value)
  if (typeof value === 'number') return faultOfNumber(value)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return undefined
  if (value instanceof Rounded) return 'a number with too many digits; send it as text'
  if (Array.isArray(value)) return firstOf(value, fault)
  if (!isPlain(value)) return `an object of class ${value.constructor?.name || 'unknown'}; give a plain object or text`
  return firstOf(Object.entries(value), ([key, item]) => faultOfText(key) ?? fault(item))
}

function firstOf<T>(items: T[], fault: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const why = fault(item)
    if (why !== undefined) return why
  }
  return undefined
}

function faultOfText(text: string): string | undefined {
  if (!text.isWellFormed()) return 'half of a surrogate pair'
  return text.startsWith('\ufeff') ? 'text that begins with a byte order mark' : undefined
}

function faultOfNumber(value: number): string | undefined {
  if (!Number.isFinite(value)) return `the number ${value}`
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? 'a whole number beyond 2^53; send it as text' : undefined
}

/** An object literal, of any realm. The fields of others, such as a Date or a Map, do not say what they are. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
