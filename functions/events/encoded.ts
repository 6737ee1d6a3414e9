import { type Block, entriesOf } from '../../shared/ledger/block.ts'
import type { Entry } from '../../shared/ledger/kinds.ts'
import { scanTransaction } from '../../shared/transaction/index.ts'
import { lineOf, type View } from './view.ts'

/** What a follower asks for. */
export interface Wanted {
  view: View
  /** in one order for all followers: those that want the same share what is encoded for them */
  kinds: readonly string[]
  /** entries about this transaction alone */
  txid?: string | undefined
}

interface Encoded {
  bytes: Buffer
  /** where the event of each place begins, or would begin */
  starts: number[]
}

const NOTHING = Buffer.alloc(0)

/** A block as server-sent events. It is encoded once for all followers who want the same of it. */
export class EncodedBlock {
  readonly n: number
  readonly first: number
  readonly count: number
  /** bytes in memory, about */
  size: number
  readonly #pool: { path: string; key: string }
  readonly #entries: Entry[]
  readonly #encoded = new Map<string, Encoded>()
  #places: Map<string, number[]> | undefined

  /** @throws OverpoolError BAD_BLOCK */
  constructor(pool: { path: string; key: string }, block: Block) {
    const { n, first, count, bytes } = block
    this.n = n
    this.first = first
    this.count = count
    this.size = bytes.length
    this.#pool = pool
    this.#entries = entriesOf(block)
  }

  /** Whether this has been encoded for another follower. */
  has(wanted: Wanted): boolean {
    return this.#encoded.has(keyOf(wanted)) || (wanted.txid !== undefined && this.#placesOf(wanted.txid).length === 0)
  }

  /** The events that are wanted, from sequence number `from` on; empty if there are none. Followers share the bytes. */
  bytes(wanted: Wanted, from: number): Buffer {
    if (wanted.txid !== undefined && this.#placesOf(wanted.txid).length === 0) return NOTHING
    const key = keyOf(wanted)
    let encoded = this.#encoded.get(key)
    if (!encoded) {
      this.#encoded.set(key, (encoded = this.#encode(wanted)))
      this.size += encoded.bytes.length
    }
    return from <= this.first ? encoded.bytes : encoded.bytes.subarray(encoded.starts[from - this.first] ?? encoded.bytes.length)
  }

  #encode({ view, kinds, txid }: Wanted): Encoded {
    const places = txid === undefined ? undefined : new Set(this.#placesOf(txid))
    const starts: number[] = []
    const frames: Buffer[] = []
    let end = 0
    for (const [i, entry] of this.#entries.entries()) {
      starts.push(end)
      if (!kinds.includes(entry.kind) || (places && !places.has(i))) continue
      const seq = this.first + i
      // In JSON a line break inside a text is written as \n, so the line ends where this one does, whatever a payer has written.
      const frame = Buffer.from(`id: ${seq}\ndata: ${lineOf(this.#pool, seq, entry, view)}\n\n`)
      frames.push(frame)
      end += frame.length
    }
    return { bytes: Buffer.concat(frames), starts }
  }

  #placesOf(txid: string): number[] {
    this.#places ??= placesByTxid(this.#entries)
    return this.#places.get(txid) ?? []
  }
}

/** The places of the entries that record a transaction, or say what became of it. */
function placesByTxid(entries: Entry[]): Map<string, number[]> {
  const places = new Map<string, number[]>()
  for (const [i, entry] of entries.entries()) {
    const txid = entry.kind === 'tx' ? scanTransaction(entry.tx).txid : entry.kind === 'status' ? entry.of.txid : undefined
    if (txid !== undefined) places.set(txid, [...(places.get(txid) ?? []), i])
  }
  return places
}

function keyOf({ view, kinds, txid = '' }: Wanted): string {
  return `${view} ${kinds.join()} ${txid}`
}
