/** What is known of a transaction beside an entry of it: what a wallet has sent along with a payment. */
export interface Ancestor {
  /** 64 hex */
  txid: string
  /** the raw transaction */
  tx?: Uint8Array
  /** that it is in a block: a BUMP (BRC-74) of it alone, and the Merkle root to which this leads, 64 hex. Whether a block of the chain has this root, nobody has checked */
  proof?: { root: string; bump: Uint8Array }
  /** the outputs that it spends, one after another in the order of its inputs. The wallet says so, and nobody has checked it (`readSpent`) */
  spent?: Uint8Array
}
