import { OverpoolError } from '../errors.ts'

// A value of a state as JSON. What JSON lacks is an object with one key that begins with `$`: {"$bytes": hex}, {"$bigint": "12"}, {"$number": "NaN"}; {"$object": …} is an object that looks
// like one of these.

export function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return { $bigint: String(value) }
  if (typeof value === 'number' && !Number.isFinite(value)) return { $number: String(value) }
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('hex') }
  if (Array.isArray(value)) return value.map(jsonOf)
  if (typeof value !== 'object' || value === null) return value
  const object = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, jsonOf(item)]))
  return isMarked(object) ? { $object: object } : object
}

/** The value that `jsonOf` has made JSON of. @throws OverpoolError BAD_ARGUMENT */
export function valueOfJson(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(valueOfJson)
  if (typeof json !== 'object' || json === null) return json
  if (!isMarked(json)) return itemsOf(json)
  const [[mark, inner]] = Object.entries(json) as [[string, unknown]]
  switch (mark) {
    case '$bytes':
      if (typeof inner === 'string' && /^([\da-f]{2})*$/i.test(inner)) return new Uint8Array(Buffer.from(inner, 'hex'))
      break
    case '$bigint':
      if (typeof inner === 'string' && /^-?\d+$/.test(inner)) return BigInt(inner)
      break
    case '$number':
      if (inner === 'NaN' || inner === 'Infinity' || inner === '-Infinity') return Number(inner)
      break
    case '$object':
      if (typeof inner === 'object' && inner !== null) return itemsOf(inner)
      break
  }
  throw new OverpoolError(
    'BAD_ARGUMENT',
    `${JSON.stringify(json)} is not a value: write {"$bytes": hex}, {"$bigint": "12"}, {"$number": "NaN"} or {"$object": {…}}`,
  )
}

function itemsOf(object: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([key, item]) => [key, valueOfJson(item)]))
}

function isMarked(object: object): boolean {
  const keys = Object.keys(object)
  return keys.length === 1 && keys[0]!.startsWith('$')
}
