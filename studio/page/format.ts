/** Numbers and times as people read them. */

const NUMBER = new Intl.NumberFormat('en')
const NARROW = '\u202f'

export function number(n: number): string {
  return NUMBER.format(n).replaceAll(',', NARROW)
}

export function count(n: number, one: string, many = `${one}s`): string {
  return `${number(n)} ${n === 1 ? one : many}`
}

/** Entries a second. */
export function rate(n: number): string {
  if (n === 0) return '0'
  return n < 10 ? n.toFixed(1) : number(Math.round(n))
}

export function bytes(n: number): string {
  if (n < 1_000) return `${n} B`
  return n < 1_000_000 ? `${(n / 1_000).toFixed(1)} kB` : `${(n / 1_000_000).toFixed(1)} MB`
}

function two(n: number): string {
  return String(n).padStart(2, '0')
}

/** The time of day; with the date if it is not today's. */
export function time(ms: number): string {
  const at = new Date(ms)
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
  return at.toDateString() === new Date().toDateString() ? clock : `${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`
}

/** Date and time, with milliseconds, in the time zone of the browser. */
export function fullTime(ms: number): string {
  const at = new Date(ms)
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`
}

/** A time that has passed, ms, in words. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`
  return seconds < 86_400 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} d`
}

/** How long ago, in words. */
export function ago(ms: number, now = Date.now()): string {
  return `${duration(now - ms)} ago`
}

export function short(hash: string): string {
  return hash.length > 16 ? `${hash.slice(0, 8)}…${hash.slice(-6)}` : hash
}
