import { type Ancestor, type ScannedTransaction, scanTransaction } from '../transaction/index.ts'

/** What wallets have sent along with their payments: the transactions that these spend from, with their proofs. All pools of a machine have them in common, each once. */
export interface Ancestors {
  /** Resolves when they are durable. A second call is harmless. Of the proofs of a transaction one stays for each root; what was said last of the outputs that it spends counts. */
  put(ancestors: Ancestor[]): Promise<void>
  /** A raw transaction. @param txid 64 hex */
  transaction(txid: string): Promise<Uint8Array | undefined>
  /** The outputs that a transaction spends, as a wallet has said (`readSpent`). */
  spent(txid: string): Promise<Uint8Array | undefined>
  /** BUMPs of a transaction, at most MAX_PROOFS, each to another root. Nobody has checked whether a block has this root. */
  proofs(txid: string): Promise<Uint8Array[]>
}

/** After a reorganisation a transaction has two proofs; a wallet may send any number of false ones. */
export const MAX_PROOFS = 10

/** A transaction that was sent along with a payment. */
export async function findAncestor(ancestors: Pick<Ancestors, 'transaction'>, txid: string): Promise<ScannedTransaction | undefined> {
  const bytes = await ancestors.transaction(txid)
  const scanned = bytes && scanTransaction(bytes)
  return scanned?.txid === txid ? scanned : undefined // not if it is damaged
}
