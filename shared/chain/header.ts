import { OverpoolError } from '../errors.ts'
import { digestOf, displayed } from '../transaction/digest.ts'

/** The bytes of a block's header. */
export const HEADER_BYTES = 80
/** A block may say that it was made so much later than it is, s, as nodes have it. */
const MAX_AHEAD_S = 2 * 60 * 60
/** A block is made later than the median of the times of so many blocks before it. */
const MEDIAN_OF = 11

/** The header of a block whose hash meets the target that it names: only `readHeader` makes one. Hashes are 64 lower-case hex digits, as people write them. */
export interface Header {
  readonly bytes: Uint8Array
  readonly hash: string
  readonly version: number
  /** the hash of the block before it */
  readonly previous: string
  readonly merkleRoot: string
  /** s since 1970, as its miner says */
  readonly time: number
  readonly bits: number
  readonly nonce: number
  /** how many hashes it takes to find such a block, on average */
  readonly work: bigint
}

/** A header with its place on a chain. */
export interface PlacedHeader extends Header {
  readonly height: number
  /** the work of it and of all before it that the chain knows */
  readonly chainWork: bigint
}

/**
 * Reads the 80 bytes of a header, and checks its proof of work against the target in its own bits. Whether the network would have asked for more work is not checked here.
 * @throws OverpoolError BAD_HEADER
 */
export function readHeader(bytes: Uint8Array): Header {
  if (bytes.length !== HEADER_BYTES) throw bad(`it has ${bytes.length} bytes, not ${HEADER_BYTES}`)
  const kept = Buffer.from(bytes)
  const hash = displayed(digestOf(kept))
  const bits = kept.readUInt32LE(72)
  const target = targetOf(bits)
  if (BigInt(`0x${hash}`) > target) throw bad(`the hash ${hash} does not meet the target of its bits ${hexOf(bits)}`)
  return {
    bytes: kept,
    hash,
    version: kept.readInt32LE(0),
    previous: reversed(kept.subarray(4, 36)),
    merkleRoot: reversed(kept.subarray(36, 68)),
    time: kept.readUInt32LE(68),
    bits,
    nonce: kept.readUInt32LE(76),
    work: 2n ** 256n / (target + 1n),
  }
}

/**
 * The greatest hash that meets these bits: a floating-point number of 3 bytes and an exponent of base 256.
 * @throws OverpoolError BAD_HEADER if it is negative, 0, or 2^256 and more
 */
export function targetOf(bits: number): bigint {
  const exponent = bits >>> 24
  const digits = BigInt(bits & 0x7fffff)
  const target = exponent < 3 ? digits >> BigInt(8 * (3 - exponent)) : digits << BigInt(8 * (exponent - 3))
  if (target === 0n) throw bad(`its bits ${hexOf(bits)} are a target of 0`)
  if (bits & 0x800000) throw bad(`its bits ${hexOf(bits)} are a negative target`)
  if (target >= 2n ** 256n) throw bad(`its bits ${hexOf(bits)} are a target above 2^256`)
  return target
}

/** The easiest target of each network: its blocks need at least so much work. */
const EASIEST = { main: targetOf(0x1d00ffff), test: targetOf(0x1d00ffff), regtest: targetOf(0x207fffff) }

export interface ChainOptions {
  /** the header that the chain begins with, and its height: it is trusted */
  start: { height: number; header: Uint8Array }
  /** a header with an easier target than this network permits is refused */
  network?: keyof typeof EASIEST
  clock?: { now(): number }
  /** at least 12. How many blocks of the best chain are remembered; about 1 KB each */
  keep?: number
}

/** From one best chain to another. */
export interface ChainChange {
  /** the last block that both have */
  fork: PlacedHeader
  /** blocks of the old one, the newest first */
  undone: PlacedHeader[]
  /** blocks of the new one, in their order */
  added: PlacedHeader[]
}

/**
 * Headers, of which the best chain is the one with the most work; of two with equal work, the one that was known first.
 *
 * Each header is checked: proof of work, the hash of the block before it, a time that is later than the median of the 11 blocks before it (where they are known) and at most two
 * hours ahead of the clock. The rule by which the network sets the next target is not checked: a chain of less work never wins, so whoever makes up headers must outwork the
 * network.
 *
 * It remembers the newest `keep` blocks of the best chain, and as many others that branch off there. What is older is not known: `at` and `get` give undefined, `isBest` false, and
 * a header that follows on it is refused. So a reorganisation of `keep` blocks or more is an error, never a wrong answer.
 */
export class HeaderChain {
  readonly #blocks = new Map<string, PlacedHeader>()
  /** the hashes of the best chain by height */
  readonly #best = new Map<number, string>()
  readonly #network: ChainOptions['network']
  readonly #clock: { now(): number }
  readonly #keep: number
  #oldest: number
  #tip: PlacedHeader

  constructor({ start, network, clock = Date, keep = 10_000 }: ChainOptions) {
    this.#network = network
    this.#clock = clock
    this.#keep = Math.max(keep, MEDIAN_OF + 1)
    this.#oldest = start.height
    const header = readHeader(start.header)
    this.#checkTarget(header)
    this.#tip = { ...header, height: start.height, chainWork: header.work }
    this.#blocks.set(this.#tip.hash, this.#tip)
    this.#best.set(start.height, this.#tip.hash)
  }

  /** The newest block of the best chain. */
  get tip(): PlacedHeader {
    return this.#tip
  }

  /** The height of the oldest block that is remembered. */
  get oldest(): number {
    return this.#oldest
  }

  /** A block that is remembered, on the best chain or off it. */
  get(hash: string): PlacedHeader | undefined {
    return this.#blocks.get(hash)
  }

