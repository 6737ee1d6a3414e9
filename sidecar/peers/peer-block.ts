import { type Block, decodeBlock, isBlockHead, MAX_BLOCK_ENTRIES } from '../../shared/ledger/block.ts'
import { type ScannedEntry, scanEntries } from '../../shared/ledger/scanned.ts'
import { toStorable } from '../../shared/ledger/values.ts'

/** A peer's block may have so many bytes: one entry of the longest transaction that BIP270 allows (5 MB), with all its fields at their limits. */
export const MAX_PEER_BLOCK_BYTES = 6 * 1024 * 1024

export interface CheckedBlock {
  block: Block
  entries: ScannedEntry[]
  /** why it is passed over, if it is */
  problem?: string
  /** it does not even look like a block: encrypted with another key, perhaps */
  unreadable?: boolean
}

/**
 * Looks at what a peer signed as its block n. One that is wrong in any part is passed over as a whole: it keeps its place, so that the log stays the one that
 * was signed, and has no entries.
 * @param next the sequence number that comes next; undefined if none is known
 * @param gap the block before was passed over, so nobody knows how many entries it had: the numbers may go on further up
 */
export function checkPeerBlock(n: number, bytes: Uint8Array, next: number | undefined, gap: boolean): CheckedBlock {
  try {
    const { first, entries } =
      bytes.length > MAX_PEER_BLOCK_BYTES ? fail(`it has ${bytes.length} bytes; ${MAX_PEER_BLOCK_BYTES} are allowed`) : decodeBlock(bytes)
    if (entries.length > MAX_BLOCK_ENTRIES) fail(`it has ${entries.length} entries; ${MAX_BLOCK_ENTRIES} are allowed`)
    if (next !== undefined && first !== next && !(gap && first > next))
      fail(`it says that it begins with entry ${first}, and ${next} comes next`)
    // CBOR knows values that handlers could neither show nor post on. Handlers do not get the fields of an unknown kind.
    for (const entry of entries) if (entry.kind !== 'unknown') toStorable([entry.kind === 'tx' ? entry.payment : undefined, entry.unknown])
    return { block: { n, first, count: entries.length, bytes }, entries: scanEntries(entries) } // which scans every transaction
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    return { block: { n, first: next ?? 0, count: 0, bytes }, entries: [], problem, unreadable: !isBlockHead(bytes) }
  }
}

function fail(why: string): never {
  throw new Error(why)
}
