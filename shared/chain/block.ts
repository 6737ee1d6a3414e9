import { OverpoolError, reasonOf } from '../errors.ts'
import { type ScannedTransaction, scanTransaction } from '../transaction/index.ts'
import { MoreBytes, Reader } from '../transaction/reader.ts'
import { turn } from '../turn.ts'
import { HEADER_BYTES, type Header, readHeader } from './header.ts'
import { type LeafProof, MerkleStream } from './merkle.ts'

/** So many bytes are read before others have their turn: a few milliseconds. */
const WINDOW = 1024 * 1024
/** Transactions of the chain are smaller, by far. */
const MAX_TRANSACTION_BYTES = 256 * 1024 * 1024

export interface BlockOptions {
  /** Whether a transaction is wanted. It sees a view of the block's bytes, which it must not keep. */
  wanted: (transaction: ScannedTransaction, index: number) => boolean
  /** the hash of the block that was asked for: another one is refused */
  hash?: string
  /** A larger transaction is refused: up to twice as many bytes are in memory at once. 256 MiB if it is not said. */
  maxTransactionBytes?: number
}

/** A wanted transaction, with its place in the block. */
export interface BlockTransaction {
  index: number
  /** It has bytes of its own. */
  transaction: ScannedTransaction
}

/**
 * Reads a raw block that comes in chunks, cut anywhere. In memory are a chunk, the transaction that is being read, the wanted ones that the caller keeps, and what it takes to
 * prove these: never the block.
 *
 * Only after the last transaction is it sure that the block holds what its header says, so nothing final may be done with a transaction before. Where a block holds more wanted
 * transactions than fit in memory, it is read twice: the proofs of the first time are those of the transactions of the second.
 */
export class BlockReader {
  readonly #chunks: AsyncIterable<Uint8Array>
  readonly #options: BlockOptions
  readonly #max: number
  readonly #tree = new MerkleStream()
  #header: Header | undefined
  #count = 0
  /** how many bytes of the block were before those that are being read */
  #before = 0

  constructor(chunks: AsyncIterable<Uint8Array>, options: BlockOptions) {
    this.#chunks = chunks
    this.#options = options
    this.#max = options.maxTransactionBytes ?? MAX_TRANSACTION_BYTES
  }

  /** Once its bytes were read. */
  get header(): Header | undefined {
    return this.#header
  }

  /** How many transactions the block has, once its beginning was read. */
  get count(): number {
    return this.#count
  }

