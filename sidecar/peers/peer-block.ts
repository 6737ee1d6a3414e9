import { encode } from 'cborg'
import { checkFields } from '../../shared/bip270/payment.ts'
import { messageOf } from '../../shared/errors.ts'
import { type Block, decodeBlock, isBlockHead, MAX_BLOCK_ENTRIES } from '../../shared/ledger/block.ts'
import type { PaymentFields } from '../../shared/ledger/kinds.ts'
import { asHeard, type ScannedEntry, scanEntries } from '../../shared/ledger/scanned.ts'
import { toStorable } from '../../shared/ledger/values.ts'

/** The largest block of a peer, bytes: one entry with the longest transaction that BIP270 allows (5 MB) and all fields at their limits. */
export const MAX_PEER_BLOCK_BYTES = 6 * 1024 * 1024

/** The fields of a payment beside its transaction, bytes: those that a wallet can send fit, with three bytes a character. */
const MAX_FIELDS_BYTES = 64 * 1024

export interface CheckedBlock {
  block: Block
  entries: ScannedEntry[]
  /** why it is passed over, if it is */
  problem?: string
  /** it does not begin like a block: perhaps it is encrypted with another key */
  unreadable?: boolean
}

/**
 * Checks block n of a peer. A block with any fault is passed over as a whole: it keeps its place, so that the log stays the signed one, and counts as having no
 * entries.
 * @param next the next sequence number; undefined if it is not known
 * @param gap the block before was passed over, so its number of entries is unknown: the numbers may jump ahead
 */
export function checkPeerBlock(n: number, bytes: Uint8Array, next: number | undefined, gap: boolean): CheckedBlock {
  try {
    const { first, entries } =
      bytes.length > MAX_PEER_BLOCK_BYTES ? fail(`it has ${bytes.length} bytes; ${MAX_PEER_BLOCK_BYTES} are allowed`) : decodeBlock(bytes)
    if (entries.length > MAX_BLOCK_ENTRIES) fail(`it has ${entries.length} entries; ${MAX_BLOCK_ENTRIES} are allowed`)
    if (next !== undefined && first !== next && !(gap && first > next))
      fail(`it says that it begins with entry ${first}, and ${next} comes next`)
    // CBOR has values that handlers could neither print nor post. Fields of an unknown kind do not reach handlers.
    for (const entry of entries) if (entry.kind !== 'unknown') toStorable([entry.kind === 'tx' ? entry.payment : undefined, entry.unknown])
    for (const entry of entries) if (entry.kind === 'tx') checkLikeAWallets(entry.payment)
    return { block: { n, first, count: entries.length, bytes }, entries: scanEntries(entries).map(asHeard) } // scans every transaction
  } catch (error) {
    const problem = messageOf(error)
    return { block: { n, first: next ?? 0, count: 0, bytes }, entries: [], problem, unreadable: !isBlockHead(bytes) }
  }
}

/** The limits for wallets hold for a peer's payments, too. Fields that are not known here have a common limit. */
function checkLikeAWallets(fields: PaymentFields): void {
  if (!Object.keys(fields).length) return
  const { length } = encode(fields)
  if (length > MAX_FIELDS_BYTES) fail(`the fields of a payment have ${length} bytes; ${MAX_FIELDS_BYTES} are allowed`)
  checkFields({ ...fields })
}

function fail(why: string): never {
  throw new Error(why)
}
