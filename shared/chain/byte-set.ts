const SLOTS = 64
/** Longer ones are counted as of this length. */
const LENGTHS = 1_024

/**
 * A set of byte strings that is asked about parts of other bytes, and allocates nothing for that: open addressing over their hashes. It only grows. An attacker can slow it down
 * with bytes whose hashes collide with those of its members; but few members are known to him, and each try costs him a transaction.
 */
export class ByteSet {
  #slots: (Uint8Array | undefined)[] = new Array(SLOTS)
  #hashes = new Int32Array(SLOTS)
  #size = 0
  /** whether it has one of this length: most questions end here */
  readonly #lengths = new Uint8Array(LENGTHS + 1)

  get size(): number {
    return this.#size
  }

  has(bytes: Uint8Array, from: number, to: number): boolean {
    const length = to - from
    if (this.#lengths[Math.min(length, LENGTHS)] === 0) return false
    return this.#slots[this.#slotOf(bytes, from, to, hashOf(bytes, from, to))] !== undefined
  }

  add(bytes: Uint8Array): void {
    const hash = hashOf(bytes, 0, bytes.length)
    const slot = this.#slotOf(bytes, 0, bytes.length, hash)
    if (this.#slots[slot]) return
    this.#slots[slot] = bytes
    this.#hashes[slot] = hash
    this.#lengths[Math.min(bytes.length, LENGTHS)] = 1
    if (++this.#size * 2 > this.#slots.length) this.#grow()
  }

  /** Where these bytes are, or the empty slot where they would be. */
  #slotOf(bytes: Uint8Array, from: number, to: number, hash: number): number {
    const mask = this.#slots.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const known = this.#slots[slot]
      if (!known || (this.#hashes[slot] === hash && isEqual(known, bytes, from, to))) return slot
    }
  }

  #grow(): void {
    const [slots, hashes] = [this.#slots, this.#hashes]
    this.#slots = new Array(slots.length * 2)
    this.#hashes = new Int32Array(slots.length * 2)
    for (const [i, bytes] of slots.entries()) {
      if (!bytes) continue
      const slot = this.#slotOf(bytes, 0, bytes.length, hashes[i]!)
      this.#slots[slot] = bytes
      this.#hashes[slot] = hashes[i]!
    }
  }
}

/** FNV-1a, and a mix of the upper bits into the lower ones. */
function hashOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5
  for (let at = from; at < to; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  return hash ^ (hash >>> 15)
}

function isEqual(known: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (known.length !== to - from) return false
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[from + i]) return false
  return true
}