  /**
   * The wanted transactions in their order, in lists, for speed. The end of the lists means that the block is whole and its Merkle root is right.
   * @throws OverpoolError BAD_BLOCK, BAD_HEADER; whatever the source of the chunks throws
   */
  async *transactions(): AsyncGenerator<BlockTransaction[], void, void> {
    let parts: Uint8Array[] = []
    let size = 0
    // Reading a transaction begins anew when more bytes have come. It waits until there are twice as many, or else a long one would take quadratic time.
    let needed = 0
    for await (const chunk of this.#chunks) {
      for (let at = 0; at < chunk.length; at += WINDOW) {
        const part = chunk.subarray(at, at + WINDOW)
        parts.push(part)
        size += part.length
        if (size < needed) continue
        const bytes = joined(parts, size)
        const found: BlockTransaction[] = []
        const { read, lacks } = this.#read(bytes, found)
        const rest = bytes.subarray(read)
        parts = rest.length > 0 ? [rest] : []
        size = rest.length
        needed = Math.max(lacks, Math.min(2 * size, this.#max))
        if (found.length > 0) yield found
        await turn()
      }
    }
    const found: BlockTransaction[] = []
    const { read } = this.#read(joined(parts, size), found)
    if (found.length > 0) yield found
    this.#end(size - read)
  }

  /** The proofs of the wanted transactions in their order, made one by one; only after all transactions were read. @param height of the block */
  proofs(height: number): Generator<LeafProof, void, void> {
    return this.#tree.proofs(height)
  }

  /** Reads what is there. @returns how many bytes were read for good, and how many are needed after these for the next step */
  #read(bytes: Uint8Array, found: BlockTransaction[]): { read: number; lacks: number } {
    const reader = new Reader(bytes, (what, at) => bad(what, this.#before + at, this.#place()), 0, Number.POSITIVE_INFINITY)
    let read = 0
    let lacks = 0
    try {
      if (!this.#header) {
        this.#readBegin(reader)
        read = reader.at
      }
      while (this.#tree.count < this.#count) {
        reader.skip(4, 'version')
        reader.skipInputs()
        reader.skipOutputs()
        reader.skip(4, 'lock time')
        if (reader.at - read > this.#max) throw new MoreBytes(reader.at)
        this.#take(bytes.subarray(read, reader.at), found)
        read = reader.at
      }
      if (read < bytes.length) throw bad('more bytes follow on its last transaction', this.#before + read)
    } catch (error) {
      if (!(error instanceof MoreBytes)) throw error
      lacks = error.needed - read
      if (this.#header && lacks > this.#max)
        throw bad(`more than the ${this.#max} bytes that are read of one`, this.#before + read, this.#place())
    }
    this.#before += read
    return { read, lacks }
  }

  #readBegin(reader: Reader): void {
    const bytes = reader.take(HEADER_BYTES, 'header')
    const count = reader.varint('number of transactions')
    const header = readHeader(bytes)
    const { hash = header.hash } = this.#options
    if (header.hash !== hash) throw bad(`it is ${header.hash}, not ${hash}, which was asked for`)
    if (count === 0) throw bad('it has no transaction')
    this.#count = count
    this.#header = header
  }

  #take(bytes: Uint8Array, found: BlockTransaction[]): void {
    const { count: index } = this.#tree
    const transaction = scanTransaction(bytes)
    // Inner nodes of the Merkle tree, 64 bytes each, could pass for transactions. The first of them would have to begin like a coinbase, which no hash does.
    if (index === 0 && !isCoinbase(transaction)) throw bad('its first transaction is no coinbase')
    const isWanted = this.#options.wanted(transaction, index)
    if (isWanted) found.push({ index, transaction: scanTransaction(Buffer.from(bytes)) })
    try {
      this.#tree.add(transaction.digest, isWanted)
    } catch (cause) {
      throw bad(reasonOf(cause), undefined, undefined, cause)
    }
  }

  #end(left: number): void {
    const { count } = this.#tree
    if (!this.#header) throw bad(`it ends after ${left} bytes, before its first transaction`)
    if (count < this.#count) throw bad('it ends here', this.#before + left, this.#place())
    const root = this.#tree.root()
    if (root !== this.#header.merkleRoot)
      throw bad(`its transactions have the Merkle root ${root}, its header says ${this.#header.merkleRoot}`)
  }

  /** Which transaction is being read. */
  #place(): string {
    return this.#header ? `transaction ${this.#tree.count + 1} of ${this.#count}` : 'header'
  }
}

function joined(parts: Uint8Array[], size: number): Uint8Array {
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts, size)
}

/** Whether a transaction makes coins: its one input spends nothing. */
function isCoinbase({ bytes, inputCount }: ScannedTransaction): boolean {
  // version, number of inputs, the txid 0 and the output 2^32 - 1
  return inputCount === 1 && bytes.subarray(5, 37).every((byte) => byte === 0) && bytes.subarray(37, 41).every((byte) => byte === 0xff)
}

function bad(what: string, at?: number, place?: string, cause?: unknown): OverpoolError {
  const where = `${place === undefined ? '' : `, ${place}`}${at === undefined ? '' : `, at byte ${at}`}`
  return new OverpoolError('BAD_BLOCK', `bad block of the chain${where}: ${what}`, { cause })
}
