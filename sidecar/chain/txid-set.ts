import type { Digest } from '../../shared/transaction/digest.ts'

/** A set of txids, 16 bytes each at most: it keeps their first 48 bits, so it may take another txid for one of its own, once in many millions. Who asks looks at the ledger then. */
export class TxidSet {
  #slots = new Float64Array(1024).fill(EMPTY)
  #size = 0

  get size(): number {
    return this.#size
  }

  add(txid: string): void {
    this.#add(prefixOf(txid))
  }

  addDigest(digest: Digest): void {
    this.#add(prefixOfDigest(digest))
  }

  #add(prefix: number): void {
    if (this.#size * 2 >= this.#slots.length) this.#grow()
    const place = this.#placeOf(prefix)
    if (this.#slots[place] === prefix) return
    this.#slots[place] = prefix
    this.#size++
  }

  has(txid: string): boolean {
    return this.#has(prefixOf(txid))
  }

  hasDigest(digest: Digest): boolean {
    return this.#has(prefixOfDigest(digest))
  }

  #has(prefix: number): boolean {
    return this.#slots[this.#placeOf(prefix)] === prefix
  }

  /** Where the prefix is, or the free place for it. */
  #placeOf(prefix: number): number {
    const mask = this.#slots.length - 1
    let place = prefix % this.#slots.length // the bits of a txid are as good as random
    while (this.#slots[place] !== EMPTY && this.#slots[place] !== prefix) place = (place + 1) & mask
    return place
  }

  #grow(): void {
    const before = this.#slots
    this.#slots = new Float64Array(before.length * 2).fill(EMPTY)
    for (const prefix of before) if (prefix !== EMPTY) this.#slots[this.#placeOf(prefix)] = prefix
  }
}

const EMPTY = -1

/** The first 48 bits. */
export function prefixOf(txid: string): number {
  return Number.parseInt(txid.slice(0, 12), 16)
}

/** The same of a digest, whose bytes are those of the txid in reverse. */
function prefixOfDigest(digest: Digest): number {
  let prefix = 0
  for (let i = 31; i > 25; i--) prefix = prefix * 256 + digest.charCodeAt(i)
  return prefix
}
