import { OverpoolError } from '../../shared/errors.ts'
import { isHere, networkOf } from '../payments/quotas.ts'
import type { EncodedBlock } from './encoded.ts'

/** Followers of other hosts, from one address: a household, or an office. */
const MAX_OF_ADDRESS = 100
/** What waits for followers who read slowly has so many bytes at most; one block that many of them wait for counts once. */
const MAX_HELD_BYTES = 64 * 1024 * 1024

export interface FollowersOptions {
  /** followers at one time */
  most: number
  /** bytes that wait for slow readers, at most */
  heldBytes?: number
}

/** Counts who follows, and what waits for them, so that neither many followers nor slow ones take the machine from those who pay. */
export class Followers {
  readonly #most: number
  readonly #heldBytes: number
  #all = 0
  readonly #byAddress = new Map<string, number>()
  /** who waits, in the order in which they began to, and for which block */
  readonly #waiting = new Map<() => void, EncodedBlock>()
  /** how many wait for a block */
  readonly #held = new Map<EncodedBlock, number>()

  constructor({ most, heldBytes = MAX_HELD_BYTES }: FollowersOptions) {
    this.#most = most
    this.#heldBytes = heldBytes
  }

  /** Counts a follower. @param isLimited whether those of one address are limited. @returns what to call when it has gone. @throws OverpoolError OVERLOADED, QUOTA_EXCEEDED */
  enter(address: string, isLimited = true): () => void {
    if (this.#all >= this.#most)
      throw new OverpoolError('OVERLOADED', `this machine has its maximum of ${this.#most} followers; please try again later`, {
        retryable: true,
        retryAfterS: 10,
      })
    const network = !isLimited || isHere(address) ? undefined : networkOf(address)
    const ofAddress = network === undefined ? 0 : (this.#byAddress.get(network) ?? 0)
    if (ofAddress >= MAX_OF_ADDRESS)
      throw new OverpoolError(
        'QUOTA_EXCEEDED',
        `your address has its maximum of ${MAX_OF_ADDRESS} connections that follow pools of this machine: close one of them first`,
        {
          retryable: true,
          retryAfterS: 30,
        },
      )
    this.#all++
    if (network !== undefined) this.#byAddress.set(network, ofAddress + 1)
    let isIn = true
    return () => {
      if (!isIn) return
      isIn = false
      this.#all--
      if (network === undefined) return
      const left = this.#byAddress.get(network)! - 1
      if (left) this.#byAddress.set(network, left)
      else this.#byAddress.delete(network)
    }
  }

  /** A follower has not read what it was sent of this block. If too much waits, those who have waited the longest are cut off. @returns what to call when it has */
  hold(block: EncodedBlock, cut: () => void): () => void {
    this.#waiting.set(cut, block)
    this.#held.set(block, (this.#held.get(block) ?? 0) + 1)
    for (const [longest] of this.#waiting) {
      if (this.#bytes() <= this.#heldBytes) break
      this.#release(longest)
      longest()
    }
    return () => this.#release(cut)
  }

  #bytes(): number {
    let sum = 0
    for (const block of this.#held.keys()) sum += block.size
    return sum
  }

  #release(cut: () => void): void {
    const block = this.#waiting.get(cut)
    if (!block) return
    this.#waiting.delete(cut)
    const left = this.#held.get(block)! - 1
    if (left) this.#held.set(block, left)
    else this.#held.delete(block)
  }
}
