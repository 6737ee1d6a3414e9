import type { Entry, StatusEntry, TxEntry } from './kinds.ts'

/** What has become of a transaction (Promise 8 of docs/design.md). */
export type StatusName = 'local' | 'sent' | 'seen' | 'mined' | 'rejected' | 'double-spent'

/** The newest status of a transaction in a pool, as events show it. */
export interface TxStatus {
  /**
   * 'local': no service has taken it; `reason` says why, if one has refused it. 'sent': a service has taken it. 'seen': the network has it. 'mined': it is in a block.
   * 'rejected': the network does not take it. 'double-spent': another transaction spends an output that this one spends
   */
  status: StatusName
  /** of a mined one: the block's height and hash (64 hex) */
  height?: number
  blockHash?: string
  /** of a mined one: a Merkle path leads from it to a block of the best chain that the machine knows */
  proven?: true
  /** of 'rejected' and 'double-spent': nothing is asked or sent any more. The chain may still say otherwise */
  final?: true
  reason?: string
  /** the service that said so */
  by?: string
}

/** The same, as the store keeps it: with the txid, and the `seq` of the entry that says so. */
export interface KeptStatus extends TxStatus {
  txid: string
  seq: number
}

const NAMES: ReadonlySet<string> = new Set<StatusName>(['local', 'sent', 'seen', 'mined', 'rejected', 'double-spent'])

/** Whether this program knows the status. A later version, or a peer, may write others. */
export function isStatusName(name: string): name is StatusName {
  return NAMES.has(name)
}

/** Whether the network has refused a transaction for good, so that it pays nothing. */
export function isRefused(said: { status: string; final?: true | undefined } | undefined): boolean {
  return said?.final === true && (said.status === 'rejected' || said.status === 'double-spent')
}

/** Whether the status can change without a reorganisation: the transaction is asked about until it cannot. */
export function isOpen({ status, final, proven }: TxStatus): boolean {
  return status === 'mined' ? !proven : !final
}

/** What an entry says about its transaction's status; undefined if it says nothing. @param txid of a transaction entry, where it is known */
export function statusIn(entry: Entry): TxStatus | undefined {
  if (entry.kind === 'tx') return ofTransaction(entry)
  if (entry.kind !== 'status' || !isStatusName(entry.status)) return undefined
  const { status, height, blockHash, proof, final, reason, by } = entry
  return {
    status,
    ...(height !== undefined && { height }),
    ...(blockHash !== undefined && { blockHash }),
    ...(proof && { proven: true }),
    ...(final && { final }),
    ...(reason !== undefined && { reason }),
    ...(by !== undefined && { by }),
  }
}

/** A transaction from the chain is mined, one from the mempool is seen. */
function ofTransaction({ source, height, blockHash, proof }: TxEntry): TxStatus | undefined {
  if (source === 'mempool') return { status: 'seen' }
  if (source !== 'chain' || blockHash === undefined) return undefined
  return { status: 'mined', ...(height !== undefined && { height }), blockHash, ...(proof && { proven: true }) }
}

/** A transaction that was sent is seen by the network within seconds: after this time somebody has to look, ms. */
export const UNSEEN_MS = 10 * 60_000

/** A transaction entry has this status as long as nothing else is known. */
export const LOCAL: TxStatus = { status: 'local' }

/**
 * Whether a status entry changes what is known. This is the one rule for all that say something about a transaction: services, their callbacks, and the chain.
 * A service repeats itself, answers late and takes back what it said; only what can follow becomes an entry.
 */
export function follows(
  now: TxStatus | undefined,
  entry: Pick<StatusEntry, 'status' | 'blockHash' | 'proof' | 'final' | 'undone' | 'reason'>,
): boolean {
  const from = now?.status ?? 'none'
  switch (entry.status) {
    case 'local':
      return from === 'none' || (from === 'local' && now?.reason !== entry.reason)
    case 'sent':
      return from === 'none' || from === 'local' || from === 'rejected'
    case 'seen':
      // Only the end of its block takes back what was mined. A service that cannot decide between two transactions never says "seen" of either.
      if (from === 'mined') return entry.undone !== undefined && entry.undone === now?.blockHash
      return from !== 'seen' && from !== 'double-spent'
    case 'mined':
      if (from !== 'mined') return true
      if (now?.blockHash === entry.blockHash) return !now?.proven && entry.proof !== undefined
      return !now?.proven || entry.proof !== undefined
    case 'rejected':
      return from !== 'mined' && from !== 'seen' && from !== 'rejected' && !now?.final
    case 'double-spent':
      return from !== 'mined' && (from !== 'double-spent' || (!now?.final && entry.final === true))
    default:
      return true // a later version knows what it means
  }
}
