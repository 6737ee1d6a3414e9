import { createHash, timingSafeEqual } from 'node:crypto'

/** Whether two texts, such as a token and what somebody gives for it, are the same. The time that it takes says nothing about where they differ. */
export function isSameText(one: string, other: string): boolean {
  return timingSafeEqual(digestOf(one), digestOf(other))
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
