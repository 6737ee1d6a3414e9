/** The most marks of JSON in a message: an honest one has forty. JSON.parse of a million brackets takes long, whatever it holds. */
const MAX_MARKS = 1_000

/** The object in a JSON text of others; undefined if it holds none. */
export function objectOf(text: string): Record<string, unknown> | undefined {
  let marks = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if ((code === 0x5b || code === 0x7b || code === 0x2c) && ++marks > MAX_MARKS) return undefined // [ { ,
  }
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** An object in a field, or an empty one. */
export function objectIn(value: Record<string, unknown>, field: string): Record<string, unknown> {
  const inner = value[field]
  return typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : {}
}