  /** The block of the best chain at a height, if it is remembered. */
  at(height: number): PlacedHeader | undefined {
    const hash = this.#best.get(height)
    return hash === undefined ? undefined : this.#blocks.get(hash)
  }

  /** Whether a block is remembered, and on the best chain. */
  isBest(hash: string): boolean {
    const block = this.#blocks.get(hash)
    return block !== undefined && this.#best.get(block.height) === hash
  }

  /** The newest block of the best chain that this block is, or descends from; undefined if it is not remembered. */
  forkPoint(hash: string): PlacedHeader | undefined {
    let block = this.#blocks.get(hash)
    while (block && this.#best.get(block.height) !== block.hash) block = this.#blocks.get(block.previous)
    return block
  }

  /** What is undone and what is new on the best chain for one who has read up to this block; undefined if it is not remembered. */
  changeSince(hash: string): ChainChange | undefined {
    const fork = this.forkPoint(hash)
    if (!fork) return undefined
    return {
      fork,
      undone: [...this.#down(this.#blocks.get(hash)!, fork)],
      added: [...this.#down(this.#tip, fork)].reverse(),
    }
  }

  /**
   * Adds headers, each of which follows on one before it or on one that is remembered; one that is known already is passed over. Either all are added, or none.
   * @returns how the best chain has changed, undefined if it has not
   * @throws OverpoolError BAD_HEADER, retryable if only the time is too far ahead
   */
  add(headers: Iterable<Uint8Array>): ChainChange | undefined {
    const before = this.#tip
    const added: PlacedHeader[] = []
    try {
      for (const bytes of headers) {
        const block = this.#check(readHeader(bytes))
        if (!block) continue
        this.#blocks.set(block.hash, block)
        added.push(block)
      }
    } catch (error) {
      for (const { hash } of added) this.#blocks.delete(hash)
      throw error
    }
    const best = added.reduce((one, other) => (other.chainWork > one.chainWork ? other : one), before)
    if (best !== before) this.#follow(best)
    const change = best === before ? undefined : this.changeSince(before.hash)
    this.#forget()
    return change
  }

  /** The header with its place; undefined if it is known. */
  #check(header: Header): PlacedHeader | undefined {
    const { hash, previous: before, time } = header
    if (this.#blocks.has(hash)) return undefined
    this.#checkTarget(header)
    const previous = this.#blocks.get(before)
    if (!previous) throw bad(`the block before ${hash} is ${before}, which is not known`)
    const median = this.#medianTime(previous)
    if (median !== undefined && time <= median)
      throw bad(`the time ${time} of ${hash} is not later than ${median}, the median of the ${MEDIAN_OF} blocks before it`)
    const now = Math.floor(this.#clock.now() / 1_000)
    if (time > now + MAX_AHEAD_S)
      throw bad(`the time ${time} of ${hash} is more than two hours ahead of this machine's clock, ${now}`, true)
    return { ...header, height: previous.height + 1, chainWork: previous.chainWork + header.work }
  }

  #checkTarget({ hash, bits }: Header): void {
    if (this.#network && targetOf(bits) > EASIEST[this.#network])
      throw bad(`the target of ${hash}, ${hexOf(bits)}, is easier than the network ${this.#network} permits`)
  }

  /** Undefined where not all of the blocks are known. Near the first block of all, there are fewer of them. */
  #medianTime(last: PlacedHeader): number | undefined {
    const times: number[] = []
    for (let block: PlacedHeader | undefined = last; block && times.length < MEDIAN_OF; block = this.#blocks.get(block.previous))
      times.push(block.time)
    if (times.length < Math.min(MEDIAN_OF, last.height + 1)) return undefined
    return times.sort((a, b) => a - b)[Math.floor(times.length / 2)]
  }

  /** Makes this the tip of the best chain. */
  #follow(tip: PlacedHeader): void {
    for (let height = tip.height + 1; this.#best.delete(height); height++);
    for (const { height, hash } of this.#down(tip, this.forkPoint(tip.hash)!)) this.#best.set(height, hash)
    this.#tip = tip
  }

  /** The blocks from this one down to the one that follows on `end`. */
  *#down(from: PlacedHeader, end: PlacedHeader): Generator<PlacedHeader, void, void> {
    for (let block = from; block !== end; block = this.#blocks.get(block.previous)!) yield block
  }

  /** Forgets the oldest blocks, and what branches off from them; and of too many others, those with the least work. */
  #forget(): void {
    const oldest = Math.max(this.#oldest, this.#tip.height - this.#keep + 1)
    const others = this.#blocks.size - this.#best.size
    if (oldest === this.#oldest && others <= this.#keep) return
    for (let height = this.#oldest; height < oldest; height++) {
      this.#blocks.delete(this.#best.get(height)!)
      this.#best.delete(height)
    }
    this.#oldest = oldest
    if (others === 0) return
    const off = [...this.#blocks.values()].filter(({ hash }) => !this.isBest(hash)).sort((a, b) => a.height - b.height)
    const most = off.toSorted((a, b) => Number(b.chainWork - a.chainWork)).slice(0, this.#keep)
    const kept = new Set<string>(most.map(({ hash }) => hash))
    for (const { hash, previous, height } of off)
      if (height <= oldest || !kept.has(hash) || !this.#blocks.has(previous)) this.#blocks.delete(hash)
  }
}

function reversed(bytes: Uint8Array): string {
  return Buffer.from(bytes).reverse().toString('hex')
}

function hexOf(bits: number): string {
  return bits.toString(16).padStart(8, '0')
}

function bad(what: string, retryable = false): OverpoolError {
  return new OverpoolError('BAD_HEADER', `bad header of a block: ${what}`, { retryable })
}
